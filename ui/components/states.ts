/** One word, one tone and one kind of motion for each state of each kind of object, everywhere the same. */
import type { Image, Network, Node, Pool, Snapshot, Task, Vm, Volume } from "../api/types.ts";
import { states as t } from "../strings/states.ts";

export type Tone = "green" | "grey" | "amber" | "red" | "blue";
/** `moving`: in between two states. */
export type StateLook = { tone: Tone; word: string; moving?: boolean };

const powerTones: Record<Vm["status"]["powerState"], Tone> = {
	stopped: "grey",
	starting: "blue",
	running: "green",
	paused: "amber",
	stopping: "blue",
	migrating: "blue",
	failed: "red",
	unknown: "grey",
};
const movingPower = new Set(["starting", "stopping", "migrating"]);

export function vmLook(vm: Pick<Vm, "status" | "deleting">): StateLook {
	if (vm.deleting) return { tone: "blue", word: t.deleting, moving: true };
	return powerLook(vm.status.powerState);
}

export const powerLook = (power: Vm["status"]["powerState"]): StateLook => ({
	tone: powerTones[power],
	word: t.power[power],
	moving: movingPower.has(power),
});

const taskTones: Record<Task["state"], Tone> = {
	pending: "blue",
	running: "blue",
	succeeded: "green",
	failed: "red",
	canceled: "grey",
};
export const taskLook = (state: Task["state"]): StateLook => ({
	tone: taskTones[state],
	word: t.task[state],
	moving: state === "running",
});

const imageTones: Record<Image["phase"], Tone> = {
	uploading: "blue",
	importing: "blue",
	ready: "green",
	error: "red",
	deleting: "blue",
};
export const imageLook = (phase: Image["phase"]): StateLook => ({
	tone: imageTones[phase],
	word: t.image[phase],
	moving: imageTones[phase] === "blue",
});

/** `unmade`: pending, and nothing is about to make it but the next start of its VM. */
export type VolumeState = Volume["phase"] | "unmade";
const volumeTones: Record<VolumeState, Tone> = {
	pending: "blue",
	unmade: "grey",
	creating: "blue",
	ready: "green",
	resizing: "blue",
	deleting: "blue",
	error: "red",
};
export const volumeLook = (state: VolumeState): StateLook => ({
	tone: volumeTones[state],
	word: t.volume[state],
	moving: volumeTones[state] === "blue",
});

/** `half`: reverting, and nothing goes on with it. */
export type SnapshotState = Snapshot["phase"] | "half";
const snapshotTones: Record<SnapshotState, Tone> = {
	creating: "blue",
	ready: "green",
	reverting: "blue",
	half: "amber",
	deleting: "blue",
	error: "red",
};
export const snapshotLook = (state: SnapshotState): StateLook => ({
	tone: snapshotTones[state],
	word: t.snapshot[state],
	moving: snapshotTones[state] === "blue",
});

const poolTones: Record<Pool["phase"], Tone> = {
	pending: "blue",
	ready: "green",
	degraded: "amber",
	error: "red",
	deleting: "blue",
};
export const poolLook = (phase: Pool["phase"]): StateLook => ({
	tone: poolTones[phase],
	word: t.pool[phase],
	moving: poolTones[phase] === "blue",
});

const poolHealthTones: Record<Pool["nodes"][number]["health"], Tone> = {
	healthy: "green",
	degraded: "amber",
	error: "red",
	unmounted: "amber",
};
export const poolHealthLook = (health: Pool["nodes"][number]["health"]): StateLook => ({
	tone: poolHealthTones[health],
	word: t.poolHealth[health],
});

/** Of a pool that was tried on a node. */
export const probeLook = (works: boolean): StateLook =>
	works ? { tone: "green", word: t.probe.works } : { tone: "red", word: t.probe.fails };

/** Of a pool on a node that has said nothing of it yet. */
export const unreportedLook: StateLook = { tone: "grey", word: t.probe.unreported };

const nodeTones: Record<Node["status"]["phase"], Tone> = {
	joining: "blue",
	ready: "green",
	"not-ready": "red",
	maintenance: "amber",
	draining: "blue",
	left: "grey",
};
export const nodeLook = (phase: Node["status"]["phase"]): StateLook => ({
	tone: nodeTones[phase],
	word: t.node[phase],
	moving: nodeTones[phase] === "blue",
});

export function networkLook(network: Pick<Network, "nodes" | "deleting">): StateLook {
	if (network.deleting) return { tone: "blue", word: t.deleting, moving: true };
	if (network.nodes.length === 0) return { tone: "blue", word: t.network.pending, moving: true };
	return network.nodes.some(({ health }) => health === "error")
		? { tone: "red", word: t.network.error }
		: { tone: "green", word: t.network.healthy };
}
