/** Clients that read, write and compare-and-set registers through every node, one operation at a time each, and record it. */
import type { Random } from "../simulation/random.ts";
import type { End, History } from "./history.ts";
import { type ClusterApi, endOfFailure, type ReadEnd, type Register } from "./register.ts";

/** Whom clients talk to at this moment. */
export type Targets = () => readonly { name: string; client: ClusterApi }[];

export type ClientParts = {
	registers: readonly Register[];
	targets: Targets;
	random: Random;
	history: History;
	/** Told of answers that no node should ever give. */
	onWrong(what: string): void;
};

const thinkMs = 25;
/** After anything but success: nodes that refuse at once are not to be asked without pause. */
const afterFailureMs = 60;
/** The longest is longer than a node goes on trying by itself. */
const limitsMs = [400, 2_000, 13_000];
const changeNodeShare = 0.3;
/**
 * One of so many clients only reads, with the shortest limit: a node that was stopped, or cut off, and goes on always has a read before
 * it that was begun a moment ago.
 */
const onlyReadsEvery = 4;

let written = 0;

type Seen = Map<Register, NonNullable<ReadEnd["seen"]>>;
type Asked = {
	name: string;
	register: Register;
	client: ClusterApi;
	random: Random;
	/** What it read last: a compare-and-set needs it. Without, it reads. */
	seen: Seen;
	signal: AbortSignal;
};

export class RegisterClients {
	readonly #parts: ClientParts;
	readonly #running: Promise<void>[];
	#stopping = false;

	constructor(parts: ClientParts, count: number) {
		this.#parts = parts;
		this.#running = Array.from({ length: count }, (_, number) =>
			this.#run(`client-${number}`, parts.random.fork(), number % onlyReadsEvery === 0),
		);
	}

	/** Operations under way come to their end. */
	async stop(): Promise<void> {
		this.#stopping = true;
		await Promise.all(this.#running);
	}

	async #run(name: string, random: Random, onlyReads: boolean): Promise<void> {
		const { targets, registers } = this.#parts;
		const seen: Seen = new Map();
		let target = random.pick(targets());
		while (!this.#stopping) {
			const register = random.pick(registers);
			if (random.chance(changeNodeShare) || !targets().some((other) => other.client === target?.client))
				target = random.pick(targets());
			if (!register || !target) throw new Error("There is no node, or no register.");
			if (onlyReads) seen.clear();
			const signal = AbortSignal.timeout((onlyReads ? limitsMs[0] : random.pick(limitsMs)) ?? 0);
			const end = await this.#operation({ name, register, client: target.client, random, seen, signal });
			await Bun.sleep(random.around(thinkMs) + (end.type === "ok" || end.mismatch ? 0 : afterFailureMs));
		}
	}

	async #operation({ name, register, client, random, seen, signal }: Asked): Promise<End> {
		const { history } = this.#parts;
		const { key } = register;
		const known = seen.get(register);
		if (random.chance(0.5) || !known) {
			const end = await history.record<ReadEnd>(name, { operation: "read", key }, () =>
				this.#outcome(() => register.read(client, signal), "read"),
			);
			if (end.seen) seen.set(register, end.seen);
			return end;
		}
		written += 1;
		const value = `${name}-${written}`;
		if (random.chance(0.5))
			return history.record(name, { operation: "write", key, value }, () =>
				this.#outcome(() => register.write(client, value, signal), "write"),
			);
		seen.delete(register);
		return history.record(name, { operation: "cas", key, value: [known.value, value] }, () =>
			this.#outcome(() => register.write(client, value, signal, known.generation), "cas"),
		);
	}

	async #outcome<T extends End>(work: () => Promise<T>, operation: string): Promise<T | End> {
		try {
			return await work();
		} catch (error) {
			const { end, wrong } = endOfFailure(error);
			if (wrong !== null) this.#parts.onWrong(`${operation}: ${wrong}`);
			return end;
		}
	}
}
