/**
 * Three real nodes, made a cluster with the commands of the README, each with a libvirtd of its own: what is on one is seen and
 * driven from another. One of them comes with a VM that runs.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import type { Vm } from "../../model/vm.ts";
import { statusOf, untilMissed } from "../cluster/lab-cluster.ts";
import { executablePath } from "../lab/daemon.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { freePort } from "./free-port.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import type { LabSystem } from "./lab-system.ts";
import { qemuPids } from "./leftovers.ts";
import { readmeCommands } from "./readme-commands.ts";
import { startVmNode } from "./vm-node.ts";

const limitMs = 400_000;
const stepMs = 120_000;
let poolPath: string;
const ends: (() => PromiseLike<void>)[] = [];
beforeAll(() => {
	poolPath = mkdtempSync("/tmp/lqx-vms-pool-");
});
afterAll(async () => {
	for (const end of ends) await end();
	rmSync(poolPath, { recursive: true, force: true });
}, limitMs);

const cli = async ({ daemon }: LabSystem, ...words: string[]) =>
	(await run(executablePath, [...words, "--run-dir", daemon.runDir], { timeoutMs: stepMs })).stdout;
/** What is another node's, asked of this one. */
const through = (owner: LabSystem, { daemon, api, ...asked }: LabSystem): LabSystem => ({
	...owner,
	...{ daemon, api, vm: asked.vm, done: asked.done, untilVm: asked.untilVm },
});
const runs = ({ status }: Vm) => status.powerState === "running";
const isOff = ({ status }: Vm) => status.powerState === "stopped";
const withoutDisks = { disks: [], nics: [], memoryBytes: 64 * MiB, maxMemoryBytes: 64 * MiB };

async function untilNodes(asked: LabSystem, names: readonly string[]): Promise<void> {
	await waitUntil(`${names} to be ready`, stepMs, async () => {
		const { items } = (await asked.api.call("nodeList").catch(() => ({ body: { items: [] } }))).body;
		const ready = items.filter(({ status }) => status.phase === "ready").map(({ name }) => name);
		return names.every((name) => ready.includes(name));
	});
}

test(
	"VMs of each node from any node: made, watched, moved with what is on their disks, and left alone by all that happens to daemons",
	async () => {
		const ports = [await freePort(), await freePort(), await freePort()] as const;
		const start = (number: 1 | 2 | 3) =>
			startVmNode({ name: `node-${number}`, poolPath, peerPort: present(ports[number - 1], "a port"), ends });
		const [first, second, third] = [await start(1), await start(2), await start(3)];
		const addressOf = (number: 1 | 2 | 3) => `127.0.0.1:${ports[number - 1]}`;

		// The third has a VM that runs when it joins.
		const early = await third.createVm({ name: "early", ...withoutDisks });
		await third.untilVm(early.id, "it to run", runs);
		const earlyPids = await qemuPids(third);
		expect(earlyPids).toHaveLength(1);

		const readme = readmeCommands();
		await cli(first, ...readme.init, "--address", addressOf(1));
		const told = await cli(first, ...readme.token);
		const token = present(/lqxjoin1_\S+/.exec(told)?.[0], "the token");
		const join = readme.join.map((word) => (word.startsWith("lqxjoin1_") ? token : word));
		await cli(second, ...join, "--address", addressOf(2), "--yes");
		await cli(third, ...join, "--address", addressOf(3), "--yes");
		await untilNodes(second, ["node-1", "node-2", "node-3"]);
		expect(await cli(third, "cluster", "status")).toMatch(/node-1[\s\S]*node-2[\s\S]*node-3/);

		const { body: nodes } = await first.api.call("nodeList");
		const idOf = (name: string) => present(nodes.items.find((node) => node.name === name)?.id, name);
		expect([await qemuPids(third), (await first.vm(early.id)).nodeId]).toEqual([earlyPids, idOf("node-3")]);
		await first.done(await first.api.call("vmPause", { path: { id: early.id } }));
		await second.untilVm(early.id, "it to be paused", ({ status }) => status.powerState === "paused");
		await second.done(await second.api.call("vmResume", { path: { id: early.id } }));
		await first.untilVm(early.id, "it to run on", runs);

		// Through the first: an image of this machine, and a VM of it on the second, which fetches it.
		await cli(first, "image", "upload", first.guest.qcow2Path, "--name", "guest");
		const { items: images } = (await second.api.call("imageList")).body;
		const image = present(
			images.find(({ name }) => name === "guest"),
			"the image",
		);
		expect(image.nodeId).toBe(idOf("node-1"));
		const web = await first.createVm({ name: "web", nodeId: idOf("node-2"), disks: [{ imageId: image.id }], nics: [] });
		expect(web.nodeId).toBe(idOf("node-2"));
		// Seen from the third.
		const seen = through(second, third);
		await seen.untilVm(web.id, "the third to see it run", runs);
		const terminal = new GuestTerminal(seen, web.id);
		await terminal.booted();
		await terminal.run("echo kept-by-the-disk > /data/word && sync");
		const figures = await waitUntil("figures of it", stepMs, () =>
			third.api.call("vmMetricsGet", { path: { id: web.id } }).catch(() => undefined),
		);
		expect(figures.body.memoryUsedBytes).toBeGreaterThan(0);
		const picture = await third.api.call("vmScreenshotGet", { path: { id: web.id } });
		expect((await picture.body.bytes()).length).toBeGreaterThan(100);
		expect(await qemuPids(second)).toHaveLength(1);

		// Off, to the third, and on again there, all of it asked of others.
		expect((await failureOf(cli(first, "vm", "move", "web", "node-3"))).message).toContain("running cannot be moved");
		await third.done(await third.api.call("vmStop", { path: { id: web.id } }));
		await first.untilVm(web.id, "it to be off", isOff);
		expect(await cli(first, "vm", "move", "web", "node-3")).toContain("done");
		const there = new GuestTerminal(through(third, first), web.id);
		const before = await there.mark();
		await first.done(await second.api.call("vmStart", { path: { id: web.id } }));
		await first.untilVm(web.id, "it to run there", runs);
		await there.booted(before);
		expect(await there.run("cat /data/word")).toBe("kept-by-the-disk");
		expect([(await qemuPids(second)).length, (await qemuPids(third)).length]).toEqual([0, 2]);

		// A daemon dies: its VMs do not, and the others say that it is away.
		const pids = await qemuPids(third);
		const moving = await first.createVm({
			...{ name: "moving", nodeId: idOf("node-1"), start: false },
			...withoutDisks,
		});
		await first.untilVm(moving.id, "it to be made", ({ status }) => status.observedGeneration > 0);
		await third.daemon.kill9();
		const { body: move } = await first.api.call("vmMove", {
			path: { id: moving.id },
			body: { nodeId: idOf("node-3") },
		});
		await waitUntil("the others to miss it", stepMs, async () => {
			const { items } = (await first.api.call("nodeList")).body;
			return items.find(({ name }) => name === "node-3")?.status.phase === "not-ready";
		});
		expect(await qemuPids(third)).toEqual(pids);
		expect((await second.vm(web.id)).status).toMatchObject({
			...{
				powerState: "unknown",
				reason: "Its node, node-3, is not heard of. The VM was running when it last reported.",
			},
		});
		expect(await cli(first, "vm", "list", "--state", "running")).not.toContain("web");
		expect((await failureOf(cli(first, "vm", "stop", "web"))).message).toContain("node-3 is not heard of");
		expect(await cli(second, "task", "show", move.id)).toContain("Waits for its node, node-3, which is not heard of.");
		expect((await failureOf(cli(first, "vm", "start", "moving"))).message).toContain("being moved");
		expect(await cli(second, "task", "cancel", move.id)).toContain("canceled");
		await cli(second, "vm", "start", "moving");
		await cli(second, "vm", "delete", "moving", "--yes");
		const away = await failureOf(first.api.call("vmMetricsGet", { path: { id: web.id } }));
		expect([away.code, away.message]).toEqual(["unavailable", "The node node-3 cannot be reached from here."]);
		await third.daemon.start();
		await untilNodes(second, ["node-3"]);
		await first.untilVm(web.id, "it to run all the while", runs);
		expect(await new GuestTerminal(through(third, second), web.id).run("cat /data/word")).toBe("kept-by-the-disk");
		expect(await qemuPids(third)).toEqual(pids);

		// A host dies: what ran there is unknown, until somebody says that it is off.
		const spare = await third.createVm({ name: "spare", nodeId: idOf("node-2"), ...withoutDisks });
		await first.untilVm(spare.id, "it to run on the second", runs);
		await second.daemon.kill9();
		await second.libvirtd.stop();
		await untilMissed(first, idOf("node-2"));
		await untilMissed(third, idOf("node-2"));
		await cli(third, "cluster", "remove", "node-2", "--confirm", "node-2");
		await first.untilVm(spare.id, "it to be unknown", ({ status }) => status.powerState === "unknown");
		expect((await failureOf(cli(third, "vm", "move", "spare", "node-1"))).message).toContain("node-2");
		expect(
			(await failureOf(cli(third, "vm", "move", "spare", "node-1", "--confirm-node-off", "node-1"))).message,
		).toMatch(/node-2/);
		await cli(third, "vm", "move", "spare", "node-1", "--confirm-node-off", "node-2");
		await third.done(await third.api.call("vmStart", { path: { id: spare.id } }));
		await third.untilVm(spare.id, "it to run on the first", (vm) => runs(vm) && vm.nodeId === idOf("node-1"));
		expect(await qemuPids(first)).toHaveLength(1);
		const { items: audit } = (await first.api.call("auditList", { query: { operation: ["vmMove", "nodeRemove"] } }))
			.body;
		const confirmed = audit.filter(({ outcome, confirmation }) => outcome === "accepted" && confirmation !== undefined);
		expect(confirmed.map(({ operation, confirmation }) => `${operation}: ${confirmation}`).sort()).toEqual([
			"nodeRemove: node-2 is off",
			"vmMove: node-2 is off",
		]);
		expect(await cli(first, "cluster", "status")).not.toContain("node-2");

		// Without a quorum, root on a host cuts the power of what runs there, and of nothing else.
		await first.daemon.kill9();
		await waitUntil("the quorum to be missed", stepMs, async () => (await statusOf(third))?.quorum === false);
		expect((await failureOf(cli(third, "vm", "stop", "spare"))).message).toContain("no leader");
		expect(await cli(third, "vm", "stop", "web")).toStartWith("vm.stop web: done");
		expect([await qemuPids(third), (await qemuPids(first)).length]).toEqual([earlyPids, 1]);
		await first.daemon.start();
		await first.untilVm(web.id, "it to be known to be off", isOff);
		await waitUntil("the audit to say who stopped it", stepMs, async () => {
			const { items } = (await first.api.call("auditList", { query: { operation: ["vmStop"] } })).body;
			return items.some(({ requester, targets }) => requester.kind === "local" && targets[0]?.id === web.id);
		});
	},
	limitMs,
);
