/**
 * What the rules of one command see and do: objects in, objects out, with an event for each change. No clock and no
 * randomness: time is the command's. Objects are never changed in place; an update is a new object.
 */
import { AppError } from "../../lib/errors.ts";
import type { Role, User } from "../../model/access.ts";
import type { Event } from "../../model/event.ts";
import type { ResourceKind } from "../../model/schema.ts";
import type { Command } from "../command.ts";
import type { StateDatabase } from "../sqlite/state-database.ts";
import type { TableName, Tables } from "../store.ts";

/** Who acts, as the permission check found: a user with the role that counts, or this system itself (user null). */
export type Actor = { user: User | null; role: Role };

/** Tables whose objects have `generation` and `updatedAt`. */
type Versioned = Exclude<TableName, "task" | "session" | "audit">;

export type EmittedEvent = { event: Event; json: string };

/** Names of the things for people. */
export const nouns: Record<TableName, string> = {
	cluster: "cluster",
	node: "node",
	vm: "VM",
	volume: "volume",
	snapshot: "snapshot",
	pool: "storage pool",
	image: "image",
	network: "network",
	task: "task",
	user: "user",
	session: "session",
	token: "token",
	joinToken: "join token",
	audit: "audit record",
};

export class ApplyContext {
	readonly state: StateDatabase;
	readonly command: Command;
	readonly index: number;
	/** The command's time, RFC 3339. */
	readonly time: string;
	readonly actor: Actor;
	readonly events: EmittedEvent[] = [];

	constructor(state: StateDatabase, command: Command, index: number, time: string, actor: Actor) {
		this.state = state;
		this.command = command;
		this.index = index;
		this.time = time;
		this.actor = actor;
	}

	/** Whether the command knows of pools where copies stand alone ("free-sources-1"). */
	get freesSources(): boolean {
		const { body } = this.command;
		return "freeSources" in body && body.freeSources === true;
	}

	get<T extends TableName>(table: T, id: string): Tables[T] | null {
		return this.state.known(table, id);
	}

	/** The object, or `not-found`. */
	need<T extends TableName>(table: T, id: string): Tables[T] {
		const object = this.get(table, id);
		if (object === null) throw new AppError("not-found", `There is no ${nouns[table]} with the id ${id}.`);
		return object;
	}

	/** For references inside a document: a missing object is the document's fault (`invalid`). */
	needReferenced<T extends TableName>(table: T, id: string, path: string): Tables[T] {
		const object = this.get(table, id);
		if (object === null) {
			const message = `There is no ${nouns[table]} with the id ${id}.`;
			throw new AppError("invalid", message, { fields: [{ path, message }] });
		}
		return object;
	}

	insert<T extends Exclude<TableName, "audit">>(table: T, object: Tables[T]): void {
		if (this.state.getJson(table, object.id) !== null)
			throw new AppError("already-exists", `Another ${nouns[table]} has the id ${object.id} already.`);
		const json = this.state.insert(table, object);
		this.#emit("created", table, object, json);
	}

	/** Writes what differs; an update that changes nothing leaves no trace. */
	update<T extends Exclude<TableName, "audit">>(table: T, before: Tables[T], after: Tables[T]): Tables[T] {
		return JSON.stringify(before) === JSON.stringify(after) ? before : this.#write(table, before, after);
	}

	#write<T extends Exclude<TableName, "audit">>(table: T, before: Tables[T], after: Tables[T]): Tables[T] {
		const stamped = "updatedAt" in after ? { ...after, updatedAt: this.time } : after;
		const json = this.state.update(table, before, stamped);
		this.#emit("updated", table, stamped, json);
		return stamped;
	}

	/** An update of what a person wants: the generation counts it. */
	updateSpec<T extends Versioned>(table: T, before: Tables[T], changes: Partial<Tables[T]>): Tables[T] {
		const after: Tables[T] = { ...before, ...changes };
		if (JSON.stringify(before) === JSON.stringify(after)) return before;
		return this.#write(table, before, { ...after, generation: before.generation + 1 });
	}

	remove<T extends Exclude<TableName, "audit">>(table: T, object: Tables[T]): void {
		this.state.delete(table, object.id);
		this.#emit("deleted", table, object, null);
	}

	/** Removes without telling anybody: what pruning does with finished tasks. */
	removeSilently(table: TableName, id: string): void {
		this.state.delete(table, id);
	}

	#emit<T extends Exclude<TableName, "audit">>(
		type: Event["type"],
		table: T,
		object: Tables[T],
		json: string | null,
	): void {
		const target = { kind: table satisfies ResourceKind, id: object.id, name: publicName(table, object) };
		const head = { id: `${this.index}.${this.events.length}`, time: this.time, type, target };
		const event: Event = { ...head, object: json === null ? null : object };
		this.events.push({ event, json: `${JSON.stringify(head).slice(0, -1)},"object":${json}}` });
	}
}

/** The name to show with a reference. Those of API tokens and sessions are their owners' business. */
export function publicName(table: TableName, object: object): string | null {
	if (table === "token" || table === "session") return null;
	return "name" in object && typeof object.name === "string" ? object.name : null;
}
