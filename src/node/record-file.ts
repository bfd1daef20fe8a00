/**
 * A small file of this node's own, `<dataDir>/<name>.json`: what it has to remember that the state does not say, by id. Each
 * change is flushed before it counts as made.
 */
import { join } from "node:path";
import type { Static, TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { NodeContext } from "./context.ts";

export type Records<T extends TSchema> = { name: string; schema: T };
type RecordReader = Pick<NodeContext, "dataDir" | "logger"> & { folders: Pick<NodeContext["folders"], "readRecord"> };

const pathOf = ({ dataDir }: Pick<NodeContext, "dataDir">, { name }: Records<TSchema>): string =>
	join(dataDir, `${name}.json`);

/** By id. Entries that this version cannot read are left out: it could do nothing with them. */
export async function readRecords<T extends TSchema>(
	context: RecordReader,
	records: Records<T>,
): Promise<Map<string, Static<T>>> {
	const path = pathOf(context, records);
	const text = await context.folders.readRecord(path);
	if (text === null) return new Map();
	let known: unknown = null;
	try {
		known = JSON.parse(text);
	} catch (error) {
		context.logger.error("a record of the node's own is damaged and begun anew", { path, error });
	}
	if (typeof known !== "object" || known === null) return new Map();
	return new Map(
		Object.entries(known).filter((entry): entry is [string, Static<T>] => Value.Check(records.schema, entry[1])),
	);
}

export class RecordFile<T extends TSchema> {
	readonly #context: NodeContext;
	readonly #records: Records<T>;
	#entries: Promise<Map<string, Static<T>>> | null = null;

	constructor(context: NodeContext, records: Records<T>) {
		this.#context = context;
		this.#records = records;
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
		this.#entries ??= readRecords(this.#context, this.#records);
		return this.#entries;
	}

	/** One at a time: the last one written has everything. */
	async #change(change: (entries: Map<string, Static<T>>) => void): Promise<void> {
		const { locks, folders } = this.#context;
		const path = pathOf(this.#context, this.#records);
		await locks.run(path, async () => {
			const entries = await this.#all();
			const after = new Map(entries);
			change(after);
			await folders.writeRecord(path, JSON.stringify(Object.fromEntries(after)));
			this.#entries = Promise.resolve(after);
		});
	}
}
