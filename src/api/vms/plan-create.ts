/**
 * Body of `POST /v1/vms` + defaults + state → the records of the VM and its volumes. Reads the state and decides;
 * changes nothing. Bad values are collected into one `invalid`; what is only not possible now is `wrong-state`,
 * `in-use` or `no-space`. The same checks hold again where the command applies.
 */

import { placeVm, type WantedVm } from "../../control/placement.ts";
import { type Clock, toRfc3339 } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { IdSource } from "../../lib/ids.ts";
import type { Random } from "../../lib/random.ts";
import { formatBytes } from "../../lib/units.ts";
import type { Network } from "../../model/network.ts";
import type { Node } from "../../model/node.ts";
import { availableOn } from "../../model/pool-parts.ts";
import type { Volume } from "../../model/storage.ts";
import {
	formatsOf,
	isCopiedWhole,
	isShared,
	provisioningObstacle,
	sharesData,
	usualCache,
} from "../../model/storage-rules.ts";
import type { DiskSpec, NicSpec, Vm, VmCreate, VmSpec } from "../../model/vm.ts";
import { defaultMemoryBytes, defaultShutdownTimeoutMs, defaultVcpus } from "../../model/vm.ts";
import { unreportedStatus } from "../../model/vm-rules.ts";
import { checkWorks } from "../../store/apply/checks.ts";
import { defaultAutostart, defaultDiskBytes, defaultMaxMemoryBytes, defaultMaxVcpus } from "./defaults.ts";
import { allocateMac } from "./mac.ts";
import {
	byAge,
	checkMemory,
	checkSectors,
	chooseImage,
	choosePool,
	chooseVolume,
	FieldErrors,
	type PlanState,
	placementState,
} from "./plan-state.ts";

export type PlanTools = { clock: Clock; random: Random; ids: IdSource };
/** `placement`: why it is on its node, when that was chosen here. */
export type PlannedVm = { vm: Vm; volumes: Volume[]; start: boolean; placement: string | null };

type DiskRequest = NonNullable<VmCreate["disks"]>[number];
type Planning = { state: PlanState; tools: PlanTools; node: Node; vmId: string; now: string; errors: FieldErrors };

export function planVmCreate(request: VmCreate, state: PlanState, tools: PlanTools): PlannedVm {
	const errors = new FieldErrors();
	const placed = request.nodeId === undefined ? placeVm(placementState(state), wantedOf(request, state)) : null;
	const node = state.get("node", placed?.nodeId ?? request.nodeId ?? "");
	if (!node) {
		errors.add("/nodeId", "There is no such node.");
		errors.check("The VM cannot be made");
		throw new AppError("internal", "The node is missing.");
	}
	checkWorks(node);
	const now = toRfc3339(tools.clock.nowMs());
	const planning: Planning = { state, tools, node, vmId: tools.ids.newId(), now, errors };
	const start = request.start ?? true;
	const { disks, volumes } = planDisks(request, planning);
	const cdroms = planCdroms(request, planning);
	const spec: VmSpec = {
		firmware: request.firmware ?? "uefi",
		tpm: request.tpm ?? false,
		...planSize(request, planning),
		disks,
		cdroms,
		nics: planNics(request, planning),
		bootOrder: [...disks, ...cdroms].map((device) => device.id),
		cloudInit: request.cloudInit ?? null,
		autostart: request.autostart ?? defaultAutostart,
		shutdownTimeoutMs: request.shutdownTimeoutMs ?? defaultShutdownTimeoutMs,
	};
	errors.check("The VM cannot be made");
	checkSpace(volumes, planning);
	return { vm: newVm(request, spec, start, planning), volumes, start, placement: placed?.reason ?? null };
}

/** What the choice of a node depends on. What does not exist is found out later, with its field. */
function wantedOf(request: VmCreate, state: PlanState): WantedVm {
	const disks = request.disks ?? [{}];
	const poolOfDisc = (imageId: string | null) => {
		const image = imageId === null ? null : state.get("image", imageId);
		return image ? [{ id: image.poolId }] : [];
	};
	const poolsOf = (disk: DiskRequest) => {
		// Of a volume on one node's disk that node is known; a shared one is where its pool is.
		const volume = disk.volumeId ? state.get("volume", disk.volumeId) : null;
		if (disk.volumeId) return volume?.nodeId === null ? [{ id: volume.poolId }] : [];
		const named = [disk.poolId, state.get("image", disk.imageId ?? "")?.poolId];
		const known = named.flatMap((id) => (id && state.get("pool", id) ? [{ id }] : []));
		return known.length > 0 ? known : [null];
	};
	const nics: NonNullable<VmCreate["nics"]> = request.nics ?? [{}];
	return {
		memoryBytes: request.memoryBytes ?? defaultMemoryBytes,
		vcpus: request.vcpus ?? defaultVcpus,
		networks: nics.flatMap(({ networkId }) => {
			const network = networkId === undefined ? defaultNetwork(state) : state.get("network", networkId);
			return network ?? [];
		}),
		pools: [...disks.flatMap(poolsOf), ...(request.cdroms ?? []).flatMap(({ imageId }) => poolOfDisc(imageId))],
		volumes: disks.flatMap(({ volumeId }) => (volumeId ? (state.get("volume", volumeId) ?? []) : [])),
	};
}

function newVm(request: VmCreate, spec: VmSpec, start: boolean, { vmId, node, now }: Planning): Vm {
	return {
		id: vmId,
		generation: 1,
		createdAt: now,
		updatedAt: now,
		name: request.name,
		description: request.description ?? "",
		tags: request.tags ?? [],
		nodeId: node.id,
		spec,
		desiredPower: start ? "running" : "stopped",
		deleting: false,
		status: unreportedStatus("stopped", now),
	};
}

function planSize(request: VmCreate, { node, errors }: Planning): Pick<VmSpec, "cpu" | "memory"> {
	const vcpus = request.vcpus ?? defaultVcpus;
	const maxVcpus = request.maxVcpus ?? defaultMaxVcpus(vcpus);
	if (maxVcpus < vcpus) errors.add("/maxVcpus", "The maximum is less than the number of CPUs.");
	const sizeBytes = request.memoryBytes ?? defaultMemoryBytes;
	checkMemory(sizeBytes, node.status.memoryBytes, "/memoryBytes", errors);
	const maxSizeBytes = request.maxMemoryBytes ?? defaultMaxMemoryBytes(sizeBytes, node.status.memoryBytes);
	if (maxSizeBytes < sizeBytes) errors.add("/maxMemoryBytes", "The maximum is less than the memory.");
	if (request.maxMemoryBytes !== undefined) checkMemory(maxSizeBytes, 0, "/maxMemoryBytes", errors);
	return { cpu: { vcpus, maxVcpus, model: request.cpuModel ?? "portable" }, memory: { sizeBytes, maxSizeBytes } };
}

function planDisks(request: VmCreate, planning: Planning): { disks: DiskSpec[]; volumes: Volume[] } {
	const { state } = planning;
	const disks: DiskSpec[] = [];
	const volumes: Volume[] = [];
	const attached = new Set<string>();
	for (const [index, wanted] of (request.disks ?? [{}]).entries()) {
		const path = `/disks/${index}`;
		const id = `disk-${index}`;
		const volume = wanted.volumeId
			? existingVolume(wanted, path, planning)
			: newVolume(request.name, wanted, index, path, planning);
		if (!volume) continue;
		if (attached.has(volume.id)) planning.errors.add(`${path}/volumeId`, "The volume is named twice.");
		attached.add(volume.id);
		if (wanted.bus === "sata" && wanted.readOnly)
			planning.errors.add(`${path}/readOnly`, "A SATA disk cannot be read-only; choose virtio or SCSI.");
		if (!wanted.volumeId) volumes.push(volume);
		disks.push({
			id,
			volumeId: volume.id,
			bus: wanted.bus ?? "virtio",
			cache: wanted.cache ?? usualCache(state.get("pool", volume.poolId)),
			discard: wanted.discard ?? true,
			readOnly: wanted.readOnly ?? false,
			...(wanted.limits === undefined ? {} : { limits: wanted.limits }),
		});
	}
	return { disks, volumes };
}

function existingVolume(wanted: DiskRequest, path: string, { state, node, errors }: Planning): Volume | null {
	for (const other of ["imageId", "sizeBytes", "poolId", "format", "fullCopy", "provisioning"] as const)
		if (wanted[other] !== undefined)
			errors.add(`${path}/${other}`, "This does not go together with an existing volume.");
	return chooseVolume(state, node.id, wanted.volumeId ?? "", null, `${path}/volumeId`, errors);
}

function newVolume(vmName: string, wanted: DiskRequest, index: number, path: string, planning: Planning) {
	const { state, node, errors, tools, now, vmId } = planning;
	const image = wanted.imageId
		? chooseImage(state, node.id, wanted.imageId, "disk", `${path}/imageId`, errors)
		: undefined;
	if (image === null) return null;
	const pool = choosePool(state, node.id, wanted.poolId ?? image?.poolId, `${path}/poolId`, errors);
	if (!pool) return null;
	const format = wanted.format ?? formatsOf(pool)[0] ?? "qcow2";
	if (!formatsOf(pool).includes(format))
		errors.add(`${path}/format`, `The pool ${pool.name} has no volumes of format ${format}.`);
	const elsewhere = image !== undefined && image.poolId !== pool.id;
	const { provisioning } = wanted;
	const fullCopy = wanted.fullCopy ?? isCopiedWhole(pool, { elsewhere, format, provisioning, nodeId: node.id });
	const shares = image !== undefined && !fullCopy;
	const obstacle = provisioningObstacle(pool, provisioning, { shares, nodeId: node.id });
	if (obstacle !== null) errors.add(`${path}/provisioning`, obstacle);
	if (elsewhere && !fullCopy)
		errors.add(`${path}/fullCopy`, "In another pool than the image only a full copy can be made.");
	if (wanted.fullCopy !== undefined && !image)
		errors.add(`${path}/fullCopy`, "Only a disk made from an image can be a full copy.");
	if (image && !fullCopy && !sharesData(pool, format))
		errors.add(`${path}/fullCopy`, "A copy-on-write disk must be qcow2; make a full copy for raw.");
	const least = image?.virtualSizeBytes ?? 0;
	const sizeBytes = wanted.sizeBytes ?? (least || defaultDiskBytes);
	if (sizeBytes < least) errors.add(`${path}/sizeBytes`, `The image needs at least ${formatBytes(least)}.`);
	checkSectors(sizeBytes, `${path}/sizeBytes`, errors);
	const volume: Volume = {
		id: tools.ids.newId(),
		generation: 1,
		createdAt: now,
		updatedAt: now,
		name: freeVolumeName(state, `${vmName.slice(0, 48)}-disk-${index}`),
		poolId: pool.id,
		nodeId: isShared(pool) ? null : node.id,
		format,
		sizeBytes,
		allocatedBytes: null,
		...(provisioning === undefined ? {} : { provisioning }),
		source: image ? { kind: "image", imageId: image.id, fullCopy } : { kind: "empty" },
		phase: "pending",
		vmId,
		error: null,
	};
	return volume;
}

/** The name, or the name with the first free number behind it. */
function freeVolumeName(state: PlanState, name: string): string {
	if (state.count("volume", { name }) === 0) return name;
	for (let number = 2; number < 1000; number++) {
		const candidate = `${name}-${number}`;
		if (state.count("volume", { name: candidate }) === 0) return candidate;
	}
	throw new AppError("already-exists", `There are too many volumes named ${name}.`);
}

function planCdroms(request: VmCreate, { state, node, errors }: Planning): VmSpec["cdroms"] {
	// One empty drive by default: a disc can then be put in without a restart.
	return (request.cdroms ?? [{ imageId: null }]).map(({ imageId }, index) => {
		if (imageId !== null) chooseImage(state, node.id, imageId, "cdrom", `/cdroms/${index}/imageId`, errors);
		return { id: `cdrom-${index}`, imageId };
	});
}

/** Of NICs that name none: the oldest. */
const defaultNetwork = (state: PlanState): Network | undefined =>
	state
		.all("network")
		.filter((network) => !network.deleting)
		.sort(byAge)[0];

function planNics(request: VmCreate, { state, tools, errors }: Planning): NicSpec[] {
	const fallback = defaultNetwork(state);
	const wanted: NonNullable<VmCreate["nics"]> = request.nics ?? (fallback ? [{}] : []);
	const chosen = new Set<string>();
	const taken = (mac: string) => chosen.has(mac) || state.macInUse(mac);
	return wanted.flatMap((nic, index): NicSpec[] => {
		const path = `/nics/${index}`;
		const network = nic.networkId === undefined ? fallback : state.get("network", nic.networkId);
		if (!network || network.deleting) {
			errors.add(`${path}/networkId`, nic.networkId ? "There is no such network." : "There is no network yet.");
			return [];
		}
		if (nic.mac !== undefined && taken(nic.mac))
			throw new AppError("already-exists", `The MAC address ${nic.mac} is in use.`, {
				fields: [{ path: `${path}/mac`, message: "This address is in use." }],
			});
		const mac = nic.mac ?? allocateMac(tools.random, taken);
		chosen.add(mac);
		return [{ id: `nic-${index}`, networkId: network.id, mac, model: nic.model ?? "virtio", linkUp: true }];
	});
}

/** Full copies and thick disks need their space at once; others grow later and are watched by the pool's health. */
function checkSpace(volumes: Volume[], { state, node }: Planning): void {
	const needed = new Map<string, number>();
	const bytesOf = ({ provisioning, sizeBytes, source }: Volume): number => {
		if (provisioning === "thick") return sizeBytes;
		if (source.kind !== "image" || !source.fullCopy) return 0;
		return state.get("image", source.imageId)?.fileSizeBytes ?? 0;
	};
	for (const volume of volumes) needed.set(volume.poolId, (needed.get(volume.poolId) ?? 0) + bytesOf(volume));
	for (const [poolId, bytes] of needed) {
		const pool = state.get("pool", poolId);
		const available = pool ? availableOn(pool, node.id) : null;
		if (pool && available !== null && available < bytes)
			throw new AppError(
				"no-space",
				`The pool ${pool.name} has ${formatBytes(available)} left; ${formatBytes(bytes)} are needed.`,
			);
	}
}
