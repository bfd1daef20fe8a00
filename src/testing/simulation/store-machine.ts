/**
 * The daemon's state in SQLite, in memory, as the simulation sees it. A register is a user's display name; its value is never
 * repeated, so a compare-and-set is an update with an expected generation. The hash of the state is the digest of all
 * its rows (store/sqlite/state-digest.ts): one row that differs is found at the entry that made it.
 */
import { Database } from "bun:sqlite";
import { present } from "../../lib/assert.ts";
import type { User } from "../../model/access.ts";
import type { Entry } from "../../raft/types.ts";
import { decodeCommand } from "../../store/codec.ts";
import type { Command } from "../../store/command.ts";
import { migrate } from "../../store/sqlite/migrations.ts";
import { StateDatabase } from "../../store/sqlite/state-database.ts";
import { stateDigest } from "../../store/sqlite/state-digest.ts";
import type { Effect, Machine, Operation } from "./machine.ts";

export const storeKeys = 6;
const requester = { kind: "local", id: null, name: "root" } as const;

/** As of RFC 9562, from numbers that say what it is of. */
const uuid = (kind: number, a: number, b: number): string =>
	`${hex(kind, 8)}-0000-7000-8000-${hex(a, 8).slice(-6)}${hex(b, 8).slice(-6)}`;
const hex = (number: number, digits: number): string => number.toString(16).padStart(digits, "0");
const userId = (key: number): string => uuid(0, 0, key);

let beginning: Uint8Array | null = null;

/** Small pages, so that a snapshot is small. */
function makeBeginning(): Uint8Array {
	const database = new Database(":memory:", { strict: true });
	database.run("PRAGMA page_size = 512");
	migrate(database);
	const state = new StateDatabase(database);
	state.transaction(() => {
		for (let key = 0; key < storeKeys; key++) {
			const time = "2026-01-01T00:00:00.000Z";
			const user: User = {
				id: userId(key),
				createdAt: time,
				updatedAt: time,
				generation: 1,
				name: `u${key}`,
				displayName: "0",
				role: "admin",
				enabled: true,
				mustChangePassword: false,
			};
			state.insert("user", user);
		}
	});
	const bytes = database.serialize();
	state.close();
	return bytes;
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
			operation: "userUpdate",
			idempotencyKey: `${client} ${sequence}`,
			credential: null,
			body: {
				kind: "userUpdate",
				id: userId(key),
				displayName: String(value),
				...(kind === "cas" ? { expectedGeneration: generation } : {}),
			},
		};
	}

	#user(key: number): User {
		return present(this.state.get("user", userId(key)), "the user of a register");
	}

	generation(key: number): number {
		return this.#user(key).generation;
	}

	/** The store itself says it to whoever waits. */
	resultOf(): "expired" {
		return "expired";
	}

	read(key: number): number {
		return Number(this.#user(key).displayName);
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
