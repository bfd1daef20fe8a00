/** What can be done with a volume. */
import { ArrowRightLeft, Copy, Disc3, Download, Maximize2, ShieldCheck, Trash2, Unlink } from "lucide-preact";
import { h } from "preact";
import { diskReadObstacle, isVmOff } from "../../../src/model/actions.ts";
import { flattenObstacle, flattensOffline } from "../../../src/model/storage-rules.ts";
import { volumeResizeObstacle } from "../../../src/model/volume-rules.ts";
import { operationUrl } from "../../api/call.ts";
import { live } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Pool, Volume } from "../../api/types.ts";
import { act } from "../../api/write.ts";
import { confirm } from "../../components/confirm.tsx";
import type { Action } from "../../components/menu.tsx";
import { download } from "../../lib/download.ts";
import { common } from "../../strings/common.ts";
import { devices } from "../../strings/devices.ts";
import { states } from "../../strings/states.ts";
import { storage as t } from "../../strings/storage.ts";
import { aroundVolume, keptObstacle } from "./around-volume.ts";
import { workObstacle } from "./volume-work.ts";

type Handlers = {
	onClone: (volume: Volume) => void;
	onResize: (volume: Volume) => void;
	onMakeImage: (volume: Volume) => void;
	onMove: (volume: Volume) => void;
	onCheck: (volume: Volume) => void;
	route: (url: string) => void;
	/** After it was deleted. */
	after?: () => void;
};

const notReady = ({ phase }: Volume): string | null =>
	phase === "ready" ? null : t.notReady(states.volume[phase].toLowerCase());

const isOff = ({ vmId }: Volume): boolean =>
	vmId === null || isVmOff(live.vm.peek(vmId)?.status.powerState ?? "unknown");

/** A disk that a running guest writes to cannot be read consistently from outside. */
function inUse(volume: Volume): string | null {
	if (isOff(volume)) return workObstacle(volume);
	const vm = live.vm.peek(volume.vmId ?? "");
	return vm ? diskReadObstacle(vm) : common.notYetKnown;
}

/** Its VM may run. Copies that rest on it would be cut off, and snapshots left behind. */
export const moveObstacle = (volume: Volume): string | null =>
	obstacleTo("volumeMove") ??
	notReady(volume) ??
	workObstacle(volume) ??
	sharesObstacle(volume) ??
	keptObstacle(volume);

export const checkObstacle = (volume: Volume): string | null =>
	obstacleTo("volumeCheck") ?? notReady(volume) ?? workObstacle(volume) ?? (isOff(volume) ? null : t.checkRunning);

/** What it says of VMs of copies that rest on it is left to the node. */
export function flattenObstacleOf(volume: Volume): string | null {
	const obstacle = obstacleTo("volumeFlatten") ?? notReady(volume) ?? workObstacle(volume);
	return obstacle ?? flattenObstacle(volume, live.pool.peek(volume.poolId), isOff(volume));
}

function sharesObstacle(volume: Volume): string | null {
	const copy = aroundVolume(volume).volumes.find(({ source }) => source.kind === "clone" && !source.fullCopy);
	return copy ? t.sharesData(copy.name) : null;
}

export const deleteObstacle = (volume: Volume): string | null =>
	obstacleTo("volumeDelete") ?? (volume.vmId === null ? deleteDetachedObstacle(volume) : t.inUse);

/** As `deleteObstacle`, of a volume that its VM lets go of first. */
export const deleteDetachedObstacle = (volume: Volume): string | null =>
	obstacleTo("volumeDelete") ??
	(volume.phase === "deleting" ? t.isDeleting : null) ??
	workHere(volume) ??
	keptObstacle(volume);

/** On a node that has left, nothing goes on. */
const workHere = (volume: Volume): string | null =>
	volume.nodeId !== null && live.node.peek(volume.nodeId)?.status.phase === "left" ? null : workObstacle(volume);

/** Pools differ in whether a disk can grow under a running guest. */
export function resizeObstacle(volume: Volume): string | null {
	const pool = live.pool.peek(volume.poolId);
	const capabilities = pool?.nodes.find((node) => node.capabilities !== null)?.capabilities;
	if (!isOff(volume) && capabilities?.resizeOnline === false) return devices.resizeOffline;
	return (
		obstacleTo("volumeResize") ??
		notReady(volume) ??
		workObstacle(volume) ??
		volumeResizeObstacle(volume, aroundVolume(volume), pool)
	);
}

/** As people know it: "the image debian". */
function sourceOf({ source }: Volume): string {
	if (source.kind === "empty") return "";
	const { kind } = source;
	const name =
		kind === "image"
			? live.image.peek(source.imageId)?.name
			: kind === "clone"
				? live.volume.peek(source.volumeId)?.name
				: undefined;
	return name === undefined ? t.flattenSource[kind] : `${t.flattenSource[kind]} ${name}`;
}

/** LVM-thin: nothing is copied there. */
const sharesBlocks = ({ config }: Pool): boolean => "layout" in config && config.layout === "thin";

const dependsOnSource = ({ source }: Volume): boolean => source.kind !== "empty" && !source.fullCopy;

function flattenAction(volume: Volume): Action {
	return {
		id: "flatten",
		label: t.flattenAction,
		icon: Unlink,
		obstacle: flattenObstacleOf(volume),
		async onSelect() {
			const title = t.flattenTitle(volume.name);
			const pool = live.pool.peek(volume.poolId);
			const source = sourceOf(volume);
			const what = pool && sharesBlocks(pool) ? t.flattenThin(source) : t.flattenText(source);
			const offline = flattensOffline(pool) === undefined ? [] : [t.flattenOff];
			const body = h("p", {}, [what, ...offline, t.flattenAfter(source)].join(" "));
			if (!(await confirm({ title, body, confirmLabel: t.flattenAction }))) return;
			await act(t.flattenFailed, "volumeFlatten", { id: volume.id });
		},
	};
}

export function volumeActions(
	volume: Volume,
	{ onClone, onResize, onMakeImage, onMove, onCheck, after }: Handlers,
): Action[] {
	const downloadAs = (format: "qcow2" | "raw"): Action => ({
		id: `download-${format}`,
		label: t.downloadAs(format),
		icon: Download,
		obstacle: obstacleTo("volumeContentGet") ?? notReady(volume) ?? inUse(volume),
		onSelect: () => download(operationUrl("volumeContentGet", volume.id, { format })),
	});
	return [
		{
			id: "resize",
			label: t.resize,
			icon: Maximize2,
			obstacle: resizeObstacle(volume),
			onSelect: () => onResize(volume),
		},
		{
			id: "clone",
			label: t.clone,
			icon: Copy,
			obstacle: obstacleTo("volumeClone") ?? notReady(volume) ?? inUse(volume),
			onSelect: () => onClone(volume),
		},
		{
			id: "move",
			label: t.moveAction,
			icon: ArrowRightLeft,
			obstacle: moveObstacle(volume),
			onSelect: () => onMove(volume),
		},
		{
			id: "check",
			label: t.checkAction,
			icon: ShieldCheck,
			obstacle: checkObstacle(volume),
			onSelect: () => onCheck(volume),
		},
		...(dependsOnSource(volume) ? [flattenAction(volume)] : []),
		{
			id: "make-image",
			label: t.makeImage,
			icon: Disc3,
			obstacle: obstacleTo("imageCreate") ?? notReady(volume) ?? inUse(volume),
			onSelect: () => onMakeImage(volume),
		},
		downloadAs("qcow2"),
		downloadAs("raw"),
		{
			id: "delete",
			label: t.deleteVolume,
			icon: Trash2,
			danger: true,
			divided: true,
			obstacle: deleteObstacle(volume),
			async onSelect() {
				const title = t.deleteVolumeTitle(volume.name);
				const body = h("p", {}, t.deleteVolumeText);
				const confirmLabel = t.deleteVolume;
				if (!(await confirm({ title, body, confirmLabel, danger: true, typedName: volume.name }))) return;
				if (await act(title, "volumeDelete", { id: volume.id })) after?.();
			},
		},
	];
}
