/**
 * Changes of who the members are, while everything else goes wrong: nodes join, leave, are removed dead, and the lead is handed
 * over. A change that is interrupted is not forgotten: `complete` brings each to its end once the cluster is healed.
 */
import { isAppError } from "../../lib/errors.ts";
import { waitUntil } from "../lab/wait-until.ts";
import type { Random } from "../simulation/random.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { healLimitMs, type LabCluster, statusOf } from "./lab-cluster.ts";

export type MembershipParts = {
	cluster: LabCluster;
	members: ClusterNode[];
	random: Random;
	/** Not to be taken: something else happens to them. */
	taken: Set<ClusterNode>;
	say(line: string): void;
};

const least = 3;
const most = 5;
const stepLimitMs = 15_000;

export class Membership {
	readonly #parts: MembershipParts;
	/** Nodes that are to be members no more, until the cluster says so. They are off. */
	readonly #leaving: ClusterNode[] = [];

	constructor(parts: MembershipParts) {
		this.#parts = parts;
	}

	/**
	 * One change; its name, or null when none was possible. Not before the one before is done in the consensus, too: each may leave
	 * a voter behind that is off, and with several of them a majority would be gone for good. `only`: this, and nothing that chance picks.
	 */
	async change(only?: "join"): Promise<string | null> {
		const { members, random } = this.#parts;
		for (const node of [...this.#leaving]) await this.#askToRemove(node);
		const asked = this.#someMember();
		const known = asked ? await statusOf(asked) : undefined;
		if (this.#leaving.length > 0 || known?.members.length !== members.length) return null;
		if (only === "join") return this.#join();
		const ways: (() => Promise<string | null>)[] = [() => this.#transfer()];
		if (members.length < most)
			ways.push(
				() => this.#join(),
				() => this.#join(),
			);
		if (members.length > least)
			ways.push(
				() => this.#remove(),
				() => this.#leave(),
			);
		return (await random.pick(ways)?.()) ?? null;
	}

	/** Whatever was begun is done, and every member votes. The cluster is healed. */
	async complete(): Promise<void> {
		const { members, cluster } = this.#parts;
		for (const node of [...this.#leaving])
			await waitUntil(`${node.name} to be removed`, healLimitMs, () => this.#askToRemove(node), { everyMs: 500 });
		await waitUntil("every member to vote", healLimitMs, () => cluster.haveVotes(members), { everyMs: 200 });
	}

	async #transfer(): Promise<string | null> {
		const asked = this.#someMember();
		const to = this.#someMember();
		if (!asked || !to) return null;
		const nodeId = this.#parts.random.chance(0.5) ? to.nodeId : undefined;
		this.#parts.say(`${asked.name} is asked to hand the lead to ${nodeId ? to.name : "somebody"}`);
		await asked.api
			.call("clusterLeaderTransfer", { body: nodeId ? { nodeId } : {}, signal: AbortSignal.timeout(stepLimitMs) })
			.catch(() => {});
		return "transfer";
	}

	async #join(): Promise<string | null> {
		const { cluster, members, say } = this.#parts;
		const by = this.#someMember();
		if (!by) return null;
		const node = await cluster.addNode();
		say(`${node.name} joins by way of ${by.name}`);
		try {
			await cluster.join(node, by, stepLimitMs);
			members.push(node);
			say(`${node.name} has joined`);
		} catch (error) {
			say(`${node.name} has not joined: ${error instanceof Error ? error.message : error}`);
			await this.#discard(node);
		}
		return "join";
	}

	async #leave(): Promise<string | null> {
		const node = this.#takeOne();
		if (!node) return null;
		this.#parts.say(`${node.name} leaves`);
		const call = { path: { id: node.nodeId }, signal: AbortSignal.timeout(stepLimitMs) };
		await node.api
			.call("nodeLeave", call)
			.catch((error) => this.#parts.say(`${node.name} has not left: ${error.message}`));
		await this.#discard(node);
		return "leave";
	}

	async #remove(): Promise<string | null> {
		const node = this.#takeOne();
		if (!node) return null;
		this.#parts.say(`${node.name} is removed`);
		await this.#discard(node);
		return "remove";
	}

	/** It is off from now on; whether the cluster knows that is seen now or later. */
	async #discard(node: ClusterNode): Promise<void> {
		await node.kill9();
		this.#leaving.push(node);
		await this.#askToRemove(node);
	}

	async #askToRemove(node: ClusterNode): Promise<boolean> {
		const asked = this.#someMember();
		if (!asked) return false;
		const signal = AbortSignal.timeout(stepLimitMs);
		try {
			const { body, stale } = await asked.api.call("nodeList", { query: { limit: 100 }, signal });
			if (stale) return false;
			const record = body.items.find(({ name, status }) => name === node.name && status.phase !== "left");
			if (record) {
				const options = { path: { id: record.id }, body: { confirmName: node.name }, signal };
				await asked.api.call("nodeRemove", options).catch((error: unknown) => {
					if (!isAppError(error, "not-found")) throw error;
				});
			}
		} catch (error) {
			this.#parts.say(`${node.name} is not removed: ${error instanceof Error ? error.message : error}`);
			return false;
		}
		this.#leaving.splice(this.#leaving.indexOf(node), 1);
		await node.stop();
		return true;
	}

	#takeOne(): ClusterNode | null {
		const { members, taken } = this.#parts;
		const node = this.#someMember();
		if (!node || taken.has(node)) return null;
		members.splice(members.indexOf(node), 1);
		return node;
	}

	#someMember(): ClusterNode | null {
		const { members, random } = this.#parts;
		return random.pick(members.filter((node) => node.runs && !node.paused)) ?? null;
	}
}
