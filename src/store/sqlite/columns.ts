/**
 * What lists can be filtered and sorted by, for each table: the names of the API, and the columns or links behind them.
 * Sorts are on columns that are never null. `search` is the column that free text is looked for in.
 */
import type { TableName, Tables } from "../store.ts";

/**
 * `fine`: few rows have any one value, so its own index is the way to find them. A coarse filter is better checked row
 * by row in the order of the sort, unless there is an index for both (`sortedWith`: that sort's column).
 */
export type Filter = ({ column: string } | { link: string }) & { fine?: true; sortedWith?: string };
export type TableColumns = {
	filters: Record<string, Filter>;
	sorts: Record<string, string>;
	defaultSort: string;
	search: string | null;
};

const snakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const columns = (names: readonly string[], more: { fine?: true; sortedWith?: string } = {}): Record<string, Filter> =>
	Object.fromEntries(names.map((name) => [name, { column: snakeCase(name), ...more }]));
const links = (names: readonly string[], more: { fine?: true } = {}): Record<string, Filter> =>
	Object.fromEntries(names.map((name) => [name, { link: name, ...more }]));
const sorts = (...names: string[]): Record<string, string> =>
	Object.fromEntries(names.map((name) => [name, snakeCase(name)]));
const fine = { fine: true } as const;

export const tableColumns: Record<TableName, TableColumns> = {
	cluster: { filters: columns(["name"], fine), sorts: sorts("name"), defaultSort: "name", search: "name" },
	node: {
		filters: { ...columns(["name"], fine), ...columns(["phase"]) },
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	vm: {
		filters: {
			...columns(["name"], fine),
			...columns(["powerState", "nodeId"], { sortedWith: "name" }),
			...columns(["desiredPower", "deleting", "memoryBytes", "vcpus"]),
			...links(["tag", "networkId", "imageId"]),
			...links(["volumeId", "mac"], fine),
		},
		sorts: sorts("name", "createdAt", "memoryBytes", "vcpus"),
		defaultSort: "name",
		search: "name",
	},
	volume: {
		filters: {
			...columns(["name", "vmId"], fine),
			...columns(["poolId", "phase"], { sortedWith: "name" }),
			...columns(["nodeId", "format"]),
			...links(["sourceImageId", "sourceVolumeId", "sourceSnapshotId"]),
		},
		sorts: sorts("name", "createdAt", "sizeBytes"),
		defaultSort: "name",
		search: "name",
	},
	snapshot: {
		filters: { ...columns(["name", "vmId"], fine), ...columns(["phase", "current"]), ...links(["volumeId"], fine) },
		sorts: sorts("createdAt", "name"),
		defaultSort: "createdAt",
		search: "name",
	},
	pool: {
		filters: { ...columns(["name"], fine), ...columns(["type", "phase"]) },
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	image: {
		filters: {
			...columns(["name"], fine),
			...columns(["poolId"], { sortedWith: "name" }),
			...columns(["phase", "format", "nodeId"]),
			...links(["tag"]),
			...links(["sourceVolumeId", "sourceImageId"], fine),
		},
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	network: {
		filters: { ...columns(["name"], fine), ...columns(["kind", "deleting"]) },
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	task: {
		filters: {
			...columns(["state", "kind"], { sortedWith: "created_at" }),
			...columns(["nodeId"]),
			...columns(["parentId"], fine),
			...links(["targetId"], fine),
		},
		sorts: sorts("createdAt"),
		defaultSort: "-createdAt",
		search: "kind",
	},
	user: {
		filters: { ...columns(["name"], fine), ...columns(["role", "enabled"]) },
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	session: { filters: columns(["userId"], fine), sorts: sorts("createdAt"), defaultSort: "-createdAt", search: null },
	token: {
		filters: { ...columns(["name", "userId"], fine), ...columns(["role"]) },
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	joinToken: { filters: {}, sorts: sorts("createdAt"), defaultSort: "-createdAt", search: null },
	audit: {
		filters: columns(["requesterName", "operation", "outcome"], { sortedWith: "time" }),
		sorts: sorts("time"),
		defaultSort: "-time",
		search: "operation",
	},
};

export const tableNames = Object.keys(tableColumns) as TableName[];

export type Link = readonly [kind: string, value: string];

/** The values that an object refers to; see `link` in schema-1.ts. */
export const linksOf: { [T in TableName]?: (object: Tables[T]) => Link[] } = {
	vm: (vm) => [
		...vm.tags.map((tag): Link => ["tag", tag]),
		...vm.spec.disks.map((disk): Link => ["volumeId", disk.volumeId]),
		...vm.spec.cdroms.flatMap((cdrom): Link[] => (cdrom.imageId === null ? [] : [["imageId", cdrom.imageId]])),
		...vm.spec.nics.flatMap((nic): Link[] => [
			["networkId", nic.networkId],
			["mac", nic.mac],
		]),
	],
	volume: ({ source }) => {
		if (source.kind === "image") return [["sourceImageId", source.imageId]];
		if (source.kind === "snapshot")
			return [
				["sourceSnapshotId", source.snapshotId],
				...(source.volumeId === undefined ? [] : [["sourceVolumeId", source.volumeId] as const]),
			];
		return source.kind === "clone" ? [["sourceVolumeId", source.volumeId]] : [];
	},
	snapshot: ({ disks }) => disks.map(({ volumeId }): Link => ["volumeId", volumeId]),
	image: (image) => [
		...image.tags.map((tag): Link => ["tag", tag]),
		...(image.source.kind === "volume" ? [["sourceVolumeId", image.source.volumeId] as const] : []),
		...(image.source.kind === "image" ? [["sourceImageId", image.source.imageId] as const] : []),
	],
	task: (task) => task.targets.map((target): Link => ["targetId", target.id]),
};
