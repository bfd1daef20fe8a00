/**
 * What was acknowledged is never lost, and what is sent again is done once: objects are made with an Idempotency-Key each, and after a
 * lost answer the same request goes to another node until one acknowledges. In the end each is there exactly once, on every node.
 */
import { toAppError } from "../../lib/errors.ts";
import type { Random } from "../simulation/random.ts";
import { type ClusterApi, endOfFailure, networkBody } from "./register.ts";
import type { Targets } from "./register-clients.ts";

export type CreationParts = { targets: Targets; random: Random; prefix: string; onWrong(what: string): void };

const pauseMs = 250;
const limitMs = 3_000;
/** Of those that are sent once more although they were acknowledged. */
const againShare = 0.3;

type Creation = { name: string; id: string | null; attempts: number };

export class Creations {
	readonly #parts: CreationParts;
	readonly #made: Creation[] = [];
	readonly #running: Promise<void>[];
	#stopping = false;

	constructor(parts: CreationParts, count: number) {
		this.#parts = parts;
		this.#running = Array.from({ length: count }, (_, number) => this.#run(number, parts.random.fork()));
	}

	get acknowledged(): number {
		return this.#made.filter(({ id }) => id !== null).length;
	}

	async stop(): Promise<void> {
		this.#stopping = true;
		await Promise.all(this.#running);
	}

	/** Asks this node for everything that was made; what is missing, twice there or another one. */
	async missing(client: ClusterApi): Promise<string[]> {
		const found = new Map<string, string[]>();
		let pageToken: string | undefined;
		do {
			const query = { limit: 1000, ...(pageToken === undefined ? {} : { pageToken }) };
			const { body } = await client.call("networkList", { query });
			for (const { name, id } of body.items) found.set(name, [...(found.get(name) ?? []), id]);
			pageToken = body.nextPageToken ?? undefined;
		} while (pageToken !== undefined);
		return this.#made.flatMap(({ name, id, attempts }) => {
			const ids = found.get(name) ?? [];
			if (ids.length > 1) return [`${name} is there ${ids.length} times`];
			if (id === null || ids[0] === id) return [];
			return [`${name} was acknowledged as ${id} after ${attempts} attempts, and there is ${ids[0] ?? "nothing"}`];
		});
	}

	/** Removes what was made. */
	async clear(client: ClusterApi): Promise<void> {
		const { body } = await client.call("networkList", { query: { limit: 1000, search: this.#parts.prefix } });
		for (const { id, deleting } of body.items) if (!deleting) await client.call("networkDelete", { path: { id } });
	}

	async #run(number: number, random: Random): Promise<void> {
		for (let count = 0; !this.#stopping; count++) {
			const creation: Creation = { name: `${this.#parts.prefix}-${number}-${count}`, id: null, attempts: 0 };
			this.#made.push(creation);
			while (!this.#stopping && creation.id === null) {
				await this.#attempt(creation, random);
				await Bun.sleep(random.around(pauseMs));
			}
			if (creation.id !== null && random.chance(againShare)) await this.#attempt(creation, random);
		}
	}

	async #attempt(creation: Creation, random: Random): Promise<void> {
		const { targets, onWrong } = this.#parts;
		const target = random.pick(targets());
		if (!target) throw new Error("There is no node.");
		creation.attempts += 1;
		try {
			const { body } = await target.client.call("networkCreate", {
				body: networkBody(creation.name),
				idempotencyKey: creation.name,
				signal: AbortSignal.timeout(limitMs),
			});
			if (creation.id !== null && creation.id !== body.id)
				onWrong(`${creation.name} was made as ${creation.id}; the same key again answered ${body.id}`);
			creation.id = body.id;
		} catch (error) {
			const { code, message } = toAppError(error);
			const wrong = code === "already-exists" ? `the same key again: ${message}` : endOfFailure(error).wrong;
			if (wrong !== null) onWrong(`making ${creation.name}: ${wrong}`);
		}
	}
}
