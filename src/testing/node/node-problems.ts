/** What must hold once a node has come to rest, whatever happened before: what is not so, as sentences. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { FakePool } from "../../storage/fake.ts";
import type { Store } from "../../store/store.ts";
import type { NodeWorld } from "./node-world.ts";

export async function findProblems(world: NodeWorld): Promise<string[]> {
	const found: string[] = [];
	for (const task of world.unfinished()) found.push(`task ${task.kind} is ${task.state}`);
	const vms = new Map(world.store.all("vm").map((vm) => [vm.id, vm]));
	const domains = new Map((await world.hypervisor.listDomains()).map((domain) => [domain.id, domain]));
	for (const domain of domains.values()) {
		if (domain.ours && !vms.has(domain.id)) found.push(`domain ${domain.id} has no VM`);
	}
	for (const vm of vms.values()) {
		const domain = domains.get(vm.id);
		const { powerState, observedGeneration, taskId } = vm.status;
		if (taskId !== null) found.push(`VM ${vm.name} says that task ${taskId} owns it`);
		if (vm.deleting) found.push(`VM ${vm.name} is still being deleted`);
		// What cannot be defined (a disk of it is in error) is said to differ.
		const told = vm.status.differences.some((difference) => difference.field === "definition");
		if (observedGeneration > 0 && domain?.definedGeneration !== vm.generation && !told)
			found.push(`VM ${vm.name} is defined as ${domain?.definedGeneration}, not ${vm.generation}`);
		const alive = domain !== undefined && domain.powerState !== "stopped" && domain.powerState !== "failed";
		const expected = alive ? [domain.powerState] : ["stopped", "failed"];
		if (!expected.includes(powerState)) found.push(`VM ${vm.name} is ${expected}, and shown as ${powerState}`);
		// A pause because of a disk error is nobody's wish.
		const wished = alive ? (domain.reason === "io-error" ? "running" : domain.powerState) : "stopped";
		if (vm.desiredPower !== wished) found.push(`VM ${vm.name} is ${powerState}, and ${vm.desiredPower} is desired`);
	}
	for (const [poolId, pool] of world.pools) found.push(...poolProblems(world.store, poolId, pool));
	found.push(...snapshotProblems(world));
	const folders = await readdir(join(world.dataDir, "vms")).catch(() => []);
	for (const folder of folders) if (!vms.has(folder)) found.push(`folder ${folder} has no VM`);
	return found;
}

function poolProblems(store: Store, poolId: string, pool: FakePool): string[] {
	const found: string[] = [];
	const volumes = new Map(store.all("volume", { poolId }).map((volume) => [volume.id, volume]));
	for (const id of pool.volumes.keys()) if (!volumes.has(id)) found.push(`the file of volume ${id} has no record`);
	for (const volume of volumes.values()) {
		const here = pool.volumes.has(volume.id);
		if (volume.phase === "ready" && !here) found.push(`volume ${volume.name} is ready and has no file`);
		const vm = volume.vmId === null ? null : store.get("vm", volume.vmId);
		// A VM whose making was called off: its next start makes the volume, or finds that a daemon before had made it.
		const waits = volume.phase === "pending" && vm?.status.observedGeneration === 0;
		if (volume.phase !== "ready" && volume.phase !== "error" && !waits)
			found.push(`volume ${volume.name} is ${volume.phase}`);
		const size = pool.volumes.get(volume.id)?.content.length;
		if (volume.phase === "ready" && size !== undefined && size > volume.sizeBytes)
			found.push(`volume ${volume.name} has ${size} bytes, and its record says ${volume.sizeBytes}`);
	}
	const images = new Map(store.all("image", { poolId }).map((image) => [image.id, image]));
	for (const id of [...pool.images.keys(), ...pool.uploads.keys()])
		if (!images.has(id)) found.push(`the file of image ${id} has no record`);
	for (const image of images.values()) {
		if (image.phase === "ready" && !pool.images.has(image.id))
			found.push(`image ${image.name} is ready, without a file`);
		if (image.phase === "error" && pool.uploads.has(image.id)) found.push(`image ${image.name} left its upload`);
		if (image.phase !== "ready" && image.phase !== "error") found.push(`image ${image.name} is ${image.phase}`);
	}
	return found;
}

function snapshotProblems({ store, pools }: NodeWorld): string[] {
	const found: string[] = [];
	const volumes = new Map([...pools.values()].flatMap((pool) => [...pool.volumes]));
	const records = new Map(store.all("snapshot").map((snapshot) => [snapshot.id, snapshot]));
	for (const { name, id, phase, disks, vmId, current } of records.values()) {
		if (phase !== "ready" && phase !== "error") found.push(`snapshot ${name} is ${phase}`);
		for (const { volumeId } of phase === "ready" ? disks : [])
			if (!volumes.get(volumeId)?.snapshots.some((one) => one.id === id))
				found.push(`snapshot ${name} is ready, and disk ${volumeId} has none`);
		const others = [...records.values()].filter((other) => other.vmId === vmId && other.id !== id);
		if (current && others.some((other) => other.current)) found.push(`VM ${vmId} is at two snapshots`);
	}
	for (const [volumeId, { snapshots }] of volumes)
		for (const { id } of snapshots)
			if (!records.has(id)) found.push(`snapshot ${id} of volume ${volumeId} has no record`);
	return found;
}
