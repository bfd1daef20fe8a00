/**
 * The last figures of many things, in memory and bounded: one time for all at each tick, and for each thing a ring of
 * 32-bit floats (seven digits, enough for a chart). What has no figures for a whole round, or is gone, is forgotten.
 */
export class FigureRings<Field extends string> {
	readonly #fields: readonly Field[];
	readonly #size: number;
	readonly #times: Float64Array;
	readonly #rings = new Map<string, { values: Float32Array; lastTick: number }>();
	#ticks = 0;

	/** The first field is a number whenever there are figures; the others may be null. */
	constructor(fields: readonly Field[], size: number) {
		this.#fields = fields;
		this.#size = size;
		this.#times = new Float64Array(size);
	}

	get bytes(): number {
		return this.#times.byteLength + this.#rings.size * this.#size * this.#fields.length * 4;
	}

	/** One tick. What is not named has no figures now; `exists` false: it never will again. */
	record(
		atMs: number,
		figures: ReadonlyMap<string, Readonly<Record<Field, number | null>>>,
		exists: (id: string) => boolean = () => true,
	): void {
		const tick = this.#ticks++;
		const slot = tick % this.#size;
		this.#times[slot] = atMs;
		const width = this.#fields.length;
		for (const id of figures.keys()) {
			if (this.#rings.has(id)) continue;
			this.#rings.set(id, { values: new Float32Array(this.#size * width).fill(Number.NaN), lastTick: tick });
		}
		for (const [id, ring] of this.#rings) {
			const row = figures.get(id);
			if (row) ring.lastTick = tick;
			else if (tick - ring.lastTick >= this.#size || !exists(id)) this.#rings.delete(id);
			for (const [at, field] of this.#fields.entries()) ring.values[slot * width + at] = row?.[field] ?? Number.NaN;
		}
	}

	/**
	 * Behind `afterMs`, oldest first; times ascend even when the wall clock was set back (what is then in the future is
	 * left out).
	 */
	read(id: string, afterMs: number): { atMs: number; figures: Record<Field, number | null> }[] {
		const ring = this.#rings.get(id);
		if (!ring) return [];
		const found: { atMs: number; figures: Record<Field, number | null> }[] = [];
		let before = Number.POSITIVE_INFINITY;
		const oldest = Math.max(0, this.#ticks - this.#size);
		for (let tick = this.#ticks - 1; tick >= oldest; tick--) {
			const slot = tick % this.#size;
			const atMs = this.#times[slot] ?? 0;
			if (atMs >= before) continue;
			before = atMs;
			if (atMs <= afterMs) break;
			const figures = this.#row(ring.values, slot);
			if (figures) found.push({ atMs, figures });
		}
		return found.reverse();
	}

	#row(values: Float32Array, slot: number): Record<Field, number | null> | null {
		const start = slot * this.#fields.length;
		const row = this.#fields.map((field, at): [Field, number | null] => {
			const value = values[start + at] ?? Number.NaN;
			return [field, Number.isNaN(value) ? null : value];
		});
		return row[0]?.[1] === null ? null : (Object.fromEntries(row) as Record<Field, number | null>);
	}
}
