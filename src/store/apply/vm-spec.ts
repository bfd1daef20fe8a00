/** References of a VM's spec: disks to volumes, drives to images, NICs to networks and MAC addresses. */
import { AppError } from "../../lib/errors.ts";
import { listNames } from "../../lib/list-names.ts";
import type { Volume } from "../../model/storage.ts";
import type { Vm, VmSpec } from "../../model/vm.ts";
import { vmSpecProblems } from "../../model/vm-rules.ts";
import type { ApplyContext } from "./context.ts";
import { checkNoWork, clonesHolding } from "./volume.ts";

type Owner = Pick<Vm, "id" | "nodeId">;

/** Checks the spec against itself and against everything that it refers to. `before`: the spec that it replaces. */
export function checkVmSpec(context: ApplyContext, owner: Owner, spec: VmSpec, before: VmSpec | null): void {
	const fields = vmSpecProblems(spec);
	if (fields.length > 0) throw new AppError("invalid", "The parts of the VM do not fit together.", { fields });
	const onlyRead = new Set(before?.disks.filter(({ readOnly }) => readOnly).map(({ volumeId }) => volumeId));
	spec.disks.forEach((disk, position) => {
		const volume = context.needReferenced("volume", disk.volumeId, `/spec/disks/${position}/volumeId`);
		checkAttachable(context, owner, volume, disk.readOnly, `/spec/disks/${position}/volumeId`);
		// Commands of members of before mean what they meant: there it was looked at only when the volume was attached.
		const isNowWritten = volume.vmId === owner.id && onlyRead.has(volume.id) && !disk.readOnly;
		if (context.freesSources && isNowWritten) checkNothingRestsOn(context, volume, "It stays read-only.");
	});
	const discsBefore = new Set(before?.cdroms.map((cdrom) => cdrom.imageId));
	spec.cdroms.forEach((cdrom, position) => {
		if (cdrom.imageId !== null && !discsBefore.has(cdrom.imageId))
			checkDisc(context, owner, cdrom.imageId, `/spec/cdroms/${position}/imageId`);
	});
	const networksBefore = new Set(before?.nics.map((nic) => nic.networkId));
	spec.nics.forEach((nic, position) => {
		const network = context.needReferenced("network", nic.networkId, `/spec/nics/${position}/networkId`);
		if (network.deleting && !networksBefore.has(nic.networkId))
			throw new AppError("wrong-state", `The network ${network.name} is being deleted.`);
		const holder = context.state.linked("vm", "mac", nic.mac).find((vm) => vm.id !== owner.id);
		if (holder) {
			const message = `The MAC address ${nic.mac} belongs to the VM ${holder.name}.`;
			throw new AppError("already-exists", message, { fields: [{ path: `/spec/nics/${position}/mac`, message }] });
		}
	});
}

function checkAttachable(context: ApplyContext, owner: Owner, volume: Volume, readOnly: boolean, path: string): void {
	if (volume.vmId === owner.id) return;
	if (volume.vmId !== null) {
		const other = context.get("vm", volume.vmId);
		throw new AppError("in-use", `The volume ${volume.name} is attached to the VM ${other?.name ?? volume.vmId}.`);
	}
	if (volume.phase === "deleting" || volume.phase === "error")
		throw new AppError("wrong-state", `The volume ${volume.name} is ${volume.phase}.`);
	checkNoWork(context, volume);
	if (volume.nodeId !== null && volume.nodeId !== owner.nodeId) {
		const message = `The volume ${volume.name} lies on another node than the VM.`;
		throw new AppError("invalid", message, { fields: [{ path, message }] });
	}
	if (volume.nodeId === null && context.get("pool", volume.poolId)?.nodeIds.includes(owner.nodeId) === false) {
		const message = `The volume ${volume.name} lies in a storage pool that is not on the node of the VM.`;
		throw new AppError("invalid", message, { fields: [{ path, message }] });
	}
	if (!readOnly) checkNothingRestsOn(context, volume, "It can be attached read-only.");
}

/** `then`: what is possible all the same, as a sentence. */
function checkNothingRestsOn(context: ApplyContext, volume: Volume, then: string): void {
	const clones = clonesHolding(context, volume).map(({ name }) => name);
	if (clones.length === 0) return;
	throw new AppError("in-use", `Other volumes share data with ${volume.name}: ${listNames(clones.sort())}. ${then}`);
}

function checkDisc(context: ApplyContext, owner: Owner, imageId: string, path: string): void {
	const image = context.needReferenced("image", imageId, path);
	if (image.phase !== "ready" && image.phase !== "importing")
		throw new AppError("wrong-state", `The image ${image.name} is ${image.phase}.`);
	// Its node fetches it from another one, into its own part of the pool.
	const pool = image.nodeId === owner.nodeId ? null : context.get("pool", image.poolId);
	if (pool !== null && !pool.nodeIds.includes(owner.nodeId)) {
		const message = `The image ${image.name} lies in a storage pool that is not on the node of the VM.`;
		throw new AppError("invalid", message, { fields: [{ path, message }] });
	}
}

/** Volumes say which VM they are attached to: brings that in line with the spec. */
export function attachVolumes(context: ApplyContext, vmId: string, spec: VmSpec): void {
	const wanted = new Set(spec.disks.map((disk) => disk.volumeId));
	for (const volume of context.state.volumesOfVm(vmId))
		if (!wanted.has(volume.id)) {
			checkNoWork(context, volume);
			context.update("volume", volume, { ...volume, vmId: null });
		}
	for (const id of wanted) {
		const volume = context.need("volume", id);
		if (volume.vmId !== vmId) context.update("volume", volume, { ...volume, vmId });
	}
}
