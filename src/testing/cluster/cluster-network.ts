/**
 * Faults of the links between nodes, by packet filter: who does not hear whom. A packet that is dropped is gone in silence, so
 * connections stay open and hear nothing, as with a broken switch or a firewall. Every partition is a set of such pairs: a node
 * alone, halves, one way only, or two that hear only a third one.
 */
import { run } from "../../lib/run.ts";
import type { Host } from "../bench/cluster/network.ts";

const limit = { timeoutMs: 10_000 };
const table = "inet partition";

export class Partitions {
	/** By who does not hear. */
	readonly #deafTo = new Map<Host, Set<Host>>();

	/** `listener` hears nothing from these hosts any more. */
	async deafen(listener: Host, to: readonly Host[]): Promise<void> {
		const deafTo = this.#deafTo.get(listener) ?? new Set<Host>();
		for (const host of to) if (host !== listener) deafTo.add(host);
		this.#deafTo.set(listener, deafTo);
		await this.#enforce(listener);
	}

	/** Nothing goes between the two groups, in neither direction. */
	async separate(group: readonly Host[], others: readonly Host[]): Promise<void> {
		await Promise.all(group.map((host) => this.deafen(host, others)));
		await Promise.all(others.map((host) => this.deafen(host, group)));
	}

	async healAll(): Promise<void> {
		const listeners = [...this.#deafTo.keys()];
		this.#deafTo.clear();
		await Promise.all(listeners.map((listener) => this.#enforce(listener)));
	}

	get any(): boolean {
		return this.#deafTo.size > 0;
	}

	async #enforce(listener: Host): Promise<void> {
		const from = [...(this.#deafTo.get(listener) ?? [])].map((host) => host.address);
		const rules = from.length === 0 ? [] : [`ip saddr { ${from.join(", ")} } drop`];
		// One transaction: there is no moment without rules, or with half of them.
		const stdin = [
			...[`add table ${table}`, `delete table ${table}`, `table ${table} {`, "chain input {"],
			...["type filter hook input priority 0;", ...rules, "}", "}", ""],
		].join("\n");
		const [program = "", ...args] = [...listener.prefix, "nft", "--file", "-"];
		await run(program, args, { ...limit, stdin });
	}
}
