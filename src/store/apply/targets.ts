/** What a command is about: for the result, the audit, and to tell one use of an idempotency key from another. */
import type { ResourceKind, ResourceRef } from "../../model/schema.ts";
import type { BodyOf } from "../codec/values.ts";
import type { CommandBody } from "../command.ts";
import type { StateDatabase } from "../sqlite/state-database.ts";
import type { TableName } from "../store.ts";
import { publicName } from "./context.ts";
import { admittedBefore } from "./node.ts";

type Objects = { [K in ResourceKind]?: { id: unknown; name?: unknown } | { id: unknown; name?: unknown }[] };

/** References with names as they are before the command. Documents are not checked yet when this runs. */
export function targetsOf(state: StateDatabase, body: CommandBody): ResourceRef[] {
	if (body.kind === "prune" || body.kind === "auditAppend") return [];
	if (body.kind === "nodeAdmit") return [admittedNode(state, body)];
	if (body.kind === "nodeImport") return [stored(state, "node", body.nodeId)];
	if (body.kind === "poolOrphanDelete") return [stored(state, "pool", body.id), ...deletedOf(body)];
	const created = createdObjects(body);
	if (created !== null) {
		return Object.entries(created).flatMap(([kind, objects]) =>
			[objects].flat().map((object) => reference(kind as ResourceKind, object)),
		);
	}
	const table = tableOf(body);
	if (table === null || !("id" in body)) return [];
	return [stored(state, table, body.id)];
}

function stored(state: StateDatabase, table: TableName, id: string): ResourceRef {
	const object = state.known(table, id);
	return { kind: table as ResourceKind, id, name: object === null ? null : publicName(table, object) };
}

/** The one that it is already, or will be. */
function admittedNode(state: StateDatabase, body: BodyOf<"nodeAdmit">): ResourceRef {
	const token = state.get("joinToken", body.tokenId);
	const known = token === null ? null : admittedBefore(state, token, body.keyFingerprint);
	return reference("node", known ?? body.node);
}

const deletedOf = ({ volumeIds, imageIds }: BodyOf<"poolOrphanDelete">): ResourceRef[] => [
	...volumeIds.map((id) => reference("volume", { id })),
	...imageIds.map((id) => reference("image", { id })),
];

function reference(kind: ResourceKind, object: { id: unknown; name?: unknown }): ResourceRef {
	const name = kind === "token" || kind === "session" ? null : object.name;
	return { kind, id: String(object.id).slice(0, 64), name: typeof name === "string" ? name.slice(0, 128) : null };
}

function createdObjects(body: CommandBody): Objects | null {
	switch (body.kind) {
		case "clusterInit":
			return { cluster: body.cluster, node: body.node, pool: body.pools, network: body.networks, user: body.admin };
		case "joinTokenCreate":
			return { joinToken: body.token };
		case "userCreate":
			return { user: body.user };
		case "sessionCreate":
			return { session: body.session };
		case "tokenCreate":
			return { token: body.token };
		case "vmCreate":
		case "vmAdopt":
			return { vm: body.vm, volume: body.volumes };
		case "poolCreate":
			return { pool: body.pool };
		case "volumeCreate":
			return { volume: body.volume, snapshot: (body.snapshotIds ?? []).map((id) => ({ id })) };
		case "snapshotCreate":
			return { snapshot: body.snapshot };
		case "imageCreate":
			return { image: body.image };
		case "networkCreate":
			return { network: body.network };
		default:
			return null;
	}
}

const tables = [
	"cluster",
	"node",
	"user",
	"session",
	"token",
	"joinToken",
	"vm",
	"pool",
	"volume",
	"snapshot",
	"image",
	"network",
	"task",
] as const;

/** Kinds of commands begin with what they are about. */
const tableOf = (body: CommandBody): TableName | null => tables.find((table) => body.kind.startsWith(table)) ?? null;
