/** What an administrator is told about clocks of members that are off. Pure. */
import { aheadOrBehind, type ClockVerdict, formatClockDifference, setClockRight } from "./clock-rules.ts";
import type { Node } from "./node.ts";

type Known = { nodes: readonly Pick<Node, "id" | "name" | "status">[]; clocks: ClockVerdict };

/** Nothing, or one sentence after the other. */
export function wrongClocks({ nodes, clocks }: Known): string[] {
	const { agreedMs, aheadMs, off } = clocks;
	const members = nodes.filter(({ status }) => status.phase !== "left");
	const those = members.flatMap(({ id, name }) => (off.includes(id) ? [{ name, ms: aheadMs.get(id) ?? 0 }] : []));
	if (those.length === 0) return [];
	if (agreedMs !== null) {
		const said = those.map(({ name, ms }) => `The clock of ${name} is ${aheadOrBehind(ms)} those of most others.`);
		return [...said, `On ${those.map(({ name }) => name).join(", ")}, ${setClockRight}.`];
	}
	const all = those.map(({ ms }) => ms);
	const apartMs = Math.max(...all) - Math.min(...all);
	const names = those.map(({ name }) => name);
	const last = names.pop();
	return [
		`The clocks of ${names.join(", ")} and ${last} differ by ${formatClockDifference(apartMs)}, and which is right is not known here.`,
		`On each of them, ${setClockRight}.`,
	];
}
