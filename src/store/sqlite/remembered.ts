/** What was read from some tables, for as long as nothing is written to them. What was not found is not kept. */
import type { StateRows } from "./state-rows.ts";

/** Of each kind: as many as are in use at the same time, about. */
const maxKept = 1000;

export class Remembered<Value extends object> {
	readonly #rows: Pick<StateRows, "writesOf">;
	readonly #tables: readonly string[];
	readonly #byKey = new Map<string, Value>();
	#writes = 0;

	constructor(rows: Pick<StateRows, "writesOf">, tables: readonly string[]) {
		this.#rows = rows;
		this.#tables = tables;
	}

	/** The same object again and again: nobody changes it. */
	get(key: string, read: () => Value | null): Value | null {
		const writes = this.#tables.reduce((sum, table) => sum + this.#rows.writesOf(table), 0);
		if (writes !== this.#writes) this.#byKey.clear();
		this.#writes = writes;
		const known = this.#byKey.get(key);
		if (known !== undefined) return known;
		const value = read();
		if (value === null) return null;
		if (this.#byKey.size >= maxKept) this.#byKey.clear();
		this.#byKey.set(key, value);
		return value;
	}
}
