/** What an administrator is told about clocks of members that are off. Pure. */
import { aheadOrBehind, apartMs, type ClockVerdict, formatClockDifference, setClockRight } from "./clock-rules.ts";
import type { Node } from "./node.ts";

type Known = {
	nodes: readonly Pick<Node, "id" | "name" | "status">[];
	/** The one that judges. */
	ownId: string;
	clocks: Pick<ClockVerdict, "basis" | "aheadMs" | "off">;
};

/** Nothing, or one sentence after the other. */
export function wrongClocks({ nodes, ownId, clocks }: Known): string[] {
	const { basis, aheadMs, off } = clocks;
	const members = nodes.filter(({ id, status }) => status.phase !== "left" && off.includes(id));
	const those = members.map(({ id, name }) => ({ name, ms: aheadMs.get(id) ?? 0, isOwn: id === ownId }));
	const names = those.map(({ name }) => name);
	if (basis === "none") return differing(those);
	if (those.length === 0) return [];
	const said = those.map(({ name, ms, isOwn }) => {
		if (basis === "majority") return `The clock of ${name} is ${aheadOrBehind(ms)} those of most others.`;
		if (!isOwn) return `The clock of ${name} is ${aheadOrBehind(ms)} what most others agreed on.`;
		return `The clock of ${name} is ${aheadOrBehind(ms)} what most others agreed on when it heard them last, and it goes on by that.`;
	});
	return [...said, `On ${names.join(", ")}, ${setClockRight}.`];
}

function differing(those: readonly { name: string; ms: number }[]): string[] {
	const names = those.map(({ name }) => name);
	const last = names.pop();
	// The other one may have just left.
	if (names.length === 0) return [];
	const apart = formatClockDifference(apartMs(those.map(({ ms }) => ms)));
	return [
		`The clocks of ${names.join(", ")} and ${last} differ by ${apart}, and which is right is not known here.`,
		`On each of them, ${setClockRight}.`,
	];
}
