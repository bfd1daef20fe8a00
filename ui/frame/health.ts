/** How the cluster is, in one word, and what needs somebody's attention. Pure over the objects. */
import type { ClusterInfo, Image, Network, Node, Pool, Vm } from "../api/types.ts";
import { type Clocks, wrongClock, wrongTogether } from "../lib/wrong-clock.ts";
import { attention as t } from "../strings/overview.ts";

export type Problem = {
	id: string;
	severity: "warning" | "error";
	kind: "vm" | "node" | "pool" | "image" | "network" | "cluster";
	objectId: string;
	name: string;
	text: string;
};

export type HealthInput = {
	cluster: ClusterInfo | null;
	nodes: readonly Node[];
	/** As the node that this page talks to hears them; null when that is not known now. */
	clocks: Clocks | null;
	vms: readonly Vm[];
	pools: readonly Pool[];
	images: readonly Image[];
	networks: readonly Network[];
};

export function findProblems(input: HealthInput): Problem[] {
	const found: Problem[] = [];
	const add = (problem: Omit<Problem, "id">) =>
		found.push({ ...problem, id: `${problem.kind}-${problem.objectId}-${problem.text}` });
	const { cluster } = input;
	if (cluster && !cluster.quorum) {
		add({ severity: "error", kind: "cluster", objectId: cluster.id, name: cluster.name, text: t.noQuorum });
	}
	for (const { id, name, witness, status } of input.nodes) {
		const base = { kind: "node", objectId: id, name } as const;
		// A witness has no libvirt, and nobody misses that of a node that has left.
		const runsVms = !witness && status.phase !== "left";
		if (status.phase === "not-ready") add({ ...base, severity: "error", text: status.reason ?? t.nodeNotReady });
		else if (runsVms && status.hypervisor === "disconnected")
			add({ ...base, severity: "error", text: t.hypervisorAway });
	}
	for (const problem of clockProblems(input)) add(problem);
	// A node that is not heard of needs the attention itself; its VMs may be thousands.
	const lost = new Set(input.nodes.filter(({ status }) => status.lost === true).map(({ id }) => id));
	for (const { id, name, phase, nodes } of input.pools) {
		const isOfLost = ({ nodeId, health }: (typeof nodes)[number]) => health !== "healthy" && lost.has(nodeId);
		const heard = nodes.filter((node) => !isOfLost(node));
		// The pool as a whole is no worse for it.
		const isForLost = heard.length < nodes.length && heard.every(({ health }) => health === "healthy");
		const base = { kind: "pool", objectId: id, name } as const;
		const reason = heard.find(({ health }) => health !== "healthy")?.reason;
		if (phase === "error" && !isForLost) add({ ...base, severity: "error", text: reason ?? t.poolError });
		else if (phase === "degraded" && !isForLost) add({ ...base, severity: "warning", text: reason ?? t.poolDegraded });
		else if (heard.some(isNearlyFull)) add({ ...base, severity: "warning", text: t.poolFull });
	}
	const nodeNames = new Map(input.nodes.map(({ id, name }) => [id, name]));
	for (const { id, name, nodeId, status, deleting, alsoRunsOn = [] } of input.vms) {
		const base = { kind: "vm", objectId: id, name } as const;
		for (const nodeId of alsoRunsOn)
			add({ ...base, severity: "error", text: t.vmTwice(nodeNames.get(nodeId) ?? nodeId) });
		if (status.powerState === "failed") {
			add({ ...base, severity: "error", text: status.error?.message ?? status.reason ?? t.vmFailed });
		} else if (status.error && !deleting) add({ ...base, severity: "warning", text: status.error.message });
		else if (status.powerState === "unknown" && !lost.has(nodeId))
			add({ ...base, severity: "warning", text: t.vmUnknown });
	}
	for (const { id, name, phase, error } of input.images) {
		if (phase !== "error") continue;
		add({ severity: "warning", kind: "image", objectId: id, name, text: error?.message ?? t.imageError });
	}
	for (const { id, name, nodes } of input.networks) {
		const bad = nodes.find(({ health }) => health === "error");
		if (!bad) continue;
		add({ severity: "warning", kind: "network", objectId: id, name, text: bad.error?.message ?? t.networkError });
	}
	return found.sort((a, b) => Number(a.severity === "warning") - Number(b.severity === "warning"));
}

/** Where nobody knows which clock is right, it is the trouble of all together. */
function clockProblems({ clocks, cluster }: HealthInput): Omit<Problem, "id">[] {
	if (clocks === null) return [];
	const together = wrongTogether(clocks);
	if (together !== null && cluster !== null)
		return [{ severity: "warning", kind: "cluster", objectId: cluster.id, name: cluster.name, text: together }];
	return clocks.members.flatMap((member) => {
		const text = wrongClock(member, clocks);
		const of = { kind: "node", objectId: member.nodeId, name: member.name } as const;
		return text === null ? [] : [{ ...of, severity: "warning", text: `${text}.` } as const];
	});
}

const isNearlyFull = ({ totalBytes, usedBytes }: Pool["nodes"][number]): boolean =>
	totalBytes !== null && usedBytes !== null && totalBytes > 0 && usedBytes / totalBytes >= 0.9;

export type Health = "good" | "warning" | "bad" | "unknown";

/** What the dot in the header says: problems of the platform, not of single VMs, turn it red. */
export function healthOf(input: Pick<HealthInput, "cluster" | "nodes">, problems: readonly Problem[]): Health {
	if (!input.cluster || input.nodes.length === 0) return "unknown";
	if (problems.some(({ severity, kind }) => severity === "error" && kind !== "vm")) return "bad";
	return problems.length > 0 ? "warning" : "good";
}
