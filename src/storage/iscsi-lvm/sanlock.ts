/** Which other nodes take part in the locks of a shared group, as sanlock on this node sees it. */
import { boundedRun } from "./bounded-run.ts";
import { groupName } from "./names.ts";

const askLimitMs = 10_000;

/**
 * Host ids of those that do, or of whom that is not known yet. This node must take part itself: it is told nothing otherwise.
 */
export async function otherHosts(poolId: string): Promise<number[]> {
	const { stdout } = await boundedRun("sanlock", ["client", "gets", "-h", "1"], { timeoutMs: askLimitMs });
	return parseHosts(stdout, `lvm_${groupName(poolId)}`);
}

/** Of lines "s LOCKSPACE:OWN-ID:PATH:OFFSET", each with those of its hosts after it: "h ID gen N timestamp N STATE". */
export function parseHosts(output: string, lockspace: string): number[] {
	const others: number[] = [];
	let own: number | null = null;
	for (const line of output.split("\n")) {
		const [kind, name = "", ...rest] = line.trim().split(/\s+/);
		if (kind === "s") own = name.startsWith(`${lockspace}:`) ? Number(name.split(":")[1]) : null;
		else if (kind === "h" && own !== null && Number(name) !== own && !/^(FREE|DEAD)$/.test(rest.at(-1) ?? ""))
			others.push(Number(name));
	}
	return others;
}
