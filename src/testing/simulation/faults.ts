/**
 * What goes wrong, when, by the plan; and what the operator does meanwhile.
 *
 * How far damage to disks goes. What a node can find out is that entries are missing which it had acknowledged; then it
 * does not vote until it has recovered (raft/recovery.ts). So the bound is on nodes: before one is damaged, of every
 * configuration in force on any node, a majority without it, and without those that have not recovered yet, must be left.
 * Then whatever was acknowledged is on some intact node of each majority that can act, and nobody acts without one.
 */

import { majority } from "../../raft/quorum.ts";
import type { Change, NodeId } from "../../raft/types.ts";
import type { Cluster } from "./cluster.ts";
import { heal } from "./healing.ts";
import type { SimulatedNode } from "./node.ts";
import { OldDisks } from "./old-disks.ts";
import type { Recurring } from "./plan.ts";
import type { Random } from "./random.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const maxMembers = 7;

export class Faults {
	readonly #cluster: Cluster;
	readonly #random: Random;
	#stopped = false;
	#newestTerm = 0;
	readonly counts = new Map<string, number>();
	#hanging: SimulatedNode | null = null;

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
		const oldDisks = new OldDisks({
			...{ cluster, random: this.#random },
			count: (name) => this.#count(name),
			majorityWithout: (id) => this.#majorityWithout(id),
		});
		this.#recur("old disk", disk.oldDisk, (ms) => oldDisks.putIn(ms));
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
		this.#stopped = true;
		heal(this.#cluster, this.#random);
	}

	/** When all that is over: the others have to go on without the one that leads. False: not in this seed. */
	hangLeader(): boolean {
		const leader = this.#cluster.leader();
		const { hangAtEnd } = this.#cluster.plan.disk;
		if (leader === null || !this.#random.chance(hangAtEnd) || !this.#canLose(leader)) return false;
		this.#count("disk that hangs for good");
		this.#cluster.event(leader, "its disk hangs, and all other faults have ended");
		leader.hangsUntil = Number.POSITIVE_INFINITY;
		this.#hanging = leader;
		return true;
	}

	/** Without it somebody can lead who is no witness and has a whole log. */
	#canLose({ id, isIntact }: SimulatedNode): boolean {
		if (!isIntact || !this.#majorityWithout(id)) return false;
		const { nodes } = this.#cluster;
		for (const node of nodes.values()) {
			const { voters, witnesses } = node.newestConfiguration;
			if (
				voters.length > 0 &&
				!voters.some((one) => one !== id && !witnesses.includes(one) && nodes.get(one)?.isIntact)
			)
				return false;
		}
		return true;
	}

	/** As it may come about when the others' time-outs are long; it has to hand over. */
	letWitnessLead(): void {
		const leader = this.#cluster.leader();
		const witnesses = leader?.process?.configuration().configuration.witnesses ?? [];
		const witness = this.#cluster.nodes.get(this.#random.pick(witnesses) ?? "") ?? null;
		if (leader === null || witness === null || this.#random.chance(0.5)) return;
		this.#count("witness asked to lead");
		this.#cluster.askToCampaign(leader, witness);
	}

	/** That disk is given up, and works again after a start. */
	endHang(): void {
		const node = this.#hanging;
		this.#hanging = null;
		if (node === null || this.#cluster.nodes.get(node.id) !== node) return;
		node.hangsUntil = 0;
		if (!node.isDown) node.crash("loses power");
		this.#cluster.restartLater(node);
	}

	/** Whether a majority of every configuration in force is of nodes whose log is whole: else nobody may lead. */
	get canRecover(): boolean {
		return this.#majorityWithout("");
	}
}
