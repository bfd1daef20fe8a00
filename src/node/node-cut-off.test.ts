/** A VM runs once: what a node was told to start counts only while it is known that the VM is still this node's to start. */
import { expect, test } from "bun:test";
import { clusterIds } from "../testing/fixtures.ts";
import { Cut } from "../testing/node/cut-off.ts";
import { type Pair, pair } from "../testing/node/moving.ts";
import type { NodeWorld } from "../testing/node/node-world.ts";
import { secondNodeId } from "../testing/node/second-node.ts";
import { bounds } from "./limits.ts";

const diskless = async ({ first }: Pair) => {
	const { id } = await first.createVm({ name: "web", volumes: [], start: false });
	await first.settle();
	return id;
};

/** The first node is off by a person's word, and the second has the VM. */
async function takeOver({ first, second }: Pair, id: string): Promise<void> {
	await first.propose({ kind: "nodeLost", id: clusterIds.node, reason: "not heard of", lost: true });
	await first.settleLoops();
	const task = second.task("vm.move", id);
	const confirmed = { confirmNodeOff: "node-1", onlyLost: true } as const;
	await second.propose({ kind: "vmMove", id, nodeId: secondNodeId, task, ...confirmed });
	await second.settleLoops();
}

const runs = async ({ hypervisor }: NodeWorld, id: string) =>
	["starting", "running", "paused"].includes((await hypervisor.getDomain(id))?.powerState ?? "none");

const starts = ({ hypervisor }: NodeWorld) => hypervisor.calls.filter((call) => call.startsWith("start ")).length;

async function minutes({ first, second }: Pair): Promise<void> {
	for (let step = 0; step < 24; step++) {
		await first.settleLoops();
		await second.settleLoops();
		first.clock.advance(10_000);
	}
	await first.settleLoops();
}

/** The power went just before libvirt was told to start the VM. */
async function cutInTheMiddle(nodes: Pair, id: string): Promise<string> {
	const { first } = nodes;
	const before = first.life.calls.length;
	const start = async () => {
		const taskId = await first.act("vm.start", id);
		await first.until(() => first.life.dead || first.unfinished().length === 0, { stepMs: 1000, limitMs: 60_000 });
		return taskId;
	};
	await start();
	const offset = first.life.calls.slice(before).indexOf("hypervisor.start");
	expect(offset).toBeGreaterThan(0);
	await first.act("vm.stop", id);
	await first.settle();
	first.life.killAt({ call: first.life.calls.length + offset + 1, when: "before" });
	const taskId = await start();
	expect(first.life.dead).toBe(true);
	expect(first.taskOf(taskId)).toMatchObject({ state: "running", cancelable: false });
	expect(first.vm(id).status.powerState).toBe("starting");
	first.powerCut();
	return taskId;
}

test("a start in the middle of which the power went is not gone on with before there is a quorum", async () => {
	await using nodes = await pair();
	const { first } = nodes;
	const id = await diskless(nodes);
	const taskId = await cutInTheMiddle(nodes, id);
	const cut = new Cut(first, true);
	const before = starts(first);
	await first.boot(null, cut.deps);
	await minutes(nodes);
	expect([starts(first) - before, await runs(first, id)]).toEqual([0, false]);
	expect(first.taskOf(taskId).state).toBe("running");
	cut.isCut = false;
	await first.settle({ stepMs: 5_000, limitMs: 60_000 });
	expect(first.taskOf(taskId).state).toBe("succeeded");
	expect(first.vm(id).status.powerState).toBe("running");
});

test("what was taken over meanwhile is never started by the node that comes back", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const id = await diskless(nodes);
	const taskId = await cutInTheMiddle(nodes, id);
	await takeOver(nodes, id);
	await second.act("vm.start", id);
	await second.settle();
	const before = starts(first);
	await first.boot();
	await minutes(nodes);
	expect([starts(first) - before, await runs(first, id), await runs(second, id)]).toEqual([0, false, true]);
	expect(first.taskOf(taskId).state).toBe("canceled");
});

test("a start that waits while its node is cut off is not gone on with when what it waits for comes", async () => {
	await using nodes = await pair();
	const { first } = nodes;
	const cut = new Cut(first, false);
	await first.boot(null, cut.deps);
	const id = await diskless(nodes);
	const held = first.networks.faults.hold("ensure");
	const taskId = await first.act("vm.start", id);
	await held.reached;
	cut.isCut = true;
	held.release();
	await minutes(nodes);
	expect([starts(first), await runs(first, id)]).toEqual([0, false]);
	cut.isCut = false;
	await first.settle({ stepMs: 5_000, limitMs: 120_000 });
	expect([first.taskOf(taskId).state, first.vm(id).status.powerState]).toEqual(["succeeded", "running"]);
});

test("a start that waited while the VM was taken over ends without it", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const cut = new Cut(first, false);
	await first.boot(null, cut.deps);
	const id = await diskless(nodes);
	const held = first.networks.faults.hold("ensure");
	await first.act("vm.start", id);
	await held.reached;
	cut.isCut = true;
	await takeOver(nodes, id);
	await second.act("vm.start", id);
	await second.settleLoops();
	held.release();
	await first.settleLoops();
	cut.isCut = false;
	await minutes(nodes);
	expect([starts(first), await runs(second, id)]).toEqual([0, true]);
	expect(first.vm(id)).toMatchObject({ nodeId: secondNodeId, status: { powerState: "running", error: null } });
	expect(first.unfinished()).toEqual([]);
});

test("a start that waited for its turn while the VM was taken over is not made", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const cut = new Cut(first, false);
	await first.boot(null, cut.deps);
	const id = await diskless(nodes);
	const others: string[] = [];
	for (let number = 0; number < bounds.vmSteps; number++) {
		const other = await first.createVm({ volumes: [], start: false });
		await first.settle();
		await first.act("vm.start", other.id, { paused: true });
		await first.settle();
		others.push(other.id);
	}
	const before = starts(first);
	const { faults } = first.hypervisor;
	// All that is left of the start is to start it.
	const defined = faults.hold("define", { id, when: "after" });
	await first.act("vm.start", id);
	await defined.reached;
	const held = others.map((other) => faults.hold("resume", { id: other }));
	for (const other of others) await first.act("vm.resume", other);
	await first.settleLoops();
	defined.release();
	await first.settleLoops();
	cut.isCut = true;
	await takeOver(nodes, id);
	await second.act("vm.start", id);
	await second.settleLoops();
	cut.isCut = false;
	for (const { release } of held) release();
	await minutes(nodes);
	expect([starts(first) - before, await runs(first, id), await runs(second, id)]).toEqual([0, false, true]);
});

test("work on a VM that came to a node because it was asked of an old copy is not done", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const cut = new Cut(first, false);
	await first.boot(null, cut.deps);
	const id = await diskless(nodes);
	cut.isCut = true;
	await takeOver(nodes, id);
	cut.isCut = false;
	// As whoever asks a node that does not know yet where the VM is now.
	const taskId = await first.act("vm.start", id);
	await minutes(nodes);
	expect([starts(first), await runs(first, id)]).toEqual([0, false]);
	expect(first.taskOf(taskId)).toMatchObject({
		...{ state: "failed", error: { code: "wrong-state", message: "The VM is on the node node-2 by now. Try again." } },
	});
	expect(first.vm(id)).toMatchObject({ nodeId: secondNodeId, status: { powerState: "stopped", taskId: null } });
	const again = second.task("vm.start", id);
	await second.propose({ kind: "vmAction", id, task: again });
	await second.settle();
	expect(await runs(second, id)).toBe(true);
});

test("a VM that was taken over while its host booted is not asked to start there", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const autostart = { enabled: true, order: 1, delayMs: 0 };
	const { id } = await first.createVm({ name: "web", volumes: [], start: false, spec: { autostart } });
	await first.settle();
	first.powerCut();
	const cut = new Cut(first, true);
	await first.boot(null, cut.deps);
	await first.settleLoops();
	await takeOver(nodes, id);
	cut.isCut = false;
	await minutes(nodes);
	expect(first.store.all("task", { kind: "vm.start" })).toEqual([]);
	expect(second.vm(id)).toMatchObject({ nodeId: secondNodeId, desiredPower: "stopped" });
	expect([starts(first), await runs(second, id)]).toEqual([0, false]);
});
