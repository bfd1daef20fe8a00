/**
 * Waiting for a node that begins anew under another id: it joined a cluster, or left one. Its socket goes away for a
 * moment and comes back.
 */
import { delay } from "../../../lib/clock.ts";
import { AppError, isAppError } from "../../../lib/errors.ts";
import { formatDuration } from "../../../lib/units.ts";
import type { Cli } from "../../cli.ts";
import { interrupted } from "../../failure.ts";
import { createProgress } from "../../progress.ts";

/** A state of some gigabytes over a slow link has arrived by then. */
const defaultLimitMs = 15 * 60_000;
const pauseMs = 500;
const answerMs = 5000;
/** A node that is reached has arrived by then, or receives a large state. */
const problemIsNewsMs = 5000;

type Wait = {
	/** The id that it had before; null when it may keep it. */
	formerId: string | null;
	title: string;
	timeoutMs: number | undefined;
	/** `started` may be seen without credentials; `ready`: its record says so, or that nothing but libvirt is missing. */
	until: "started" | "ready";
};
type Look = { id: string } | { waitsFor: string; problem?: string | null };

/** The node's new id. Fails with `timeout` and what it waited for; the node goes on by itself. */
export async function awaitNewNode(cli: Cli, wait: Wait): Promise<string> {
	const { title, timeoutMs = defaultLimitMs } = wait;
	const { clock } = cli.io;
	const endMs = clock.monotonicMs() + timeoutMs;
	const progress = createProgress(cli, title);
	let problemFromMs: number | null = null;
	let told = false;
	try {
		while (true) {
			const seen = await look(cli, wait);
			if ("id" in seen) return seen.id;
			const nowMs = clock.monotonicMs();
			problemFromMs = seen.problem ? (problemFromMs ?? nowMs) : null;
			if (seen.problem && !told && problemFromMs !== null && nowMs - problemFromMs >= problemIsNewsMs) {
				told = true;
				await progress.clear();
				await cli.note(seen.problem);
			}
			await progress.show(null, seen.waitsFor);
			if (clock.monotonicMs() >= endMs)
				throw new AppError("timeout", `The node is not ready after ${formatDuration(timeoutMs)}: ${seen.waitsFor}.`, {
					context: { hint: "It goes on by itself. To see how far it is: limiquantix cluster status" },
				});
			await delay(clock, pauseMs, cli.interrupt);
		}
	} catch (error) {
		if (cli.interrupt.aborted) throw interrupted("Interrupted. The node goes on by itself: limiquantix cluster status");
		throw error;
	} finally {
		await progress.clear();
	}
}

async function look(cli: Cli, { formerId, until }: Wait): Promise<Look> {
	try {
		// Health asks nobody: it answers before the node has heard of a leader.
		const { nodeId: id, quorum } = (await cli.call("healthGet", { timeoutMs: answerMs })).body;
		if (id === formerId) return { waitsFor: "it begins anew" };
		if (!quorum) return { waitsFor: "it looks for the others", problem: await whyNotArrived(cli) };
		if (until === "started") return { id };
		const { body: node } = await cli.call("nodeGet", { path: { id }, timeoutMs: answerMs });
		const { phase, reason, hypervisor } = node.status;
		// It is a member; libvirt may never come.
		const withoutLibvirt = phase === "not-ready" && hypervisor === "disconnected";
		if (phase === "ready" || withoutLibvirt) return { id };
		return { waitsFor: reason === null ? `it is ${phase}` : `it is ${phase}: ${reason}` };
	} catch (error) {
		if (cli.interrupt.aborted) throw error;
		if (isAppError(error, "not-found")) return { waitsFor: "it receives the state" };
		if (isAppError(error, "unavailable") || isAppError(error, "timeout")) return { waitsFor: "it begins anew" };
		throw error;
	}
}

/** Null unless it was admitted and has heard nothing yet. */
async function whyNotArrived(cli: Cli): Promise<string | null> {
	const { arriving, problem } = (await cli.call("clusterStatusGet", { timeoutMs: answerMs })).body;
	return arriving ? problem : null;
}

/** The node begins anew right after its answer, which may be lost over it: waiting then finds out what became of it. */
export async function mayBeLost(cli: Cli, work: () => Promise<void>): Promise<void> {
	try {
		await work();
	} catch (error) {
		if (!isAppError(error, "unavailable") || error.context.lost !== true) throw error;
		await cli.note("The answer was lost. Looking what became of the node …");
	}
}
