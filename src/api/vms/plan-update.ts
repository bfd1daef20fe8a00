/** Body of `PATCH /v1/vms/{id}` merged into the VM's spec. Pure but for reads of the state; see plan-create.ts.
 * Whether the VM's state allows the change is decided where the command applies. */
import { AppError } from "../../lib/errors.ts";
import type { NicSpec, Vm, VmSpec, VmUpdate } from "../../model/vm.ts";
import { checkMemory, chooseImage, chooseVolume, FieldErrors, type PlanState } from "./plan-state.ts";

export type PlannedUpdate = { name?: string; description?: string; tags?: string[]; spec?: VmSpec };

export function planVmUpdate(vm: Vm, update: VmUpdate, state: PlanState): PlannedUpdate {
	const errors = new FieldErrors();
	const hostBytes = state.get("node", vm.nodeId)?.status.memoryBytes ?? 0;
	const spec: VmSpec = {
		...vm.spec,
		...pick(update, ["firmware", "tpm", "disks", "cdroms", "nics", "cloudInit", "autostart", "shutdownTimeoutMs"]),
		cpu: mergeCpu(vm.spec, update, errors),
		memory: mergeMemory(vm.spec, update, hostBytes, errors),
	};
	checkDevices(spec, errors);
	if (update.disks) checkDisks(vm, spec, state, errors);
	if (update.cdroms) checkCdroms(vm, spec, state, errors);
	if (update.nics) checkNics(vm, spec.nics, state, errors);
	spec.bootOrder = mergeBootOrder(vm.spec, spec, update.bootOrder, errors);
	errors.check("The VM cannot be changed");
	const specMembers = Object.keys(update).filter((key) => !["name", "description", "tags"].includes(key));
	return { ...pick(update, ["name", "description", "tags"]), ...(specMembers.length > 0 ? { spec } : {}) };
}

/** The members of `from` that are given. */
function pick<T extends object, K extends keyof T>(
	from: T,
	keys: readonly K[],
): { [P in K]?: Exclude<T[P], undefined> } {
	return Object.fromEntries(keys.filter((key) => from[key] !== undefined).map((key) => [key, from[key]])) as {
		[P in K]?: Exclude<T[P], undefined>;
	};
}

function mergeCpu(now: VmSpec, update: VmUpdate, errors: FieldErrors): VmSpec["cpu"] {
	const vcpus = update.vcpus ?? now.cpu.vcpus;
	// A number beyond the old maximum raises it: the maximum then takes effect at the next start.
	const maxVcpus = update.maxVcpus ?? Math.max(now.cpu.maxVcpus, vcpus);
	if (maxVcpus < vcpus) errors.add("/maxVcpus", "The maximum is less than the number of CPUs.");
	return { vcpus, maxVcpus, model: update.cpuModel ?? now.cpu.model };
}

function mergeMemory(now: VmSpec, update: VmUpdate, hostBytes: number, errors: FieldErrors): VmSpec["memory"] {
	const sizeBytes = update.memoryBytes ?? now.memory.sizeBytes;
	const maxSizeBytes = update.maxMemoryBytes ?? Math.max(now.memory.maxSizeBytes, sizeBytes);
	if (update.memoryBytes !== undefined) checkMemory(sizeBytes, hostBytes, "/memoryBytes", errors);
	if (update.maxMemoryBytes !== undefined) checkMemory(maxSizeBytes, 0, "/maxMemoryBytes", errors);
	if (maxSizeBytes < sizeBytes) errors.add("/maxMemoryBytes", "The maximum is less than the memory.");
	return { sizeBytes, maxSizeBytes };
}

/** Device ids name one device each. */
function checkDevices(spec: VmSpec, errors: FieldErrors): void {
	const seen = new Set<string>();
	for (const kind of ["disks", "cdroms", "nics"] as const)
		for (const [index, device] of spec[kind].entries()) {
			if (seen.has(device.id)) errors.add(`/${kind}/${index}/id`, `The device id ${device.id} is used twice.`);
			seen.add(device.id);
		}
}

function checkDisks(vm: Vm, spec: VmSpec, state: PlanState, errors: FieldErrors): void {
	const attached = new Set<string>();
	for (const [index, disk] of spec.disks.entries()) {
		const path = `/disks/${index}/volumeId`;
		if (attached.has(disk.volumeId)) errors.add(path, "The volume is named twice.");
		attached.add(disk.volumeId);
		const before = vm.spec.disks.find((other) => other.id === disk.id);
		if (before && before.volumeId !== disk.volumeId)
			errors.add(path, "Another volume is another disk: give it an id of its own.");
		if (!vm.spec.disks.some((other) => other.volumeId === disk.volumeId))
			chooseVolume(state, vm.nodeId, disk.volumeId, vm.id, path, errors);
	}
}

function checkCdroms(vm: Vm, spec: VmSpec, state: PlanState, errors: FieldErrors): void {
	for (const [index, { id, imageId }] of spec.cdroms.entries()) {
		if (imageId === null || vm.spec.cdroms.some((other) => other.id === id && other.imageId === imageId)) continue;
		chooseImage(state, vm.nodeId, imageId, "cdrom", `/cdroms/${index}/imageId`, errors);
	}
}

function checkNics(vm: Vm, nics: NicSpec[], state: PlanState, errors: FieldErrors): void {
	const own = new Set(vm.spec.nics.map((nic) => nic.mac));
	const seen = new Set<string>();
	for (const [index, nic] of nics.entries()) {
		const network = state.get("network", nic.networkId);
		if (!network || network.deleting) errors.add(`/nics/${index}/networkId`, "There is no such network.");
		const path = `/nics/${index}/mac`;
		if (seen.has(nic.mac)) errors.add(path, "The address is named twice.");
		seen.add(nic.mac);
		if (!own.has(nic.mac) && state.macInUse(nic.mac))
			throw new AppError("already-exists", `The MAC address ${nic.mac} is in use.`, {
				fields: [{ path, message: "This address is in use." }],
			});
	}
}

/** As asked; else the old order without what is gone, and with new disks and drives at its end. */
function mergeBootOrder(before: VmSpec, after: VmSpec, asked: string[] | undefined, errors: FieldErrors): string[] {
	const devices = new Set([...after.disks, ...after.cdroms, ...after.nics].map((device) => device.id));
	if (asked) {
		for (const [index, id] of asked.entries()) {
			if (!devices.has(id)) errors.add(`/bootOrder/${index}`, `There is no device ${id}.`);
			if (asked.indexOf(id) !== index) errors.add(`/bootOrder/${index}`, `${id} is named twice.`);
		}
		return asked;
	}
	const known = new Set([...before.disks, ...before.cdroms].map((device) => device.id));
	const fresh = [...after.disks, ...after.cdroms].map((device) => device.id).filter((id) => !known.has(id));
	return [...before.bootOrder.filter((id) => devices.has(id)), ...fresh];
}
