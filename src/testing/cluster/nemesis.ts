/**
 * Lets faults happen while clients work, by a seed: those of processes, those of links and changes of the membership each in
 * their own turn, so that they overlap. `stop` ends them all; what it leaves is a cluster whose nodes run and hear each other.
 */
import type { Random } from "../simulation/random.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { type Fault, linkFaults, processFaults } from "./faults.ts";
import type { LabCluster } from "./lab-cluster.ts";
import { Membership } from "./membership.ts";

export type NemesisParts = {
	cluster: LabCluster;
	/** Who is a member; changed by the changes of the membership. */
	members: ClusterNode[];
	random: Random;
	/** Also change who the members are. */
	membership: boolean;
	/** What happens, a line each. */
	say(line: string): void;
	/** A node ended by itself. */
	onWrong(what: string): void;
};

const pauseMs = 2_000;
const firstPauseMs = 400;
const betweenChangesMs = 3_000;

export class Nemesis {
	readonly #parts: NemesisParts;
	readonly #stop = Promise.withResolvers<void>();
	readonly #running: Promise<void>[];
	readonly #membership: Membership;
	/** Nodes that a fault of processes, or a change of the membership, has taken. */
	readonly #taken = new Set<ClusterNode>();
	#stopping = false;
	readonly counts: Record<string, number> = {};

	constructor(parts: NemesisParts) {
		this.#parts = parts;
		this.#membership = new Membership({ ...parts, random: parts.random.fork(), taken: this.#taken });
		this.#running = [
			this.#runFaults(processFaults, parts.random.fork()),
			this.#runFaults(linkFaults, parts.random.fork()),
			...(parts.membership ? [this.#runMembership(parts.random.fork())] : []),
		];
	}

	/** No more faults; those that last end now. Then the cluster is healed, and changes that were interrupted are completed. */
	async stop(): Promise<void> {
		this.#stopping = true;
		this.#stop.resolve();
		await Promise.all(this.#running);
		this.#noteDead();
		await this.#parts.cluster.heal(this.#parts.members);
		if (this.#parts.membership) await this.#membership.complete();
	}

	async #runFaults(faults: readonly Fault[], random: Random): Promise<void> {
		const { cluster, members, say } = this.#parts;
		// However short it is: each sort has happened once before any comes again.
		let left = [...faults];
		while (!this.#stopping) {
			const isFirst = left.some(({ name }) => this.counts[name] === undefined);
			await this.#pause(random.around(isFirst ? firstPauseMs : pauseMs));
			const fault = random.pick(left);
			if (this.#stopping || !fault) continue;
			this.#noteDead();
			const claimed: ClusterNode[] = [];
			// A link is cut whatever happens to the node.
			const ofLinks = faults === linkFaults;
			const begun = await fault.begin({
				...{ cluster, random, members: () => members.filter((node) => ofLinks || !this.#taken.has(node)) },
				claim: (nodes) => {
					if (ofLinks) return;
					claimed.push(...nodes);
					for (const node of nodes) this.#taken.add(node);
				},
			});
			if (begun) {
				this.counts[fault.name] = (this.counts[fault.name] ?? 0) + 1;
				left = left.length === 1 ? [...faults] : left.filter((one) => one !== fault);
				say(begun.what);
				await this.#pause(isFirst ? fault.lastsMs / 2 : random.around(fault.lastsMs));
				await begun.end();
				say(`end of: ${begun.what}`);
			}
			for (const node of claimed) this.#taken.delete(node);
		}
	}

	async #runMembership(random: Random): Promise<void> {
		// However short it is: a node has joined in the middle of it.
		let only: "join" | undefined = "join";
		while (!this.#stopping) {
			if (only === undefined) await this.#pause(random.around(betweenChangesMs));
			if (this.#stopping) break;
			const done = await this.#membership.change(only);
			only = undefined;
			if (done !== null) this.counts[done] = (this.counts[done] ?? 0) + 1;
		}
	}

	#noteDead(): void {
		for (const node of this.#parts.members)
			if (node.died) this.#parts.onWrong(`${node.name} ended by itself: ${node.daemon.log().slice(-2000)}`);
	}

	#pause(ms: number): Promise<void> {
		return Promise.race([Bun.sleep(ms), this.#stop.promise]);
	}
}
