/**
 * The daemon's state in SQLite, in memory, as the simulation sees it. A register is the description of an object (of a user, its
 * display name), by key of another kind, so that writes are commands of several kinds; its value is never repeated, so a compare-and-set is an update with an expected generation. The hash of the state is the digest of all
 * its rows (store/sqlite/state-digest.ts): one row that differs is found at the entry that made it.
 */
import { Database } from "bun:sqlite";
import { present } from "../../lib/assert.ts";
import type { User } from "../../model/access.ts";
import type { Network } from "../../model/network.ts";
import type { Image, Pool } from "../../model/storage.ts";
import type { Entry } from "../../raft/types.ts";
import { decodeCommand } from "../../store/codec.ts";
import type { Command } from "../../store/command.ts";
import { migrate } from "../../store/sqlite/migrations.ts";
import { StateDatabase } from "../../store/sqlite/state-database.ts";
import { stateDigest } from "../../store/sqlite/state-digest.ts";
import { fixtureImage, fixtureNetwork, fixturePool, fixtureUser } from "../fixtures.ts";
import type { Effect, Machine, Operation } from "./machine.ts";

const requester = { kind: "local", id: null, name: "root" } as const;
const system = { kind: "system", id: null, name: "upkeep" } as const;
const prunedAfterMs = 20_000;

const kinds = ["user", "network", "pool", "image", "user", "network"] as const;
export const storeKeys = kinds.length;
type Register = User | Network | Pool | Image;
const kindOf = (key: number): (typeof kinds)[number] => kinds[key % storeKeys] ?? "user";

/** As of RFC 9562, from numbers that say what it is of. */
const uuid = (kind: number, a: number, b: number): string =>
	`${hex(kind, 8)}-0000-7000-8000-${hex(a, 8).slice(-6)}${hex(b, 8).slice(-6)}`;
const hex = (number: number, digits: number): string => number.toString(16).padStart(digits, "0");
const registerId = (key: number): string => uuid(0, 0, key);

function registerOf(key: number): Register {
	const id = registerId(key);
	switch (kindOf(key)) {
		case "network":
			return fixtureNetwork({ id, name: `r${key}`, description: "0" });
		case "pool":
			return fixturePool({ id, name: `r${key}`, description: "0", phase: "ready" });
		case "image":
			return fixtureImage({ id, name: `r${key}`, description: "0", phase: "ready" });
		default:
			return fixtureUser({ id, name: `r${key}`, displayName: "0" });
	}
}

let beginning: Uint8Array | null = null;

/** Small pages, so that a snapshot is small. */
function makeBeginning(): Uint8Array {
	const database = new Database(":memory:", { strict: true });
	database.run("PRAGMA page_size = 512");
	migrate(database);
	const state = new StateDatabase(database);
	state.transaction(() => {
		for (let key = 0; key < storeKeys; key++) {
			state.insert(kindOf(key), registerOf(key));
		}
	});
	const bytes = database.serialize();
	state.close();
	return bytes;
}

function update(key: number, value: string, expected: { expectedGeneration?: number }): Command["body"] {
	const id = registerId(key);
	switch (kindOf(key)) {
		case "network":
			return { kind: "networkUpdate", id, description: value, ...expected };
		case "pool":
			return { kind: "poolUpdate", id, description: value, ...expected };
		case "image":
			return { kind: "imageUpdate", id, description: value, ...expected };
		default:
			return { kind: "userUpdate", id, displayName: value, ...expected };
	}
}

const opened = (bytes: Uint8Array): Database => Database.deserialize(bytes, { strict: true });

export class StoreMachine implements Machine {
	readonly state: StateDatabase;
	#index = 0;
	#hash = 0;

	constructor() {
		beginning ??= makeBeginning();
		this.state = new StateDatabase(opened(beginning));
		this.#read();
	}

	get index(): number {
		return this.#index;
	}

	get hash(): number {
		return this.#hash;
	}

	/** The store has applied it. */
	apply({ kind, data }: Entry): Effect | null {
		this.#read();
		if (kind !== "command" || data.length === 0) return null;
		const [client, sequence] = (decodeCommand(data).idempotencyKey ?? "").split(" ").map(Number);
		return client === undefined || sequence === undefined ? null : { client, sequence };
	}

	#read(): void {
		this.#index = this.state.appliedIndex;
		this.#hash = Number.parseInt(String(present(this.state.meta(stateDigest.key), "the digest")).slice(0, 8), 16) | 0;
	}

	/** Another attempt is another command, with the same idempotency key. */
	command({ kind, client, sequence, key, value, generation }: Operation, attempt: number, timeMs: number): Command {
		return {
			id: uuid(attempt, client, sequence),
			timeMs,
			requester,
			remoteAddress: null,
			operation: `${kindOf(key)}Update`,
			idempotencyKey: `${client} ${sequence}`,
			credential: null,
			body: update(key, String(value), kind === "cas" ? { expectedGeneration: generation } : {}),
		};
	}

	/** The upkeep's: what operations have left goes after a while. */
	pruning(number: number, timeMs: number): Command {
		const before = new Date(timeMs - prunedAfterMs).toISOString();
		return {
			...{ id: uuid(0xff, number, 0), timeMs, requester: system, remoteAddress: null, operation: "system" },
			...{ idempotencyKey: null, credential: null },
			body: { kind: "prune", tasksBefore: before, sessionsExpiredBefore: before, auditBefore: before },
		};
	}

	#register(key: number): Register {
		return present(this.state.get(kindOf(key), registerId(key)), "the object of a register");
	}

	generation(key: number): number {
		return this.#register(key).generation;
	}

	/** The store itself says it to whoever waits. */
	resultOf(): "expired" {
		return "expired";
	}

	read(key: number): number {
		const register = this.#register(key);
		return Number("displayName" in register ? register.displayName : register.description);
	}

	save(): Uint8Array {
		const { buffer, byteOffset, length } = this.state.database.serialize();
		// No Buffer: what slices one gets a view, not a copy.
		return new Uint8Array(buffer, byteOffset, length);
	}

	restore(saved: Uint8Array | null): void {
		this.state.replace(() => opened(saved ?? present(beginning, "the beginning")));
		this.#read();
	}

	close(): void {
		this.state.close();
	}
}
