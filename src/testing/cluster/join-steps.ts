/** The steps of a join at which a side can die, in their order, and what must have become of it when the node is back. */
import type { HaltedJoin, Side } from "./halted-joins.ts";

/** Of the node that joins, until it is a member at its next start: killed there, it is what it was. */
const before = ["key made", "preview there", "admission there", "joining written"];
/** From here on it is a member. */
const after = [
	"switch planned",
	"raft set aside",
	"state.db set aside",
	"node.json set aside",
	"install planned",
	"peer installed",
	"node.json installed",
	"joining removed",
	"switched",
	"state replaced",
	"membership confirmed",
	"import planned",
	"imported",
	"import noted",
	"pools handed over",
	"one of several voters",
];
const ofAsked = [
	"asked for a preview",
	"preview sent",
	"token checked",
	"admitted",
	"certificate signed",
	"admission sent",
];
/** The node may not have its answer yet. */
const ofLeaderEarly = ["add-learner planned", "add-learner done"];
const ofLeaderLate = ["state offered", "promote planned", "promote done"];

const each = (steps: readonly string[], of: Side, victim: Side, then?: HaltedJoin["then"]): HaltedJoin[] =>
	steps.map((step) => ({ step, of, victim, ...(then ? { then } : {}) }));

/** Each side dies at each of its own steps, and whoever the other one needs there. */
export const haltedJoins: readonly HaltedJoin[] = [
	...each(before, "joiner", "joiner", "undone"),
	...each(after, "joiner", "joiner", "done"),
	...each(before, "joiner", "asked"),
	...each(after, "joiner", "leader", "done"),
	...each(ofAsked, "asked", "asked"),
	...each(ofAsked, "asked", "joiner", "undone"),
	...each(ofLeaderEarly, "leader", "leader"),
	...each(ofLeaderEarly, "leader", "joiner"),
	...each(ofLeaderLate, "leader", "leader", "done"),
	...each(ofLeaderLate, "leader", "joiner", "done"),
];
