/** `cluster status`: the members, and how many failures are tolerated. */
import type { ClusterStatus } from "../../../gen/api.ts";
import { delay } from "../../../lib/clock.ts";
import { isAppError } from "../../../lib/errors.ts";
import { formatClockDifference } from "../../../model/clock-rules.ts";
import type { ClusterMember } from "../../../model/cluster.ts";
import { maxVoters } from "../../../model/member-limits.ts";
import type { Cli } from "../../cli.ts";
import { type ExitCode, exitCode } from "../../failure.ts";
import { flag } from "../../options.ts";
import type { Column } from "../../output.ts";
import { verb } from "../../verb.ts";

const watchMs = 2000;
const home = "\u001b[H\u001b[J";

export const statusVerb = verb({
	name: "status",
	summary: "Show the members of the cluster and how they are",
	description:
		"As the node that is asked sees it. LAG is how many changes a member does not have yet. CLOCK is how far a member's clock is ahead of (+) or behind (-) that of most members, or of the node that is asked when no majority agrees. The exit code is 3 without a quorum.",
	examples: ["limiquantix cluster status", "limiquantix cluster status --watch"],
	options: { watch: flag("--watch", "show it anew every two seconds, until Ctrl-C") },
	async run(cli, _, { watch }): Promise<ExitCode> {
		if (watch) return watchStatus(cli);
		const { body } = await cli.call("clusterStatusGet");
		await show(cli, body);
		return body.quorum ? exitCode.ok : exitCode.unreachable;
	},
});

const columns: Column<ClusterMember>[] = [
	{ header: "NAME", value: ({ name }) => name },
	{ header: "ROLE", value: ({ role, witness }) => (witness ? `${role}, witness` : role) },
	{ header: "REACHABLE", value: ({ reachable }) => (reachable ? "yes" : "no") },
	{ header: "LAG", value: lag, right: true },
	{ header: "VERSION", value: ({ version }) => version },
	{
		header: "LATENCY",
		value: ({ latencyMs }) => (latencyMs === null ? null : `${latencyMs.toFixed(1)} ms`),
		right: true,
	},
	{ header: "CLOCK", value: clock, right: true },
	{ header: "CERTIFICATE ENDS", value: ({ certificateExpiresAt }) => certificateExpiresAt?.slice(0, 10) ?? null },
	{ header: "ADDRESS", value: ({ peerAddresses }) => peerAddresses.join(", ") },
];

function lag({ lagEntries, receivesSnapshot, recovering }: ClusterMember): string | number | null {
	if (receivesSnapshot) return "snapshot";
	if (recovering) return "recovering";
	return lagEntries;
}

/** A node of an older version does not say. */
function clock({ clockOffsetMs }: Partial<ClusterMember>): string | null {
	if (typeof clockOffsetMs !== "number") return null;
	const sign = clockOffsetMs < 0 ? "-" : clockOffsetMs > 0 ? "+" : "";
	return `${sign}${formatClockDifference(clockOffsetMs)}`;
}

async function show(cli: Cli, status: ClusterStatus): Promise<void> {
	const { output } = cli;
	if (output.quiet) return output.list(status.members, columns, ({ nodeId }) => nodeId);
	if (!output.forPeople) return output.document(status);
	await output.list(status.members, columns, ({ nodeId }) => nodeId);
	await output.say(`\n${summary(status)}`);
}

export function summary({
	quorum,
	quorumSize,
	voterCount,
	failuresTolerated,
	removed,
	problem,
	members,
}: ClusterStatus): string {
	// The node says it itself.
	if (problem !== null && (removed || !quorum)) return problem;
	const lines: string[] = [];
	if (removed)
		lines.push(
			"This node was removed from the cluster and changes nothing any more. To bring it back: limiquantix cluster join",
		);
	else if (!quorum)
		lines.push(
			`No quorum: ${quorumSize} of ${voterCount} voters have to agree. What is read may be old, and nothing can be changed.`,
		);
	else if (voterCount === 1) lines.push("This is the only voter: it must not fail.");
	else {
		const more = failuresTolerated === 0 ? "none" : failuresTolerated === 1 ? "1 more" : `${failuresTolerated} more`;
		lines.push(`Quorum: ${quorumSize} of ${voterCount} voters have to agree; ${more} may fail.`);
	}
	if (quorum && voterCount >= maxVoters && members.some(({ role }) => role === "learner"))
		lines.push(
			`${voterCount} vote, which is the most. Learners are members in everything else, and vote in the place of one that goes.`,
		);
	if (problem !== null) lines.push(problem);
	return lines.join("\n");
}

/** Until Ctrl-C, which is how watching ends. A node that is away is waited for, once it has answered. */
async function watchStatus(cli: Cli): Promise<ExitCode> {
	let last = "";
	try {
		while (true) {
			try {
				const { body } = await cli.call("clusterStatusGet");
				const text = JSON.stringify(body);
				if (text !== last) await showAgain(cli, body, last === "");
				last = text;
			} catch (error) {
				const away = isAppError(error, "unavailable") || isAppError(error, "timeout");
				if (!away || last === "") throw error;
				await cli.note(error.message);
			}
			await delay(cli.io.clock, watchMs, cli.interrupt);
		}
	} catch (error) {
		if (cli.interrupt.aborted) return exitCode.ok;
		throw error;
	}
}

async function showAgain(cli: Cli, status: ClusterStatus, first: boolean): Promise<void> {
	const { output, io } = cli;
	if (!output.forPeople) return output.streamed(status, () => "", status.nodeId);
	if (io.stdout.isTTY) await io.stdout.write(home);
	else if (!first) await output.say("");
	await show(cli, status);
}
