/** For tests of VMs that move: two nodes, a VM that is off on the first, and where everything of it has to be. */
import { expect } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { clusterIds } from "../fixtures.ts";
import { NodeWorld } from "./node-world.ts";
import { joinSecond, secondNodeId } from "./second-node.ts";
import { bytes } from "./storage-deeds.ts";
import { worldVmState } from "./world-deps.ts";

export type Pair = { first: NodeWorld; second: NodeWorld } & AsyncDisposable;

export async function pair(): Promise<Pair> {
	const first = await NodeWorld.open();
	const second = await joinSecond(first);
	await first.boot();
	await second.boot();
	await first.settle();
	return {
		first,
		second,
		async [Symbol.asyncDispose]() {
			await second[Symbol.asyncDispose]();
			await first[Symbol.asyncDispose]();
		},
	};
}

export async function stoppedVm({ first }: Pair, format: "qcow2" | "raw" = "qcow2") {
	const vm = await first.createVm({
		name: "web",
		volumes: [
			{ format, sizeBytes: 2 * MiB },
			{ format: "raw", sizeBytes: MiB },
		],
		start: false,
	});
	await first.settle();
	first.driver.writeContent(vm.volumeIds[0] ?? "", 4096, bytes);
	await worldVmState(first.dataDir).write(vm.id, [
		{ part: "nvram", bytes: new Uint8Array(540_000).fill(7) },
		{ part: "tpm", bytes: new Uint8Array(6000).fill(9) },
	]);
	return vm;
}

export async function askToMove({ second }: Pair, vmId: string): Promise<string> {
	const task = second.task("vm.move", vmId, { fromNodeId: clusterIds.node });
	await second.propose({ kind: "vmMove", id: vmId, nodeId: secondNodeId, task, confirmNodeOff: null });
	return task.id;
}

export const contentOf = (world: NodeWorld, id: string) => world.pool.volumes.get(id)?.content.sha256();

export async function expectAt(world: NodeWorld, other: NodeWorld, vmId: string, volumeIds: string[]): Promise<void> {
	expect(world.vm(vmId).nodeId).toBe(world.nodeId);
	expect([...world.pool.volumes.keys()].sort()).toEqual([...volumeIds].sort());
	for (const id of volumeIds) expect(world.volume(id)).toMatchObject({ nodeId: world.nodeId, phase: "ready" });
	expect([...other.pool.volumes.keys()]).toEqual([]);
	expect((await world.hypervisor.listDomains()).map(({ id }) => id)).toEqual([vmId]);
	expect(await other.hypervisor.listDomains()).toEqual([]);
	expect((await worldVmState(other.dataDir).read(vmId)).map(({ part }) => part)).toEqual([]);
	expect((await worldVmState(world.dataDir).read(vmId)).map(({ part }) => part)).toEqual(["nvram", "tpm"]);
	expect(world.unfinished()).toEqual([]);
}
