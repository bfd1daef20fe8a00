/**
 * What the nodes of a pool say that it can do there, and why not. Nodes differ where their mounts or file systems do, so what is the same
 * on several is said once, with those that say it. Pure.
 */
import type { Pool, PoolCapabilities } from "./storage.ts";

export type Told = {
	/** What there is of it; true or false where it is there or not. */
	value: boolean | readonly string[];
	reason: string | null;
	nodeIds: string[];
};
export type ToldCapability = {
	/** As in the record, or in its `reasons`. */
	name: string;
	/** One for each answer that there is. Nodes that say nothing of it are in none. */
	told: Told[];
	/** All that have said anything say the same of it. */
	everywhere: boolean;
};

const flags = ["copyOnWriteClone", "fullClone", "resizeOnline", "shrink", "snapshots", "images", "shared"] as const;
const known: readonly string[] = ["formats", "provisioning", ...flags, "flattenOnline"];

/** Members of the record in their order, then what only has a reason: discard, reflink, whatever a later version adds. */
export function toldCapabilities({ nodes }: Pick<Pool, "nodes">): ToldCapability[] {
	const reports = nodes.flatMap(({ nodeId, capabilities }) =>
		capabilities === null ? [] : [{ nodeId, capabilities }],
	);
	const others = new Set(reports.flatMap(({ capabilities }) => Object.keys(capabilities.reasons)));
	const names = [...known, ...[...others].filter((name) => !known.includes(name)).sort()];
	return names.flatMap((name) => {
		const answers = new Map<string, Told>();
		for (const { nodeId, capabilities } of reports) {
			const value = answerOf(capabilities, name);
			if (value === null) continue;
			const reason = capabilities.reasons[name] ?? null;
			const key = JSON.stringify([value, reason]);
			const told = answers.get(key);
			if (told) told.nodeIds.push(nodeId);
			else answers.set(key, { value, reason, nodeIds: [nodeId] });
		}
		const told = [...answers.values()];
		const everywhere = told.length === 1 && told[0]?.nodeIds.length === reports.length;
		return told.length === 0 ? [] : [{ name, told, everywhere }];
	});
}

/** Null: it says nothing of it. */
function answerOf(capabilities: PoolCapabilities, name: string): Told["value"] | null {
	if (name === "formats") return capabilities.formats;
	if (name === "provisioning") return capabilities.provisioning ?? null;
	const flag = flags.find((one) => one === name);
	if (flag !== undefined) return capabilities[flag];
	if (capabilities.reasons[name] !== undefined) return false;
	// A node of before gives no reason whatever its pool can do. Of others without one is not known whether it matters there.
	return name === "flattenOnline" && capabilities.provisioning !== undefined ? true : null;
}

/** Why the pool has no `name`, as that node says, else as the first one does that has said anything; undefined where it has it. */
export function reasonAgainst({ nodes }: Pick<Pool, "nodes">, name: string, nodeId: string | null): string | undefined {
	const told = nodes.filter(({ capabilities }) => capabilities !== null);
	return (told.find((node) => node.nodeId === nodeId) ?? told[0])?.capabilities?.reasons[name];
}
