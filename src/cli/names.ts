/**
 * Names instead of ids. Wherever a verb takes an id it takes an exact name too; a name that several objects have is an
 * error that lists their ids. What looks like an id is one.
 */
import { AppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import type { Cli } from "./cli.ts";
import { allPages } from "./pages.ts";

export type NamedKind = "vm" | "volume" | "pool" | "image" | "network" | "node" | "user" | "token";

export const kindNames: Record<NamedKind, string> = {
	vm: "VM",
	volume: "volume",
	pool: "storage pool",
	image: "image",
	network: "network",
	node: "node",
	user: "user",
	token: "API token",
};

type Named = { id: string; name: string };

const maxSearchCharacters = 128;

function list(cli: Cli, kind: NamedKind, query: { search?: string }): Promise<Named[]> {
	switch (kind) {
		case "vm":
			return allPages(cli, "vmList", query);
		case "volume":
			return allPages(cli, "volumeList", query);
		case "pool":
			return allPages(cli, "poolList", query);
		case "image":
			return allPages(cli, "imageList", query);
		case "network":
			return allPages(cli, "networkList", query);
		case "node":
			return allPages(cli, "nodeList", query);
		case "user":
			return allPages(cli, "userList", query);
		case "token":
			return allPages(cli, "tokenList", query);
	}
}

/** The id of the object with this name or id. Fails with `not-found`, or `invalid` when it is not clear which is meant. */
export async function resolveId(cli: Cli, kind: NamedKind, nameOrId: string): Promise<string> {
	if (isUuid(nameOrId)) return nameOrId;
	if (nameOrId === "") throw new AppError("not-found", `There is no ${kindNames[kind]} without a name.`);
	const found = (await list(cli, kind, { search: nameOrId.slice(0, maxSearchCharacters) })).filter(
		(object) => object.name === nameOrId,
	);
	return theOne(found, kindNames[kind], nameOrId).id;
}

/** The only one found, or the error that says why there is none. */
export function theOne<T extends { id: string }>(found: readonly T[], what: string, name: string): T {
	const [first, ...others] = found;
	if (!first) throw new AppError("not-found", `There is no ${what} named "${name}".`);
	if (others.length === 0) return first;
	throw new AppError("invalid", `${found.length} ${what}s are named "${name}". Use the id of the one that is meant.`, {
		fields: found.map(({ id }) => ({ path: name, message: id })),
	});
}

/** Names of all objects of a kind by id, for showing; empty when only ids are wanted or they may not be read. */
export async function namesById(cli: Cli, kind: Exclude<NamedKind, "token">): Promise<(id: string | null) => string> {
	const names = new Map<string, string>();
	if (cli.output.forPeople) {
		const objects = await list(cli, kind, {}).catch((error: unknown) => {
			if (error instanceof AppError && (error.code === "forbidden" || error.code === "not-found")) return [];
			throw error;
		});
		for (const { id, name } of objects) names.set(id, name);
	}
	return (id) => (id === null ? "-" : (names.get(id) ?? id));
}
