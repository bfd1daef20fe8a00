/** Faults of one kind: a copy of an earlier day is put in the place of a node's disk. How far that goes: docs/simulator.md. */
import type { NodeId, Status } from "../../raft/types.ts";
import type { Cluster } from "./cluster.ts";
import type { SimulatedNode } from "./node.ts";
import type { Random } from "./random.ts";
import { type OldDisk, SimulatedDisk } from "./simulated-disk.ts";

export type OldDisksOptions = {
	cluster: Cluster;
	random: Random;
	count: (name: string) => void;
	/** Of every configuration in force, without those whose log is damaged. */
	majorityWithout: (id: NodeId) => boolean;
};

export class OldDisks {
	readonly #options: OldDisksOptions;

	constructor(options: OldDisksOptions) {
		this.#options = options;
	}

	/**
	 * Only where the leader has heard all that the node had, so that it can tell it, and nothing of that waits for other nodes:
	 * the leader would count it for more than it has. When that leader is gone before, the right disk comes back.
	 */
	putIn(ms: number): void {
		const cluster = this.#options.cluster;
		const leader = cluster.leader();
		const status = leader?.process?.status();
		if (leader === null || status === undefined) return;
		const { term, commitIndex } = status;
		const node = this.#options.random.pick(
			[...cluster.nodes.values()].filter((one) => this.#mayGetOldDisk(one, leader, status)),
		);
		const { disk, oldDisk } = node ?? {};
		if (node === undefined || oldDisk == null || !(disk instanceof SimulatedDisk)) return;
		this.#options.count("old disk put back");
		node.crash("loses power");
		// What was written and not answered yet may be there after all.
		if (disk.lastIndex > commitIndex || !node.isIntact) {
			cluster.restartLater(node, ms);
			return;
		}
		const right = disk.copy();
		disk.putBack(oldDisk);
		node.hasOldDisk = true;
		cluster.event(node, `gets its disk of the time of entry ${oldDisk.lastIndex}; it had ${right.lastIndex}`);
		cluster.quarantine.set(node.id, { leader: leader.id, term });
		cluster.restartLater(node, ms);
		this.#watchOldDisk(node, leader, right, cluster.queue.nowMs + ms + 3000);
	}

	#mayGetOldDisk(node: SimulatedNode, leader: SimulatedNode, { term, commitIndex, peers }: Status): boolean {
		const { process, disk, oldDisk } = node;
		if (process === null || oldDisk === null || !(disk instanceof SimulatedDisk) || node === leader) return false;
		const { hardState, lastIndex } = disk;
		const follows = process.term === term && hardState.term === term && process.leader === leader.id;
		if (!follows || (hardState.vote !== null && hardState.vote !== leader.id) || lastIndex > commitIndex) return false;
		const heard = peers.find(({ id }) => id === node.id)?.match ?? 0;
		const was = oldDisk.terms[heard];
		// A leader that has cut its log there cannot tell that it is another entry.
		const known = leader.process?.termAt(heard) ?? null;
		if (heard <= oldDisk.lastIndex && (was === undefined || known === null || was === known)) return false;
		return !this.#options.cluster.quarantine.has(node.id) && node.isIntact && this.#options.majorityWithout(node.id);
	}

	#watchOldDisk(node: SimulatedNode, leader: SimulatedNode, right: OldDisk, untilMs: number): void {
		const cluster = this.#options.cluster;
		const { disk } = node;
		cluster.queue.after(20, () => {
			if (cluster.nodes.get(node.id) !== node || !(disk instanceof SimulatedDisk)) {
				cluster.quarantine.delete(node.id);
				return;
			}
			const vitals = leader.process?.vitals;
			const leads = vitals?.role === "leader" && vitals.term === cluster.quarantine.get(node.id)?.term;
			if (disk.hardState.recovering) {
				cluster.event(node, "knows that its disk is old");
				this.#options.count("old disk noticed");
				cluster.quarantine.delete(node.id);
			} else if (leads && cluster.queue.nowMs < untilMs) this.#watchOldDisk(node, leader, right, untilMs);
			else {
				node.crash("loses power");
				disk.putBack(right);
				node.hasOldDisk = false;
				cluster.event(node, "has the right disk again");
				cluster.quarantine.delete(node.id);
				cluster.restartLater(node);
			}
		});
	}
}
