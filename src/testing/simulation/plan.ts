/**
 * What a seed has in store: how large the cluster is, and which faults come how often. Each seed switches a random subset
 * of the faults on ("swarm testing", Groce et al. 2012): some bugs only show when another fault does not get in their way.
 */
import { defaultLimits, type Limits } from "../../raft/types.ts";
import { Random } from "./random.ts";

/** Times in ms; `every` is a mean, null for never. */
export type Recurring = { every: number; least: number; most: number } | null;

/** What nodes run: the daemon's driver and log on simulated files, or the core alone with a modelled log. */
export type Stack = "driver" | "core";
/** The driver: with the daemon's store in some seeds, in all ("store"), or in none ("light"). */
export type StackChoice = Stack | "store" | "light";

/** What the state is: light registers, or the daemon's store on SQLite, which costs ten times as much. */
export type StateKind = "registers" | "sqlite";

export type Plan = {
	stack: Stack;
	state: StateKind;
	/** What is proposed to a node that does not lead goes on to the leader. */
	forwards: boolean;
	nodes: number;
	witness: boolean;
	tickMs: number;
	/** Of the driver, from one tick to the next. */
	tickJitterMs: number;
	limits: Partial<Limits>;
	network: {
		loss: number;
		duplicates: number;
		delayMs: number;
		jitterMs: number;
		/** Messages of one link come in the order in which they were sent. */
		ordered: boolean;
		/** Something from long ago comes once more; a message of another cluster or nonsense comes; a bit of a chunk flips. */
		replay: number;
		/** What a deposed leader sent last comes when another one leads. */
		late: number;
		forged: number;
		flippedChunk: number;
		/** That a snapshot has been taken, or not, does not come through: it is offered again. */
		lostEnd: number;
		partition: Recurring;
		clog: Recurring;
		/** A node's link to another one ends, and that one lives. */
		linkEnd: Recurring;
	};
	process: {
		crash: Recurring;
		/** Of the leader. */
		crashLeader: Recurring;
		/** Of a leader, soon after it was elected. */
		crashNewLeader: number;
		/** The leader's, when a partition ends. */
		leaderAfterPartition: number;
		/** All nodes at once. */
		blackout: Recurring;
		pause: Recurring;
	};
	clock: {
		/** Ticks of a node are this much longer or shorter at most. */
		skew: number;
		jump: Recurring;
		/** Of the wall clock, in minutes. */
		wall: Recurring;
	};
	disk: {
		writeMs: number;
		jitterMs: number;
		slow: Recurring;
		full: Recurring;
		/** Nothing that is asked of it is done for a while. */
		hang: Recurring;
		/** That the leader's disk hangs after all other faults have ended: the others go on without it. */
		hangAtEnd: number;
		/** For each read; all reads for a while, or for good. */
		readError: number;
		unreadable: Recurring;
		/** A copy of an earlier day is put in its place. */
		oldDisk: Recurring;
		/** For each write. */
		writeError: number;
		/** The process ends in the middle of a write. */
		crashInWrite: number;
		damage: Recurring;
		/** Of the file with the vote. */
		damageVote: Recurring;
	};
	/** The members change and leadership is handed over all the while, in every seed. */
	operator: { change: Recurring; transfer: Recurring };
	/** A snapshot after so many entries, and how many of them the log keeps. */
	snapshotEntries: number;
	keptEntries: number;
	/** For so long the state lags behind what is committed at most; 0 not at all. */
	applyLagMs: number;
	chunkBytes: number;
	segmentBytes: number;
	workload: {
		burstMs: number;
		/** That begin in a burst at most; and when all faults have ended, where it counts whether anything goes on at all. */
		operations: number;
		healedOperations: number;
		/** As soon as anybody is answered, more clients come, and those that were refused do not wait any longer. */
		eager: boolean;
		keys: number;
		paddingBytes: number;
	};
};

/** With all faults somebody leads for a fifth of the time: what clients want done is done then, or never. */
const loads = {
	steady: { operations: 18, healedOperations: 18, eager: false },
	eager: { operations: 120, healedOperations: 4, eager: true },
};

/** The longest. */
export const electionTimeoutMs = ({ tickMs, tickJitterMs, limits }: Plan): number => {
	const { electionTicks, electionJitterTicks } = { ...defaultLimits, ...limits };
	return (electionTicks + electionJitterTicks) * (tickMs + tickJitterMs);
};

export type PlanKind = "swarm" | "all" | "none";

export function drawPlan(seed: number, kind: PlanKind, choice: StackChoice): Plan {
	const random = new Random(seed);
	const on = (): boolean => (kind === "swarm" ? random.chance(0.55) : kind === "all");
	const rate = (most: number): number => {
		const value = random.next() * most;
		return on() ? value : 0;
	};
	const recurring = (fastest: number, slowest: number, least: number, most: number): Recurring => {
		const every = random.between(fastest, slowest);
		return on() ? { every, least, most } : null;
	};
	const always = (fastest: number, slowest: number): Recurring => {
		const every = random.between(fastest, slowest);
		return kind === "none" ? null : { every, least: 0, most: 0 };
	};
	const nodes = random.pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7]) as number;
	const stack: Stack = choice === "core" ? "core" : "driver";
	const sqlite = (random.chance(0.1) && choice === "driver") || choice === "store";
	return {
		stack,
		state: sqlite ? "sqlite" : "registers",
		forwards: true,
		nodes,
		witness: random.chance(0.3) && nodes >= 3,
		tickMs: 50,
		tickJitterMs: random.pick([0, 2]) as number,
		limits: drawLimits(random),
		network: {
			loss: rate(0.3),
			duplicates: rate(0.5),
			delayMs: random.between(1, 8),
			jitterMs: on() ? random.between(2, 40) : 1,
			ordered: random.chance(0.3),
			replay: rate(0.5),
			late: rate(0.8),
			forged: rate(0.01),
			flippedChunk: rate(0.2),
			lostEnd: rate(0.8),
			partition: recurring(3000, 15_000, 300, 8000),
			clog: recurring(3000, 15_000, 200, 4000),
			linkEnd: recurring(500, 5000, 0, 0),
		},
		process: {
			crash: recurring(3000, 20_000, 50, 6000),
			crashLeader: recurring(4000, 20_000, 50, 4000),
			crashNewLeader: rate(0.4),
			leaderAfterPartition: rate(0.6),
			blackout: recurring(8000, 40_000, 100, 3000),
			pause: recurring(5000, 20_000, 100, 5000),
		},
		clock: {
			skew: on() ? random.next() * 0.4 : 0,
			jump: recurring(4000, 20_000, 5, 30),
			wall: recurring(2000, 10_000, -300, 300),
		},
		disk: {
			writeMs: random.between(1, 6),
			jitterMs: on() ? random.between(1, 25) : 0,
			slow: recurring(5000, 25_000, 300, 5000),
			full: recurring(5000, 25_000, 300, 5000),
			hang: recurring(6000, 30_000, 300, 3000),
			hangAtEnd: kind === "none" ? 0 : 0.8,
			readError: rate(0.002),
			unreadable: recurring(8000, 40_000, 100, 3000),
			oldDisk: recurring(2000, 8000, 50, 1000),
			writeError: rate(0.0005),
			crashInWrite: rate(0.002),
			damage: recurring(5000, 25_000, 100, 2000),
			damageVote: recurring(10_000, 60_000, 100, 2000),
		},
		operator: { change: always(1500, 15_000), transfer: always(2500, 20_000) },
		snapshotEntries: random.chance(0.4) ? random.between(10, 60) : random.between(30, 600),
		keptEntries: random.pick([0, 0, 5, 50, 500]) as number,
		applyLagMs: random.pick([0, 0, 10, 40]) as number,
		segmentBytes: random.pick([1024, 4096, 16_384, 65_536]) as number,
		chunkBytes: (random.pick([64, 256, 1024, 4096]) as number) * (sqlite ? 64 : 1),
		workload: {
			burstMs: 100,
			...loads[kind === "all" && !sqlite ? "eager" : "steady"],
			keys: random.between(2, 6),
			paddingBytes: random.pick([0, 0, 20, 200]) as number,
		},
	};
}

/** As the daemon has them, or so small that every bound is met. */
function drawLimits(random: Random): Partial<Limits> {
	const electionJitterTicks = random.pick([6, 10]) as number;
	if (random.chance(0.4)) return { electionJitterTicks };
	return {
		electionJitterTicks,
		maxAppendBytes: random.between(150, 2000),
		maxInflightMessages: random.between(2, 16),
		maxTailBytes: random.between(200, 4000),
		maxUncommittedBytes: random.between(4000, 40_000),
		maxUncommittedEntries: random.between(50, 200),
		maxPersistBytes: random.between(200, 4000),
		maxApplyEntries: random.between(4, 64),
		promoteLagEntries: random.between(4, 64),
	};
}
