/** Runs one seed: faults for the given time, then none; then everything has to come right, and the history is judged. */
import { AssertionError } from "../../lib/assert.ts";
import type { MutantName } from "../../raft/mutants.ts";
import { Cluster } from "./cluster.ts";
import { Faults } from "./faults.ts";
import { drawPlan, electionTimeoutMs, type PlanKind, type StackChoice } from "./plan.ts";
import { Violation } from "./violation.ts";

export type RunOptions = {
	seed: number;
	/** Simulated time with faults. */
	ms: number;
	kind?: PlanKind;
	stack?: StackChoice;
	mutant?: MutantName | null;
	log?: (line: string) => void;
};

export type RunResult = {
	seed: number;
	failure: { kind: "safety" | "liveness"; what: string; step: number; atMs: number } | null;
	traceHash: string;
	simulatedMs: number;
	steps: number;
	/** Operations that clients began, and those that were answered. */
	begun: number;
	completed: number;
	messages: number;
	lost: number;
	terms: number;
	applied: number;
	faults: ReadonlyMap<string, number>;
	/** Snapshots that were gone on with after a restart. */
	resumed: number;
	/** No majority of intact logs was left by the changes of members: then nothing may go on, and nothing does. */
	stuck: boolean;
};

export function simulate({ seed, ms, kind = "swarm", stack = "driver", mutant = null, log }: RunOptions): RunResult {
	const cluster = new Cluster({ seed, plan: drawPlan(seed, kind, stack), mutant, log: log ?? null });
	const faults = new Faults(cluster);
	let failure: RunResult["failure"] = null;
	let stuck = false;
	try {
		cluster.run(ms);
		faults.heal();
		stuck = !afterwards(cluster, faults);
		cluster.workload.check();
	} catch (error) {
		if (!(error instanceof Violation || error instanceof AssertionError)) throw error;
		const found = error instanceof Violation ? error.kind : "safety";
		failure = { kind: found, what: error.message, step: cluster.queue.steps, atMs: cluster.queue.nowMs };
	}
	cluster.close();
	const { queue, workload, network, checker, trace } = cluster;
	return {
		seed,
		failure,
		traceHash: trace.hash,
		simulatedMs: queue.nowMs,
		steps: queue.steps,
		begun: workload.begun,
		completed: workload.completed,
		messages: network.messages,
		lost: network.lost,
		terms: checker.maxTerm,
		applied: checker.maxApplied,
		faults: faults.counts,
		resumed: cluster.resumed,
		stuck,
	};
}

/** False when nothing can be asked of this cluster: see `RunResult.stuck`. */
function afterwards(cluster: Cluster, faults: Faults): boolean {
	const { queue, workload } = cluster;
	const timeoutMs = electionTimeoutMs(cluster.plan);
	if (!goesOn(cluster, faults, "the end of all faults")) return false;
	if (faults.hangLeader() && !goesOn(cluster, faults, "the leader's disk hangs")) return false;
	faults.endHang();
	faults.letWitnessLead();
	// Longer than a witness, or a leader elected by a damaged node, takes to hand over; and all get what they lack.
	const committedMs = queue.nowMs;
	cluster.run(committedMs + 8 * timeoutMs);
	workload.stopped = true;
	for (;;) {
		cluster.run(queue.nowMs + 500);
		const lacks = notConverged(cluster);
		if (lacks === null) return true;
		if (queue.nowMs - committedMs <= 40 * timeoutMs + transferMs(cluster)) continue;
		if (!faults.canRecover) return false;
		throw new Violation("liveness", `${lacks}\n${describe(cluster)}`);
	}
}

/** Something is committed, and a client that has asked for a change is answered, soon. */
function goesOn(cluster: Cluster, faults: Faults, since: string): boolean {
	const { queue, checker, workload } = cluster;
	const beganMs = queue.nowMs;
	const appliedBefore = checker.maxApplied;
	const writtenBefore = workload.written;
	while (checker.maxApplied <= appliedBefore || workload.written === writtenBefore) {
		cluster.run(queue.nowMs + 100);
		if (queue.nowMs - beganMs <= 10 * electionTimeoutMs(cluster.plan)) continue;
		if (!faults.canRecover) return false;
		throw new Violation(
			"liveness",
			`nothing was committed within 10 election time-outs of this: ${since}\n${describe(cluster)}`,
		);
	}
	return true;
}

/** A few times what the largest snapshot takes in chunks as small as this seed's, four of them under way. */
function transferMs({ nodes, plan }: Cluster): number {
	const bytes = Math.max(...[...nodes.values()].map(({ disk }) => disk.snapshot?.data.length ?? 0));
	const { delayMs } = plan.network;
	const { writeMs, jitterMs } = plan.disk;
	return 3 * Math.ceil(bytes / (4 * plan.chunkBytes)) * (2 * (delayMs + 1) + 4 * (writeMs + jitterMs));
}

function notConverged(cluster: Cluster): string | null {
	const leader = cluster.leader();
	const status = leader?.process?.status();
	if (leader === null || status === undefined) return "there is no leader in peace";
	const { voters, witnesses, learners } = status.configuration;
	if (!voters.includes(leader.id)) return `${leader.id} leads and is no voter`;
	if (status.appliedIndex < status.lastIndex) return "the leader has not applied its log";
	if (status.appliedIndex < cluster.checker.maxApplied) return "what was applied is not applied by the leader";
	const useful = voters.filter((id) => !witnesses.includes(id) && cluster.nodes.get(id)?.isIntact === true);
	if (useful.length > 0 && witnesses.includes(leader.id)) return "a witness goes on leading";
	for (const id of [...voters, ...learners]) {
		const machine = cluster.nodes.get(id)?.process?.machine;
		if (machine === undefined) return `${id} is a member and gone`;
		if (machine.index !== status.appliedIndex)
			return `${id} has applied ${machine.index}, the leader ${status.appliedIndex}`;
		if (machine.hash !== leader.process?.machine.hash)
			throw new Violation("safety", `${id} and ${leader.id} have another state at ${machine.index}`);
		if (cluster.nodes.get(id)?.isIntact !== true) return `${id} has not recovered`;
	}
	return null;
}

function describe(cluster: Cluster): string {
	return [...cluster.nodes.values()]
		.map((node) => {
			const status = node.process?.status();
			if (status === undefined) return `  ${node.id} is down`;
			const {
				role,
				term,
				leader,
				commitIndex,
				lastIndex,
				durableIndex,
				appliedIndex,
				recovering,
				removed,
				configuration,
			} = status;
			return `  ${node.id} ${role} of term ${term}, leader ${leader ?? "unknown"}, log to ${lastIndex} (durable ${durableIndex}), commit ${commitIndex}, applied ${appliedIndex}${recovering ? ", recovering" : ""}${removed ? ", removed" : ""}; voters ${configuration.voters.join(" ")}, learners ${configuration.learners.join(" ")}${status.peers.map((peer) => `; ${peer.id} ${peer.mode} ${peer.match}${peer.active ? "" : " silent"}`).join("")}`;
		})
		.join("\n");
}
