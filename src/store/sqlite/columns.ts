/**
 * What lists can be filtered and sorted by, for each table: the names of the API, and the columns or links behind them.
 * Sorts are on columns that are never null. `search` is the column that free text is looked for in.
 */
import type { TableName, Tables } from "../store.ts";

export type Filter = { column: string } | { link: string };
export type TableColumns = {
	filters: Record<string, Filter>;
	sorts: Record<string, string>;
	defaultSort: string;
	search: string | null;
};

const columns = (...names: string[]): Record<string, Filter> =>
	Object.fromEntries(names.map((name) => [name, { column: snakeCase(name) }]));
const links = (...names: string[]): Record<string, Filter> =>
	Object.fromEntries(names.map((name) => [name, { link: name }]));
const sorts = (...names: string[]): Record<string, string> =>
	Object.fromEntries(names.map((name) => [name, snakeCase(name)]));
const snakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

export const tableColumns: Record<TableName, TableColumns> = {
	cluster: { filters: columns("name"), sorts: sorts("name"), defaultSort: "name", search: "name" },
	node: {
		filters: columns("name", "phase"),
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	vm: {
		filters: {
			...columns("name", "powerState", "nodeId", "desiredPower", "deleting", "memoryBytes", "vcpus"),
			...links("tag", "networkId", "imageId", "volumeId", "mac"),
		},
		sorts: sorts("name", "createdAt", "memoryBytes", "vcpus"),
		defaultSort: "name",
		search: "name",
	},
	volume: {
		filters: {
			...columns("name", "poolId", "vmId", "phase", "nodeId", "format"),
			...links("sourceImageId", "sourceVolumeId"),
		},
		sorts: sorts("name", "createdAt", "sizeBytes"),
		defaultSort: "name",
		search: "name",
	},
	pool: {
		filters: columns("name", "type", "phase"),
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	image: {
		filters: { ...columns("name", "poolId", "phase", "format", "nodeId"), ...links("tag", "sourceVolumeId") },
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	network: {
		filters: columns("name", "kind", "deleting"),
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	task: {
		filters: { ...columns("state", "kind", "nodeId", "parentId"), ...links("targetId") },
		sorts: sorts("createdAt"),
		defaultSort: "-createdAt",
		search: "kind",
	},
	user: {
		filters: columns("name", "role", "enabled"),
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	session: { filters: columns("userId"), sorts: sorts("createdAt"), defaultSort: "-createdAt", search: null },
	token: {
		filters: columns("name", "userId", "role"),
		sorts: sorts("name", "createdAt"),
		defaultSort: "name",
		search: "name",
	},
	audit: {
		filters: columns("requesterName", "operation", "outcome"),
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
		return source.kind === "clone" ? [["sourceVolumeId", source.volumeId]] : [];
	},
	image: (image) => [
		...image.tags.map((tag): Link => ["tag", tag]),
		...(image.source.kind === "volume" ? [["sourceVolumeId", image.source.volumeId] as const] : []),
	],
	task: (task) => task.targets.map((target): Link => ["targetId", target.id]),
};
