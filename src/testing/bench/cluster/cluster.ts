/**
 * A cluster of any system, as the benchmarks see it: members that can be killed, stopped and cut off, who leads, and what a
 * client sends to write or read. Ours and etcd's are measured through this and nothing else.
 */
import { waitUntil } from "../../lab/wait-until.ts";
import type { Exchange } from "./exchange.ts";
import type { LoadClient } from "./load.ts";
import type { MemberProcess } from "./member-process.ts";
import type { Host, Network } from "./network.ts";

export type Member = { readonly host: Host; readonly process: MemberProcess };

/** As one member sees it; null where it does not know. */
export type View = { leader: number | null; term: number; appliedIndex: number };

export type Cluster = {
	/** Begins the names of its figures. */
	readonly name: string;
	readonly version: string;
	readonly members: readonly Member[];
	/** Fails when the member does not answer. */
	view(member: number): Promise<View>;
	/** The write of that client (each has an object of its own), durable on a majority when it is answered. */
	write(client: number, member: number): Exchange;
	/** Of the same object, linearizable. */
	read(client: number, member: number): Exchange;
	/** Ends all and removes their data. */
	stop(): Promise<void>;
};

export type ClusterOptions = { network: Network; load: LoadClient; members: number };

const settleLimitMs = 60_000;

/** Waits until all members agree on a leader and have the same log applied, and each takes writes. The leader. */
export async function settled(cluster: Cluster, load: LoadClient): Promise<number> {
	const all = cluster.members.map((_, member) => member);
	return waitUntil(
		`the members of ${cluster.name} to agree`,
		settleLimitMs,
		async () => {
			try {
				await load.order({ kind: "warm", clients: all.map((member) => cluster.write(member, member)) });
				const views = await Promise.all(all.map((member) => cluster.view(member)));
				const [first] = views;
				if (first?.leader == null) return undefined;
				const agree = views.every(({ leader, term }) => leader === first.leader && term === first.term);
				const behind = Math.max(...views.map((view) => view.appliedIndex)) - first.appliedIndex;
				return agree && Math.abs(behind) < 100 ? first.leader : undefined;
			} catch {
				return undefined;
			}
		},
		{ everyMs: 50 },
	);
}

/** A member that does not lead; with one member alone, that one. */
export const followerOf = (cluster: Cluster, leader: number): number => (leader + 1) % cluster.members.length;
