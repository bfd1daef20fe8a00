/**
 * Rounds of a cluster under faults: clients work while a nemesis does its worst; then everything is healed, the cluster must work
 * again and all copies must become the same, and what clients saw is judged. What a round finds is a list of sentences.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { Random } from "../simulation/random.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { untilSame } from "./convergence.ts";
import { Creations } from "./creations.ts";
import { History } from "./history.ts";
import { healLimitMs, type LabCluster } from "./lab-cluster.ts";
import { Nemesis } from "./nemesis.ts";
import { type ClusterApi, clientOf, endOfFailure, networkBody, Register } from "./register.ts";
import { RegisterClients } from "./register-clients.ts";

export type CampaignOptions = {
	cluster: LabCluster;
	seed: number;
	membership: boolean;
	/** What the first round is called by; 1 when left out. */
	firstRound?: number;
	/** Histories and what was done go here, a file of each for each round; null: nowhere. */
	folder: string | null;
	say?(line: string): void;
};

export type RoundResult = {
	/** Empty when everything was as it must be. */
	violations: string[];
	operations: { ok: number; fail: number; info: number };
	creations: number;
	faults: Record<string, number>;
	/** From the last fault to all copies being the same. */
	healedMs: number;
};

const registerCount = 6;
const clientCount = 8;
const creatorCount = 2;
const attemptLimitMs = 5_000;

export class Campaign {
	readonly #options: CampaignOptions;
	readonly #random: Random;
	readonly #members: ClusterNode[];
	readonly #clients = new Map<ClusterNode, ClusterApi>();
	readonly #registers: Register[];
	#history: History | null = null;
	#rounds: number;

	private constructor(options: CampaignOptions, registers: Register[]) {
		this.#options = options;
		this.#rounds = (options.firstRound ?? 1) - 1;
		this.#random = new Random(options.seed);
		this.#members = [...options.cluster.nodes];
		this.#registers = registers;
	}

	static async prepare(options: CampaignOptions): Promise<Campaign> {
		const { api } = options.cluster.node(0);
		const registers: Register[] = [];
		for (let number = 0; number < registerCount; number++) {
			const name = `register-${number}`;
			const { body } = await api.call("networkCreate", { body: networkBody(name) });
			registers.push(new Register(name, body.id));
		}
		return new Campaign(options, registers);
	}

	async round(durationMs: number): Promise<RoundResult> {
		const { cluster, membership, say = () => {} } = this.#options;
		this.#rounds += 1;
		const began = performance.now();
		const deeds: string[] = [];
		const violations: string[] = [];
		const onWrong = (what: string) => void violations.push(what);
		const note = (line: string) => {
			deeds.push(`${((performance.now() - began) / 1000).toFixed(3)} ${line}`);
			say(line);
		};
		const history = new History(this.#history);
		this.#history = history;
		await this.#begin(history);
		const targets = () => this.#members.map((node) => ({ name: node.name, client: this.#clientOf(node) }));
		const random = this.#random.fork();
		const parts = { targets, random, history, onWrong };
		const clients = new RegisterClients({ ...parts, registers: this.#registers }, clientCount);
		const creations = new Creations({ ...parts, prefix: `made-${this.#rounds}` }, creatorCount);
		const nemesis = new Nemesis({ cluster, members: this.#members, random, membership, say: note, onWrong });
		await Bun.sleep(durationMs);
		const healing = performance.now();
		await attempt("The cluster does not heal", onWrong, async () => {
			await nemesis.stop();
			await this.#takesWrite();
		});
		await Promise.all([clients.stop(), creations.stop()]);
		await attempt("The copies do not become the same", onWrong, async () => {
			const same = await untilSame(this.#members, cluster.folder, healLimitMs);
			note(`all hold ${same.digest} after entry ${same.index}`);
		});
		const healedMs = performance.now() - healing;
		for (const node of this.#members)
			await attempt(`${node.name} does not say what there is`, onWrong, async () => {
				violations.push(...(await creations.missing(this.#clientOf(node))).map((what) => `${node.name}: ${what}`));
			});
		const verdict = history.judge();
		if (!verdict.linearizable) violations.push(verdict.explanation);
		this.#keep(history, [...deeds, ...violations]);
		if (violations.length === 0) await creations.clear(this.#clientOf(present(this.#members[0], "a member")));
		return {
			violations,
			operations: { ...history.counts },
			creations: creations.acknowledged,
			faults: nemesis.counts,
			healedMs,
		};
	}

	/** Each history begins with a write that is known to have happened: before it, anything may be there. */
	async #begin(history: History): Promise<void> {
		const client = this.#clientOf(present(this.#members[0], "a member"));
		for (const register of this.#registers)
			await history.record("setup", { operation: "write", key: register.key, value: `round-${this.#rounds}` }, () =>
				register.write(client, `round-${this.#rounds}`, AbortSignal.timeout(healLimitMs)),
			);
	}

	/** A healed cluster does; one of its nodes may begin anew with a snapshot meanwhile. */
	async #takesWrite(): Promise<void> {
		const endsMs = performance.now() + healLimitMs;
		for (const node of this.#members)
			for (let number = 1; ; number++) {
				try {
					const signal = AbortSignal.timeout(attemptLimitMs);
					await this.#clientOf(node).call("clusterUpdate", { body: { name: `lab-${number}` }, signal });
					break;
				} catch (error) {
					if (performance.now() > endsMs)
						throw new Error(`${node.name}, ${number} attempts: ${endOfFailure(error).end.note}`, { cause: error });
					await Bun.sleep(200);
				}
			}
	}

	#clientOf(node: ClusterNode): ClusterApi {
		const known = this.#clients.get(node) ?? clientOf(node.daemon.socketPath);
		this.#clients.set(node, known);
		return known;
	}

	#keep(history: History, deeds: readonly string[]): void {
		const { folder } = this.#options;
		if (folder === null) return;
		const name = join(folder, `round-${String(this.#rounds).padStart(5, "0")}`);
		writeFileSync(`${name}.jsonl`, history.text());
		writeFileSync(`${name}.log`, deeds.map((line) => `${line}\n`).join(""));
	}
}

async function attempt(what: string, onWrong: (what: string) => void, work: () => Promise<void>): Promise<void> {
	try {
		await work();
	} catch (error) {
		onWrong(`${what}: ${error instanceof Error ? error.message : error}`);
	}
}
