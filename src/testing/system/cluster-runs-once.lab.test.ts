/**
 * A VM runs once. Three real nodes, one a witness: no word makes a node that answers be off, and a VM that runs on after somebody
 * took it over is seen at once, by all, is not started, and keeps its host from joining again. Nothing ever ends it by itself.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { executablePath } from "../lab/daemon.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { freePort } from "./free-port.ts";
import type { LabSystem } from "./lab-system.ts";
import { qemuPids } from "./leftovers.ts";
import { startVmNode } from "./vm-node.ts";

const limitMs = 300_000;
const stepMs = 60_000;

const cli = async ({ daemon }: LabSystem, ...words: string[]) =>
	(await run(executablePath, [...words, "--run-dir", daemon.runDir], { timeoutMs: stepMs })).stdout;
const refusal = async (system: LabSystem, ...words: string[]) => (await failureOf(cli(system, ...words))).message;

test(
	"a VM runs once: neither libvirt that is away nor a host that comes back makes it two",
	async () => {
		const poolPath = mkdtempSync("/tmp/lqx-once-pool-");
		const ends: (() => PromiseLike<void>)[] = [];
		try {
			const ports = [await freePort(), await freePort(), await freePort()] as const;
			const start = (number: 1 | 2 | 3) =>
				startVmNode({ name: `node-${number}`, poolPath, peerPort: present(ports[number - 1], "a port"), ends });
			const [first, second, third] = [await start(1), await start(2), await start(3)];
			const addressOf = (number: 1 | 2 | 3) => `127.0.0.1:${ports[number - 1]}`;
			await cli(first, "cluster", "init", "--name", "berlin", "--address", addressOf(1));
			const token = async () => present(/lqxjoin1_\S+/.exec(await cli(first, "cluster", "token", "create"))?.[0], "it");
			const join = (address: string, secret: string) => ["--token", secret, "--address", address, "--rename", "--yes"];
			await cli(second, "cluster", "join", ...join(addressOf(2), await token()));
			await cli(third, "cluster", "join", ...join(addressOf(3), await token()), "--witness");
			const nodeOf = async (name: string) => {
				const { items } = (await first.api.call("nodeList")).body;
				return items.find((node) => node.name === name);
			};
			const untilNode = (what: string, is: (phase: string, lost: boolean) => boolean) =>
				waitUntil(`node-2 to be ${what}`, stepMs, async () => {
					const status = (await nodeOf("node-2"))?.status;
					return status !== undefined && is(status.phase, status.lost === true);
				});
			await untilNode("ready", (phase) => phase === "ready");
			const secondId = present(await nodeOf("node-2"), "node-2").id;
			const { id } = await first.createVm({
				...{ name: "spare", nodeId: secondId, disks: [], nics: [] },
				...{ memoryBytes: 64 * MiB, maxMemoryBytes: 64 * MiB },
			});
			await first.untilVm(id, "it to run", ({ status }) => status.powerState === "running");
			const pids = await qemuPids(second);
			expect(pids).toHaveLength(1);
			const off = await first.createVm({
				...{ name: "off", nodeId: secondId, disks: [], nics: [], start: false },
				...{ memoryBytes: 64 * MiB, maxMemoryBytes: 64 * MiB },
			});
			const takeOver = ["vm", "move", "spare", "node-1", "--confirm-node-off", "node-2"];

			// Its libvirt is away: the node says that it is not ready, and the VM runs on.
			await second.libvirtd.kill9();
			await untilNode("without libvirt", (phase) => phase === "not-ready");
			expect(await refusal(first, ...takeOver)).toContain("node-2 is not off: it answers");
			expect(await refusal(third, ...takeOver)).toContain("node-2 is not off: it answers");
			expect(await refusal(first, "vm", "move", "spare", "node-1")).toContain("libvirt does not answer");
			expect(await refusal(first, "cluster", "remove", "node-2", "--confirm", "node-2")).toContain("it answers");
			expect([(await first.vm(id)).nodeId, await qemuPids(first)]).toEqual([secondId, []]);
			await second.libvirtd.restart();
			await untilNode("ready", (phase) => phase === "ready");
			await first.untilVm(id, "it to have run on", ({ status }) => status.powerState === "running");
			expect(await qemuPids(second)).toEqual(pids);
			expect((await first.api.call("foreignVmList")).body.items).toEqual([]);

			// Somebody says that a host is off which was only cut off. It comes back.
			await second.daemon.kill9();
			await untilNode("lost", (_, lost) => lost);
			await cli(first, ...takeOver);
			expect((await first.vm(id)).nodeId).not.toBe(secondId);
			await second.daemon.start();
			await first.untilVm(id, "it to be seen there", ({ alsoRunsOn }) => alsoRunsOn?.includes(secondId) === true);
			expect(second.daemon.log()).toContain("a VM of another node runs on this host");
			expect(await refusal(first, "vm", "start", "spare")).toContain("Shut it down there first");
			expect(await cli(first, "vm", "list")).toContain("(RUNS ALSO ON node-2)");
			expect(await cli(third, "foreign-vm", "list")).toContain(
				"This is the VM spare of the cluster, which is on node-1",
			);
			expect([await qemuPids(first), await qemuPids(second)]).toEqual([[], pids]);

			// Removed as one that is off, it is not let in again while it runs what is another node's.
			await second.daemon.kill9();
			await waitUntil("it to be removed", stepMs, () =>
				cli(first, "cluster", "remove", "node-2", "--confirm", "node-2").then(
					() => true,
					() => false,
				),
			);
			expect(await first.vm(id)).not.toHaveProperty("alsoRunsOn");
			await second.daemon.start();
			const again = async () => ["cluster", "join", ...join(addressOf(2), await token())];
			await waitUntil("it to know that it was removed", stepMs, async () => {
				const { removed } = (await second.api.call("clusterStatusGet")).body;
				return removed;
			});
			// It may have heard so from the other one.
			await waitUntil("it to ask this node", stepMs, async () => first.daemon.log().includes('"code":"removed-node"'));
			// The others know better than whoever says that it is off.
			expect(await refusal(first, "vm", "move", "off", "node-1", "--confirm-node-off", "node-2")).toContain(
				"node-2 was removed, and is not off: it asks node-1 to be let in",
			);
			expect((await first.vm(off.id)).nodeId).toBe(secondId);

			const asked = { token: await token(), ownAddresses: [addressOf(2)], preview: true };
			const { clashes } = (await second.api.call("clusterJoin", { body: asked })).body;
			expect(clashes).toMatchObject([{ kind: "vm", name: "spare", renamable: false }]);
			expect(clashes[0]?.message).toContain(`Shut it down on this host first: virsh shutdown ${id}`);
			expect(await refusal(second, ...(await again()))).toContain("Change or delete these");
			expect(await qemuPids(second)).toEqual(pids);
			await second.libvirtd.runInNamespace("virsh", ["--quiet", "destroy", id]);
			await cli(second, ...(await again()));
			await cli(first, "vm", "start", "spare");
			await first.untilVm(id, "it to run", ({ status }) => status.powerState === "running");
			expect([(await qemuPids(first)).length, await qemuPids(second)]).toEqual([1, []]);
		} finally {
			for (const end of ends) await end();
			rmSync(poolPath, { recursive: true, force: true });
		}
	},
	limitMs,
);
