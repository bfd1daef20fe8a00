/**
 * What happens next, ordered by (time, sequence): a wheel of one slot a millisecond for what is near, a heap for what is
 * far. Nearly everything is near, and then adding and taking cost nothing to speak of.
 */
const slotCount = 4096;

type Slot = (() => void)[];
type Far = { at: number; sequence: number; run: () => void };

export class EventQueue {
	/** Milliseconds since the start. */
	nowMs = 0;
	/** Events that ran. */
	steps = 0;
	/** Null for a millisecond in which nothing happens, as in most. */
	readonly #slots: (Slot | null)[] = Array.from({ length: slotCount }, () => null);
	/** Slots that are over. */
	readonly #spare: Slot[] = [];
	#position = 0;
	#far: Far[] = [];
	#sequence = 0;

	/** Whole milliseconds; in the same one, first come, first run. */
	after(delayMs: number, run: () => void): void {
		if (delayMs < slotCount) this.#add(this.nowMs + delayMs, run);
		else this.#pushFar({ at: this.nowMs + delayMs, sequence: this.#sequence++, run });
	}

	/** Runs one event that is due before `untilMs`. False when there is none; then it is `untilMs`. */
	step(untilMs: number): boolean {
		for (;;) {
			const slot = this.#slots[this.nowMs % slotCount] as Slot | null;
			if (slot !== null) {
				const run = slot[this.#position];
				if (run !== undefined) {
					this.#position += 1;
					this.steps += 1;
					run();
					return true;
				}
				this.#slots[this.nowMs % slotCount] = null;
				slot.length = 0;
				this.#spare.push(slot);
				this.#position = 0;
			}
			if (this.nowMs + 1 >= untilMs) return false;
			this.nowMs += 1;
			// Before anything near can be added for that time: so the order of the sequence stays.
			while (this.#far.length > 0 && (this.#far[0] as Far).at < this.nowMs + slotCount) {
				const far = this.#popFar();
				this.#add(far.at, far.run);
			}
		}
	}

	#add(at: number, run: () => void): void {
		const position = at % slotCount;
		let slot = this.#slots[position] as Slot | null;
		if (slot === null) {
			slot = this.#spare.pop() ?? [];
			this.#slots[position] = slot;
		}
		slot.push(run);
	}

	#pushFar(event: Far): void {
		const heap = this.#far;
		let at = heap.push(event) - 1;
		while (at > 0) {
			const parent = (at - 1) >> 1;
			if (!isBefore(event, heap[parent] as Far)) break;
			heap[at] = heap[parent] as Far;
			at = parent;
		}
		heap[at] = event;
	}

	#popFar(): Far {
		const heap = this.#far;
		const first = heap[0] as Far;
		const last = heap.pop() as Far;
		if (heap.length === 0) return first;
		let at = 0;
		for (;;) {
			let child = 2 * at + 1;
			if (child >= heap.length) break;
			if (child + 1 < heap.length && isBefore(heap[child + 1] as Far, heap[child] as Far)) child += 1;
			if (!isBefore(heap[child] as Far, last)) break;
			heap[at] = heap[child] as Far;
			at = child;
		}
		heap[at] = last;
		return first;
	}
}

const isBefore = (a: Far, b: Far): boolean => a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
