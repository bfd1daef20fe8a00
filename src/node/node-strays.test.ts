/** A VM that runs here although another node has it: said where people look, and nothing else is done to it. */
import { expect, test } from "bun:test";
import { clusterIds } from "../testing/fixtures.ts";
import { type Pair, pair } from "../testing/node/moving.ts";
import { secondNodeId } from "../testing/node/second-node.ts";

/** It runs on the first node, which is cut off: the second has its record by now. */
async function takenOver({ first, second }: Pair) {
	const { id } = await first.createVm({ name: "web", volumes: [], start: true });
	await first.settle();
	expect(first.vm(id).status.powerState).toBe("running");
	first.kill();
	await first.propose({ kind: "nodeLost", id: clusterIds.node, reason: "not heard of", lost: true });
	const task = second.task("vm.move", id);
	const confirmed = { confirmNodeOff: "node-1", onlyLost: true } as const;
	await second.propose({ kind: "vmMove", id, nodeId: secondNodeId, task, ...confirmed });
	await second.settle();
	return id;
}

test("a node that comes back says in the VM's record that it runs there; it is not started meanwhile, and nothing is ended", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const id = await takenOver(nodes);
	expect(first.vm(id)).not.toHaveProperty("alsoRunsOn");
	await first.boot();
	await first.settle();
	expect(first.vm(id)).toMatchObject({ nodeId: secondNodeId, alsoRunsOn: [clusterIds.node] });
	await expect(second.act("vm.start", id)).rejects.toMatchObject({ code: "wrong-state" });
	expect((await first.hypervisor.getDomain(id))?.powerState).toBe("running");

	const [listed, ...more] = await first.service.foreignVms();
	expect(more).toEqual([]);
	expect(listed).toMatchObject({ id, powerState: "running", nodeId: clusterIds.node });
	expect(listed?.obstacles).toEqual([
		`This is the VM web of the cluster, which is on node-2: it runs here, too, and where both write to the same disk they destroy it. Shut it down here with virsh shutdown ${id}, or virsh destroy ${id}; nothing here does so by itself.`,
	]);
	await expect(first.service.planAdoption(id)).rejects.toMatchObject({ code: "already-exists" });

	await first.hypervisor.destroy(id);
	await first.settle();
	expect(first.vm(id)).not.toHaveProperty("alsoRunsOn");
	expect((await first.service.foreignVms())[0]?.obstacles[0]).toStartWith("This is what is left here of the VM web");
	await second.act("vm.start", id);
	await second.settle();
	expect(second.vm(id).status.powerState).toBe("running");
});

test("it is found where both run already, and while the daemon runs on", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const { id } = await first.createVm({ name: "web", volumes: [], start: true });
	await first.settle();
	first.hypervisor.setConnection("disconnected");
	await first.settle();
	// As a member of before told it.
	const task = second.task("vm.move", id);
	await second.propose({ kind: "vmMove", id, nodeId: secondNodeId, task, confirmNodeOff: "node-1" });
	await second.act("vm.start", id);
	await second.settle();
	first.hypervisor.setConnection("connected");
	await first.settle();
	expect(first.vm(id)).toMatchObject({
		...{ nodeId: secondNodeId, alsoRunsOn: [clusterIds.node], status: { powerState: "running" } },
	});
	expect((await first.hypervisor.getDomain(id))?.powerState).toBe("running");
	// After a restart of the daemon it knows what it has said.
	await first.boot();
	await first.settle();
	await first.hypervisor.destroy(id);
	await first.settle();
	expect(first.vm(id)).not.toHaveProperty("alsoRunsOn");
});

test("a start that was accepted before it was known is not done", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const id = await takenOver(nodes);
	second.kill();
	const start = await second.act("vm.start", id);
	await first.boot();
	await first.until(() => first.vm(id).alsoRunsOn !== undefined);
	await second.boot();
	await second.settle();
	expect(second.taskOf(start)).toMatchObject({ state: "failed", error: { code: "wrong-state" } });
	expect((await second.hypervisor.getDomain(id))?.powerState ?? "stopped").toBe("stopped");
});

test("a VM of a node that shares this libvirt is that node's alone", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const { id } = await first.createVm({ name: "web", volumes: [], start: true });
	await first.settle();
	// Both read the same domains; the folder in the definition is the first one's.
	const { hypervisor } = first;
	for (const name of ["listDomains", "getDomain", "domainXml"] as const)
		second.hypervisor[name] = hypervisor[name].bind(hypervisor) as never;
	await second.boot();
	await second.settle();
	expect(first.vm(id)).not.toHaveProperty("alsoRunsOn");
	expect(await second.service.foreignVms()).toEqual([]);
});
