/**
 * What lies in the mock's pools: what its volumes and images would be there, and what others have left. The folder "archive" has more
 * than is shown, "lost+found" is empty, "broken" cannot be read.
 */
import { GiB, KiB, MiB } from "../../../src/lib/units.ts";
import { folderParts, type PoolContentEntry } from "../../../src/model/pool-content.ts";
import type { Pool } from "../../api/types.ts";
import { find, type HandlerTable, MockProblem } from "./request.ts";
import type { MockState } from "./state.ts";

type Owner = NonNullable<PoolContentEntry["belongsTo"]>;

const changed = (hours: number): string => new Date(Date.now() - hours * 3_600_000).toISOString();
const entry = (
	name: string,
	kind: PoolContentEntry["kind"],
	more: Partial<PoolContentEntry> = {},
): PoolContentEntry => ({
	...{ name, nameIsExact: true, kind, sizeBytes: null, allocatedBytes: null, modifiedAt: null, belongsTo: null },
	...more,
});
const owner = (kind: Owner["kind"], id: string, name: string | null, more: Partial<Owner> = {}): Owner => ({
	...{ kind, id, volumeId: null, name, recorded: name !== null },
	...more,
});
const nobodysId = "01890000-0000-7000-8000-00000000beef";
const snapshotId = "01890000-0000-7000-8000-00000000cafe";

export function poolContent(state: MockState): HandlerTable {
	return {
		poolContentList: ({ id, query }) => {
			const pool = find(state, "pool", id) as Pool;
			const folder = query.get("folder") ?? "";
			const nodeId = query.get("nodeId") ?? pool.nodeIds[0] ?? state.nodeId;
			if (!pool.nodeIds.includes(nodeId))
				throw new MockProblem(422, "invalid", `The storage pool ${pool.name} is not on that node.`);
			if (pool.phase === "error")
				throw new MockProblem(504, "timeout", "nas1.example.net does not answer (no route to host).");
			const hasFolders = pool.type === "local" || pool.type === "nfs";
			const items = hasFolders ? inFolder(state, pool, folderParts(folder)) : sideBySide(state, pool);
			return { body: { nodeId, folder, items, truncated: folder === "archive" } };
		},
	};
}

const volumesOf = ({ tables }: MockState, { id }: Pool) =>
	[...tables.volume.values()].filter(({ poolId, allocatedBytes }) => poolId === id && allocatedBytes !== null);
const imagesOf = ({ tables }: MockState, { id }: Pool) =>
	[...tables.image.values()].filter(({ poolId }) => poolId === id);

function inFolder(state: MockState, pool: Pool, parts: string[]): PoolContentEntry[] {
	const [part, id, ...deeper] = parts;
	const gone = new MockProblem(404, "not-found", "There is no such folder in the pool.");
	if (part === undefined) return top(pool);
	if (id === undefined) {
		if (part === "volumes") return volumeFolders(state, pool);
		if (part === "images") return imageFolders(state, pool);
		if (part === "archive")
			return Array.from({ length: 2000 }, (_, at) =>
				entry(`mail-${at}.eml`, "file", { sizeBytes: at * 700, allocatedBytes: at * KiB, modifiedAt: changed(at) }),
			);
		if (part === "uploads" || part === "lost+found" || part === "old\nname") return [];
		if (part === "broken")
			throw new MockProblem(502, "storage", "The storage pool refused an operation: input/output error of the device.");
		throw gone;
	}
	if (part === "volumes" && deeper.length === 0) return volumeFiles(state, id);
	throw gone;
}

function top(pool: Pool): PoolContentEntry[] {
	const pools = { belongsTo: owner("pool", pool.id, pool.name), modifiedAt: changed(2) };
	return [
		entry("archive", "folder", { modifiedAt: changed(5000) }),
		entry("broken", "folder", { modifiedAt: changed(9) }),
		entry("images", "folder", pools),
		entry("lost+found", "folder", { modifiedAt: changed(4800) }),
		entry("old\nname", "folder", { modifiedAt: changed(4700) }),
		entry("uploads", "folder", pools),
		entry("volumes", "folder", pools),
		entry("backup \u202egpj.exe", "file", { sizeBytes: 12 * GiB, allocatedBytes: 3 * GiB, modifiedAt: changed(70) }),
		entry("caf\ufffd.iso", "file", { nameIsExact: false, sizeBytes: 700 * MiB, allocatedBytes: 700 * MiB }),
		entry("current", "other", { modifiedAt: changed(1) }),
		entry("limiquantix-pool.json", "file", { sizeBytes: 71, allocatedBytes: 4 * KiB, ...pools }),
	];
}

function volumeFolders(state: MockState, pool: Pool): PoolContentEntry[] {
	const ours = volumesOf(state, pool).map(({ id, name, sizeBytes, allocatedBytes }, at) =>
		entry(id, "folder", { sizeBytes, allocatedBytes, modifiedAt: changed(at), belongsTo: owner("volume", id, name) }),
	);
	const sizes = { sizeBytes: 20 * GiB, allocatedBytes: 6 * GiB, modifiedAt: changed(900) };
	const moved = [...state.tables.volume.values()].find(({ poolId }) => poolId !== pool.id);
	return [
		...ours,
		entry(nobodysId, "folder", { ...sizes, belongsTo: owner("volume", nobodysId, null) }),
		...(moved
			? [entry(moved.id, "folder", { ...sizes, belongsTo: owner("volume", moved.id, moved.name, { recorded: false }) })]
			: []),
	];
}

const imageFolders = (state: MockState, pool: Pool): PoolContentEntry[] =>
	imagesOf(state, pool).map(({ id, name, virtualSizeBytes, fileSizeBytes }) => {
		const sizes = { sizeBytes: virtualSizeBytes, allocatedBytes: fileSizeBytes };
		return entry(id, "folder", { ...sizes, modifiedAt: changed(300), belongsTo: owner("image", id, name) });
	});

function volumeFiles(state: MockState, id: string): PoolContentEntry[] {
	const volume = state.tables.volume.get(id);
	const [sizeBytes, belongsTo] = [volume?.sizeBytes ?? 20 * GiB, owner("volume", id, volume?.name ?? null)];
	const snapshot = owner("snapshot", snapshotId, "before-upgrade", { volumeId: id });
	return [
		entry("disk-1.qcow2", "file", { sizeBytes, allocatedBytes: 5 * GiB, modifiedAt: changed(50), belongsTo: snapshot }),
		entry("disk-2.qcow2", "file", { sizeBytes, allocatedBytes: GiB, modifiedAt: changed(0), belongsTo }),
		entry("record.json", "file", { sizeBytes: 402, allocatedBytes: 4 * KiB, modifiedAt: changed(50), belongsTo }),
	];
}

function sideBySide(state: MockState, pool: Pool): PoolContentEntry[] {
	const isCeph = pool.type === "ceph-rbd";
	const kind = isCeph ? "image" : "logical-volume";
	const volumes = volumesOf(state, pool).map(({ id, name, sizeBytes, allocatedBytes }) =>
		entry(isCeph ? `lqx-vol-${id}` : `v-${id}-1`, kind, {
			...{ sizeBytes, allocatedBytes, belongsTo: owner("volume", id, name) },
		}),
	);
	const images = imagesOf(state, pool).map(({ id, name, virtualSizeBytes, fileSizeBytes }) =>
		entry(isCeph ? `lqx-img-${id}` : `i-${id}`, kind, {
			...{ sizeBytes: virtualSizeBytes, allocatedBytes: fileSizeBytes, belongsTo: owner("image", id, name) },
		}),
	);
	const strange = owner("volume", nobodysId, null);
	return [
		...volumes,
		...images,
		entry(isCeph ? `lqx-vol-${nobodysId}` : `v-${nobodysId}-1`, kind, { sizeBytes: 20 * GiB, belongsTo: strange }),
		entry("vm-101-disk-0", kind, { sizeBytes: 32 * GiB, allocatedBytes: 9 * GiB }),
	];
}
