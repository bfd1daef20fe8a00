/**
 * The network between nodes. Each link, in each direction, loses, repeats, delays and reorders messages by the plan's
 * rates, can be cut, and can be clogged: then what is sent comes when it is free again.
 */
import type { EventQueue } from "./event-queue.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";

/** Nodes are numbered by slot here; a slot is used again when its node is gone. */
export const maxSlots = 24;
/** Old enough to be from before a crash. */
const archived = 4096;
const recent = 400;

export class Network {
	readonly cut = new Uint8Array(maxSlots * maxSlots);
	readonly cloggedUntil = new Float64Array(maxSlots * maxSlots);
	readonly #lastAt = new Float64Array(maxSlots * maxSlots);
	readonly #queue: EventQueue;
	readonly #random: Random;
	readonly #archive: { link: number; arrive: () => void }[] = [];
	#sent = 0;
	rates: Plan["network"];
	messages = 0;
	lost = 0;

	constructor(queue: EventQueue, random: Random, rates: Plan["network"]) {
		this.#queue = queue;
		this.#random = random;
		this.rates = rates;
	}

	/** `arrive` runs for each copy that arrives; whether the link is cut then is up to it. */
	send(from: number, to: number, arrive: () => void): void {
		const random = this.#random;
		const { rates } = this;
		const link = from * maxSlots + to;
		this.messages += 1;
		const isLost = this.cut[link] === 1 || random.chance(rates.loss);
		// What is lost now may come another way, later.
		if (rates.replay > 0 || rates.late > 0) this.#archive[this.#sent++ % archived] = { link, arrive };
		if (isLost) {
			this.lost += 1;
			return;
		}
		this.#deliver(link, arrive);
		if (random.chance(rates.duplicates)) this.#deliver(link, arrive);
		if (random.chance(rates.replay)) this.#replay(random.below(this.#archive.length));
	}

	#replay(at: number): void {
		const old = this.#archive[at];
		if (old !== undefined) this.#deliver(old.link, old.arrive);
	}

	/** Some of what this node has sent comes once more, spread over the time given. */
	replayFrom(slot: number, withinMs: number): void {
		if (this.rates.replay === 0) return;
		for (let tries = 0; tries < 300; tries++) {
			const at = this.#random.below(archived);
			const old = this.#archive[at];
			if (old === undefined || Math.floor(old.link / maxSlots) !== slot) continue;
			this.#queue.after(this.#random.below(withinMs), () => this.#deliver(old.link, old.arrive));
		}
	}

	/** What this node has sent last comes once more, or only now. */
	lateFrom(slot: number, withinMs: number): void {
		const from = Math.max(0, this.#sent - recent);
		for (let at = from; at < this.#sent; at++) {
			const old = this.#archive[at % archived];
			if (old === undefined || Math.floor(old.link / maxSlots) !== slot || this.#random.chance(0.5)) continue;
			this.#queue.after(this.#random.below(withinMs), () => this.#deliver(old.link, old.arrive));
		}
	}

	#deliver(link: number, arrive: () => void): void {
		const { rates } = this;
		const now = this.#queue.nowMs;
		let at = now + rates.delayMs + (rates.jitterMs > 1 ? this.#random.around(rates.jitterMs) : 0);
		const free = this.cloggedUntil[link] as number;
		if (free > at) at = free + this.#random.below(20);
		if (rates.ordered) {
			at = Math.max(at, this.#lastAt[link] as number);
			this.#lastAt[link] = at;
		}
		this.#queue.after(at - now, arrive);
	}

	isCut(from: number, to: number): boolean {
		return this.cut[from * maxSlots + to] === 1;
	}

	/** Some of the links of one node, both ways or one. */
	clog(slot: number, untilMs: number, random: Random): void {
		for (let other = 0; other < maxSlots; other++) {
			if (random.chance(0.6)) this.cloggedUntil[slot * maxSlots + other] = untilMs;
			if (random.chance(0.6)) this.cloggedUntil[other * maxSlots + slot] = untilMs;
		}
	}

	heal(): void {
		this.cut.fill(0);
		this.cloggedUntil.fill(0);
	}

	/** Cuts by one of the shapes that partitions have. Returns its name. */
	partition(slots: readonly number[], leader: number | null): string {
		const random = this.#random;
		this.cut.fill(0);
		const cut = (from: number, to: number): void => {
			if (from !== to) this.cut[from * maxSlots + to] = 1;
		};
		const victim = leader !== null && random.chance(0.5) ? leader : (random.pick(slots) as number);
		const side = new Set(slots.filter((slot) => slot === victim || random.chance(0.4)));
		const shape = random.pick(["split", "isolated", "one-way", "deaf", "mute", "bridge", "ring", "links"] as const);
		const position = new Map(slots.map((slot, at) => [slot, at]));
		for (const from of slots)
			for (const to of slots)
				switch (shape) {
					case "split":
						if (side.has(from) !== side.has(to)) cut(from, to);
						break;
					case "one-way":
						if (side.has(from) && !side.has(to)) cut(from, to);
						break;
					case "isolated":
						if (from === victim || to === victim) cut(from, to);
						break;
					case "deaf":
						if (to === victim) cut(from, to);
						break;
					case "mute":
						if (from === victim) cut(from, to);
						break;
					case "bridge":
						// Two halves, and one node that both of them see.
						if (from !== victim && to !== victim && side.has(from) !== side.has(to)) cut(from, to);
						break;
					case "ring": {
						const distance = Math.abs((position.get(from) ?? 0) - (position.get(to) ?? 0));
						if (distance !== 1 && distance !== slots.length - 1) cut(from, to);
						break;
					}
					case "links":
						if (random.chance(0.3)) cut(from, to);
						break;
					default:
				}
		return shape ?? "split";
	}
}
