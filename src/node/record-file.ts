/**
 * A small file of this node's own, `<dataDir>/<name>.json`: what it has to remember that the state does not say, by id. Each
 * change is flushed before it counts as made.
 */
import { join } from "node:path";
import type { Static, TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { NodeContext } from "./context.ts";

export class RecordFile<T extends TSchema> {
	readonly #context: NodeContext;
	readonly #path: string;
	readonly #schema: T;
	#entries: Promise<Map<string, Static<T>>> | null = null;

	constructor(context: NodeContext, name: string, schema: T) {
		this.#context = context;
		this.#path = join(context.dataDir, `${name}.json`);
		this.#schema = schema;
	}

	async get(id: string): Promise<Static<T> | null> {
		return (await this.#all()).get(id) ?? null;
	}

	async entries(): Promise<[string, Static<T>][]> {
		return [...(await this.#all())];
	}

	set(id: string, entry: Static<T>): Promise<void> {
		return this.#change((entries) => void entries.set(id, entry));
	}

	delete(id: string): Promise<void> {
		return this.#change((entries) => void entries.delete(id));
	}

	#all(): Promise<Map<string, Static<T>>> {
		this.#entries ??= this.#load();
		return this.#entries;
	}

	/** Entries that this version cannot read are left out: it could do nothing with them. */
	async #load(): Promise<Map<string, Static<T>>> {
		const text = await this.#context.folders.readRecord(this.#path);
		if (text === null) return new Map();
		let known: unknown = null;
		try {
			known = JSON.parse(text);
		} catch (error) {
			this.#context.logger.error("a record of the node's own is damaged and begun anew", { path: this.#path, error });
		}
		if (typeof known !== "object" || known === null) return new Map();
		return new Map(
			Object.entries(known).filter((entry): entry is [string, Static<T>] => Value.Check(this.#schema, entry[1])),
		);
	}

	/** One at a time: the last one written has everything. */
	async #change(change: (entries: Map<string, Static<T>>) => void): Promise<void> {
		const { locks, folders } = this.#context;
		await locks.run(this.#path, async () => {
			const entries = await this.#all();
			const after = new Map(entries);
			change(after);
			await folders.writeRecord(this.#path, JSON.stringify(Object.fromEntries(after)));
			this.#entries = Promise.resolve(after);
		});
	}
}
