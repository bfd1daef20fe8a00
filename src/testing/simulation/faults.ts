/**
 * What goes wrong, when, by the plan; and what the operator does meanwhile.
 *
 * How far damage to disks goes. What a node can find out is that entries are missing which it had acknowledged; then it
 * does not vote until it has recovered (raft/recovery.ts). So the bound is on nodes: before one is damaged, of every
 * configuration in force on any node, a majority without it, and without those that have not recovered yet, must be left.
 * Then whatever was acknowledged is on some intact node of each majority that can act, and nobody acts without one.
 */

import { majority } from "../../raft/quorum.ts";
import type { Change, NodeId, Status } from "../../raft/types.ts";
import type { Cluster } from "./cluster.ts";
import type { SimulatedNode } from "./node.ts";
import type { Recurring } from "./plan.ts";
import type { Random } from "./random.ts";
import { type OldDisk, SimulatedDisk } from "./simulated-disk.ts";

const maxMembers = 7;

export class Faults {
	readonly #cluster: Cluster;
	readonly #random: Random;
	#stopped = false;
	#newestTerm = 0;
	readonly counts = new Map<string, number>();

	constructor(cluster: Cluster) {
		this.#cluster = cluster;
		this.#random = cluster.random.fork();
		const { network, process, clock, disk, operator } = cluster.plan;
		this.#recur("partition", network.partition, (ms) => this.#partition(ms));
		this.#recur("clog", network.clog, (ms) => this.#clog(ms));
		this.#recur("link that ends", network.linkEnd, () => this.#linkEnd());
		this.#recur("crash", process.crash, (ms) => this.#crash(this.#receiving() ?? this.#anyone(), ms));
		this.#recur("crash of the leader", process.crashLeader, (ms) => this.#crash(cluster.leader(), ms));
		this.#watchLeaders(process.crashNewLeader, network.late, null);
		this.#recur("blackout", process.blackout, (ms) => this.#blackout(ms));
		this.#recur("pause", process.pause, (ms) => this.#anyone()?.pause(ms));
		this.#recur("clock jump", clock.jump, (ticks) => this.#jump(ticks));
		this.#recur("wall clock jump", clock.wall, (minutes) => this.#jumpWall(minutes));
		this.#recur("slow disk", disk.slow, (ms) => this.#slow(ms));
		this.#recur("full disk", disk.full, (ms) => this.#full(ms));
		this.#recur("hanging disk", disk.hang, (ms) => this.#hang(ms));
		this.#recur("unreadable disk", disk.unreadable, (ms) => this.#unreadable(ms));
		this.#recur("old disk", disk.oldDisk, (ms) => this.#oldDisk(ms));
		this.#recur("damage", disk.damage, (ms) => this.#damage(ms));
		this.#recur("damaged vote", disk.damageVote, (ms) => this.#damageVote(ms));
		this.#recur("change", operator.change, () => this.#change());
		this.#recur("transfer", operator.transfer, () => this.#transfer());
	}

	#recur(name: string, recurring: Recurring, happen: (amount: number) => void): void {
		if (recurring === null) return;
		this.#cluster.queue.after(1 + this.#random.around(recurring.every), () => {
			if (this.#stopped) return;
			this.#count(name);
			happen(this.#random.between(recurring.least, recurring.most));
			this.#recur(name, recurring, happen);
		});
	}

	#count(name: string): void {
		this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
	}

	#anyone(): SimulatedNode | null {
		return this.#random.pick([...this.#cluster.nodes.values()]) ?? null;
	}

	/** A node that has a part of a snapshot, often: most of them are there for a moment only. */
	#receiving(): SimulatedNode | null {
		if (this.#random.chance(0.3)) return null;
		const isReceiving = ({ disk }: SimulatedNode): boolean => disk instanceof SimulatedDisk && disk.arriving !== null;
		return this.#random.pick([...this.#cluster.nodes.values()].filter(isReceiving)) ?? null;
	}

	#partition(ms: number): void {
		const { network, queue } = this.#cluster;
		const slots = [...this.#cluster.nodes.values()].map(({ slot }) => slot);
		const shape = network.partition(slots, this.#cluster.leader()?.slot ?? null);
		this.#cluster.event(null, `partition (${shape}) for ${ms} ms`);
		queue.after(ms, () => {
			network.cut.fill(0);
			this.#cluster.event(null, "the partition is over");
			// Whoever was on the other side has its say before the leader is heard.
			const { leaderAfterPartition } = this.#cluster.plan.process;
			if (!this.#stopped && this.#random.chance(leaderAfterPartition)) this.#crash(this.#cluster.leader(), ms);
		});
	}

	#clog(ms: number): void {
		const { network, queue } = this.#cluster;
		const node = this.#anyone();
		if (node === null) return;
		this.#cluster.event(node, `its links are clogged for ${ms} ms`);
		network.clog(node.slot, queue.nowMs + ms, this.#random);
	}

	/** Mostly the leader's: the others' are not missed. */
	#linkEnd(): void {
		const of = this.#random.chance(0.7) ? this.#cluster.leader() : this.#anyone();
		const to = this.#anyone();
		if (of === null || to === null || of === to) return;
		this.#cluster.event(to, `its link to ${of.id} ends`);
		this.#cluster.linkEnds(of, to.id);
	}

	#crash(node: SimulatedNode | null, ms: number): void {
		if (node === null || node.isDown) return;
		node.crash("loses power");
		this.#cluster.restartLater(node, ms);
	}

	/** Leaders that die young leave logs that end in different terms; and what they have sent may still be on its way. */
	#watchLeaders(crashNew: number, late: number, before: SimulatedNode | null): void {
		const cluster = this.#cluster;
		if (crashNew === 0 && late === 0) return;
		cluster.queue.after(50, () => {
			if (this.#stopped) return;
			const leader = cluster.leader();
			const term = leader?.process?.term ?? 0;
			if (leader !== null && term > this.#newestTerm) {
				if (crashNew > 0 && this.#random.chance(crashNew)) this.#crashSoon(leader);
				if (late > 0 && before !== null && before !== leader && this.#random.chance(late)) {
					this.#count("late words of an old leader");
					cluster.network.lateFrom(before.slot, 300);
				}
			}
			this.#newestTerm = Math.max(this.#newestTerm, term);
			this.#watchLeaders(crashNew, late, leader ?? before);
		});
	}

	#crashSoon(leader: SimulatedNode): void {
		this.#count("crash of a new leader");
		const { life } = leader;
		this.#cluster.queue.after(this.#random.below(400), () => {
			if (leader.life === life && !this.#stopped) this.#crash(leader, this.#random.between(50, 3000));
		});
	}

	#blackout(ms: number): void {
		for (const node of this.#cluster.nodes.values()) this.#crash(node, ms + this.#random.below(500));
	}

	#jump(ticks: number): void {
		const node = this.#anyone();
		if (node?.process == null || node.pausedUntil > this.#cluster.queue.nowMs) return;
		this.#cluster.event(node, `its clock jumps by ${ticks} ticks`);
		const { life } = node;
		for (let tick = 0; tick < ticks && node.life === life; tick++) node.tick();
		node.tickMs = this.#cluster.drawTickMs();
	}

	/** Idempotency keys are kept for a day of command time: two clocks are never that far apart. */
	#jumpWall(minutes: number): void {
		const node = this.#anyone();
		if (node !== null) node.wallOffsetMs = minutes * 60_000;
	}

	#slow(ms: number): void {
		const node = this.#anyone();
		if (node !== null) node.slowUntil = this.#cluster.queue.nowMs + ms;
	}

	#full(ms: number): void {
		const node = this.#anyone();
		if (node !== null) node.fullUntil = this.#cluster.queue.nowMs + ms;
	}

	#hang(ms: number): void {
		const node = this.#anyone();
		if (node !== null) node.hangsUntil = this.#cluster.queue.nowMs + ms;
	}

	/** What runs then ends at its next read, and does not start before it is over. Some are for good. */
	#unreadable(ms: number): void {
		const node = this.#anyone();
		// A modelled log is not read from files.
		if (node === null || node.isLost || !(node.disk instanceof SimulatedDisk)) return;
		if (!this.#random.chance(0.15) || !this.#majorityWithout(node.id) || this.#cluster.quarantine.has(node.id)) {
			node.unreadableUntil = Math.max(node.unreadableUntil, this.#cluster.queue.nowMs + ms);
			return;
		}
		this.#count("unreadable for good");
		node.crash("loses power, and its disk");
		node.unreadableUntil = Number.POSITIVE_INFINITY;
		this.#removeLost(node);
		this.#cluster.restartLater(node, ms);
	}

	/**
	 * Only where the leader has heard all that the node had, so that it can tell it, and nothing of that waits for other nodes:
	 * the leader would count it for more than it has. When that leader is gone before, the right disk comes back.
	 */
	#oldDisk(ms: number): void {
		const cluster = this.#cluster;
		const leader = cluster.leader();
		const status = leader?.process?.status();
		if (leader === null || status === undefined) return;
		const { term, commitIndex } = status;
		const node = this.#random.pick(
			[...cluster.nodes.values()].filter((one) => this.#mayGetOldDisk(one, leader, status)),
		);
		const { disk, oldDisk } = node ?? {};
		if (node === undefined || oldDisk == null || !(disk instanceof SimulatedDisk)) return;
		this.#count("old disk put back");
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
		return !this.#cluster.quarantine.has(node.id) && node.isIntact && this.#majorityWithout(node.id);
	}

	#watchOldDisk(node: SimulatedNode, leader: SimulatedNode, right: OldDisk, untilMs: number): void {
		const cluster = this.#cluster;
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
				this.#count("old disk noticed");
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

	/** See the head of this file. */
	#damage(ms: number): void {
		const node = this.#anyone();
		if (node === null || !this.#majorityWithout(node.id) || this.#cluster.quarantine.has(node.id)) return;
		node.crash("loses power, and a part of its log");
		if (node.disk.damage(this.#random)) this.#count("damage done");
		this.#cluster.network.replayFrom(node.slot, ms + 2000);
		this.#cluster.restartLater(node, ms);
	}

	#majorityWithout(id: NodeId): boolean {
		const { nodes } = this.#cluster;
		const intact = (voter: NodeId): boolean => voter !== id && nodes.get(voter)?.isIntact === true;
		for (const node of nodes.values()) {
			const { voters } = node.newestConfiguration;
			if (voters.length > 0 && voters.filter(intact).length < majority(voters.length)) return false;
		}
		return true;
	}

	/** Such a node has to refuse to start. Then somebody removes it. */
	#damageVote(ms: number): void {
		const node = this.#anyone();
		if (node === null || node.isLost || !this.#majorityWithout(node.id) || this.#cluster.quarantine.has(node.id))
			return;
		node.crash("loses power, and its vote");
		if (node.disk.damageVote(this.#random)) this.#removeLost(node);
		this.#cluster.network.replayFrom(node.slot, ms + 2000);
		this.#cluster.restartLater(node, ms);
	}

	/** Until nobody counts it as a member any more, for good: a removal may be lost. Also after all other faults. */
	#removeLost(node: SimulatedNode): void {
		const cluster = this.#cluster;
		if (cluster.nodes.get(node.id) !== node) return;
		const committed = cluster.checker.committedConfiguration;
		const counts = [committed, ...[...cluster.nodes.values()].map((one) => one.newestConfiguration)].some(
			({ voters, learners }) => voters.includes(node.id) || learners.includes(node.id),
		);
		if (node.isLost && (cluster.checker.removed.has(node.id) || !counts)) {
			cluster.discard(node);
			return;
		}
		const leader = cluster.leader();
		if (node.isLost) leader?.guard(() => leader.process?.change({ kind: "remove", node: node.id }, () => {}));
		cluster.queue.after(this.#random.between(200, 1500), () => this.#removeLost(node));
	}

	#transfer(): void {
		const leader = this.#cluster.leader();
		if (leader !== null && this.#random.chance(0.3)) this.#cluster.askToCampaign(leader, this.#anyone());
		const to = this.#random.chance(0.5) ? (this.#anyone()?.id ?? null) : null;
		leader?.guard(() => leader.process?.transfer(to));
	}

	/** Through whoever leads, or thinks so. */
	#change(): void {
		const random = this.#random;
		const node = random.chance(0.2) ? this.#anyone() : this.#cluster.leader();
		if (node?.process == null) return;
		const change = this.#pickChange(node.process.configuration().configuration);
		if (change === null) return;
		node.guard(() => {
			this.#cluster.event(node, `${change.kind} ${change.node}`);
			node.process?.change(change, (why) => this.#cluster.event(node, `${change.kind} ${change.node} refused: ${why}`));
			// Another one at once, which has to wait.
			if (random.chance(0.3)) this.#change();
		});
		this.#tidy();
	}

	#pickChange({ voters, learners }: { voters: NodeId[]; learners: NodeId[] }): Change | null {
		const random = this.#random;
		const pick = random.next();
		if (pick < 0.45 && learners.length > 0)
			return { kind: "promote", node: random.pick(learners) as NodeId, witness: random.chance(0.2) };
		if (pick < 0.75 && voters.length + learners.length < maxMembers) {
			const { checker } = this.#cluster;
			// One that was added and is no member, since its entry was lost, is tried again.
			const spare = [...this.#cluster.nodes.values()].find(
				({ id, disk, unreadableUntil }) =>
					!voters.includes(id) &&
					!learners.includes(id) &&
					!checker.removed.has(id) &&
					!disk.voteDamaged &&
					unreadableUntil !== Number.POSITIVE_INFINITY,
			);
			const node = spare?.id ?? this.#cluster.add(false)?.id;
			return node === undefined ? null : { kind: "add-learner", node };
		}
		const members = [...voters, ...learners];
		return members.length < 2 ? null : { kind: "remove", node: random.pick(members) as NodeId };
	}

	/** Removed nodes go on for a while, since they may not know it, and are thrown away later. */
	#tidy(): void {
		const { checker, nodes } = this.#cluster;
		for (const node of nodes.values())
			if (checker.removed.has(node.id) && this.#random.chance(0.25)) this.#cluster.discard(node);
	}

	/** All faults end, and everybody is there. */
	heal(): void {
		const { network, nodes } = this.#cluster;
		this.#stopped = true;
		this.#cluster.healed = true;
		this.#cluster.event(null, "all faults end");
		network.heal();
		const noFaults = {
			loss: 0,
			duplicates: 0,
			replay: 0,
			late: 0,
			forged: 0,
			flippedChunk: 0,
			lostEnd: 0,
			jitterMs: 1,
		};
		network.rates = { ...network.rates, ...noFaults };
		for (const node of nodes.values()) {
			node.slowUntil = 0;
			node.fullUntil = 0;
			node.hangsUntil = 0;
			if (node.unreadableUntil !== Number.POSITIVE_INFINITY) node.unreadableUntil = 0;
			node.tickMs = this.#cluster.plan.tickMs;
			node.wake();
			if (node.isDown) this.#cluster.restartLater(node, 1 + this.#random.below(100));
		}
	}

	/** Whether a majority of every configuration in force is of nodes whose log is whole: else nobody may lead. */
	get canRecover(): boolean {
		return this.#majorityWithout("");
	}
}
