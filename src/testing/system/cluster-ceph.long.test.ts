/**
 * Two real nodes with one pool in a Ceph cluster: what one makes the other sees, a VM moves without its disk being copied and boots
 * there, each says for itself whether the pool works, and what one does not reach the other one does.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { type LabCeph, startCeph } from "../lab/ceph.ts";
import { executablePath } from "../lab/daemon.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { freePort } from "./free-port.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import type { LabSystem } from "./lab-system.ts";
import { startVmNode } from "./vm-node.ts";

const cephPool = "vms";
const stepMs = 120_000;
let ceph: LabCeph;
let poolPath: string;
const ends: (() => PromiseLike<void>)[] = [];
beforeAll(async () => {
	poolPath = mkdtempSync("/tmp/lqx-ceph-pool-");
	ceph = await startCeph();
	await ceph.makePool(cephPool);
}, 240_000);
afterAll(async () => {
	for (const end of ends) await end();
	await ceph?.stop();
	rmSync(poolPath, { recursive: true, force: true });
}, 240_000);

const cli = async ({ daemon }: LabSystem, ...words: string[]) =>
	(await run(executablePath, [...words, "--run-dir", daemon.runDir], { timeoutMs: stepMs })).stdout;
const images = async () => (await ceph.rbd("ls", "--long", "--format", "json", "--pool", cephPool)).stdout.trim();

test("one pool on both: made on one, run on the other, and nothing copied", async () => {
	const ports = [await freePort(), await freePort()] as const;
	const node = (name: string, peerPort: number) => startVmNode({ name, poolPath, peerPort, ends, network: "machine" });
	const first = await node("ceph-1", ports[0]);
	const second = await node("ceph-2", ports[1]);
	await cli(first, "cluster", "init", "--name", "lab", "--address", `127.0.0.1:${ports[0]}`);
	const { secret } = (await first.api.call("joinTokenCreate", { body: {} })).body;
	const address = ["--address", `127.0.0.1:${ports[1]}`];
	await cli(second, "cluster", "join", `127.0.0.1:${ports[0]}`, "--token", secret, ...address, "--rename", "--yes");
	await second.ready();
	const nodes = await waitUntil("both nodes to be ready", stepMs, async () => {
		const { items } = (await first.api.call("nodeList")).body;
		return items.length === 2 && items.every(({ status }) => status.phase === "ready") ? items : undefined;
	});
	const idOf = (name: string) => present(nodes.find((one) => one.name === name)?.id, name);

	// Made through the second: the key reaches the first one sealed, and both say that it works.
	const cephKey = await ceph.makeUser("limiquantix", [
		...["mon", "profile rbd", "mgr", "profile rbd", "osd", `profile rbd pool=${cephPool}`],
	]);
	const config = { monitors: ceph.monitors, user: "limiquantix", cephPool, namespace: null, dataPool: null };
	const made = await second.api.call("poolCreate", {
		body: { name: "rbd", type: "ceph-rbd", config, credentials: { cephKey } },
	});
	await second.done(made);
	const poolId = made.body.id;
	const health = async () => {
		const pool = (await first.api.call("poolGet", { path: { id: poolId } })).body;
		return { phase: pool.phase, nodes: pool.nodes.map((one) => one.health) };
	};
	await waitUntil("the pool to work on both", stepMs, async () => {
		const { phase, nodes: all } = await health();
		return phase === "ready" && all.length === 2 && all.every((one) => one === "healthy");
	});

	const image = await first.api.call("imageCreate", {
		body: { name: "guest", format: "qcow2", poolId, source: { kind: "path", path: first.guest.qcow2Path } },
	});
	await first.done(image);
	const vm = await second.createVm({
		name: "traveller",
		nodeId: idOf("ceph-1"),
		nics: [],
		disks: [
			{ imageId: image.body.id, poolId },
			{ sizeBytes: 32 * MiB, poolId },
		],
	});
	const here = new GuestTerminal(first, vm.id);
	await here.booted();
	await here.run("echo here > /data/marker; echo -n WORDS | dd of=/dev/vdb conv=notrunc 2>/dev/null; sync");
	const taken = await second.api.call("snapshotCreate", { path: { id: vm.id }, body: { name: "here" } });
	await second.done(taken);
	await here.run("echo later > /data/marker; sync");
	await second.done(await second.api.call("vmShutdown", { path: { id: vm.id } }));
	await second.untilVm(vm.id, "it to be off", ({ status }) => status.powerState === "stopped");

	const before = await images();
	expect(await cli(first, "vm", "move", "traveller", "ceph-2")).toContain("done");
	expect(await images()).toBe(before);
	expect((await first.vm(vm.id)).nodeId).toBe(idOf("ceph-2"));
	await first.done(await first.api.call("vmStart", { path: { id: vm.id } }));
	const there = new GuestTerminal(second, vm.id);
	await there.booted();
	expect(await there.run("cat /data/marker; head -c 5 /dev/vdb")).toBe("later\nWORDS");

	// The other node has what was taken on the first one.
	await first.done(await first.api.call("vmStop", { path: { id: vm.id } }));
	await first.done(await first.api.call("snapshotRevert", { path: { id: taken.body.id } }));
	const from = await there.mark();
	await first.done(await first.api.call("vmStart", { path: { id: vm.id } }));
	await there.booted(from);
	expect(await there.run("cat /data/marker")).toBe("here");

	// A cluster that hangs, on both of them.
	ceph.freeze("osd");
	await waitUntil("both to say so", 60_000, async () => (await health()).nodes.every((one) => one === "error")).finally(
		() => ceph.resume("osd"),
	);
	await waitUntil("the pool to work again", stepMs, async () => (await health()).phase === "ready");
	expect(await there.run("cat /data/marker")).toBe("here");

	await first.done(await first.api.call("vmStop", { path: { id: vm.id } }));
	await first.done(await first.api.call("vmDelete", { path: { id: vm.id } }));
	await first.done(await first.api.call("imageDelete", { path: { id: image.body.id } }));
	expect(await images()).toBe("[]");
	await first.done(await first.api.call("poolDelete", { path: { id: poolId } }));
	for (const { daemon } of [first, second]) expect(present(daemon.log(), "the log")).not.toContain(cephKey);
}, 600_000);
