/** The mock's health, cluster, node and tasks. */
import { historyIntervalMs, historyOf, nodeFigures } from "./figures.ts";
import { find, type HandlerTable, type MockSettings } from "./request.ts";
import type { MockState } from "./state.ts";

export function service(state: MockState, settings: MockSettings): HandlerTable {
	/** Each node is at another point of the same curves. */
	const figuresOf = (id: string, atMs: number) => {
		const place = [...state.tables.node.keys()].indexOf(id);
		const { sampledAt } = nodeFigures(atMs);
		const figures = nodeFigures(atMs - place * 700_000);
		const memoryTotalBytes = state.tables.node.get(id)?.status.memoryBytes ?? figures.memoryTotalBytes;
		const memoryUsedBytes = Math.round((figures.memoryUsedBytes / figures.memoryTotalBytes) * memoryTotalBytes);
		const vmsRunning = [...state.tables.vm.values()].filter(
			({ nodeId, status }) => nodeId === id && status.powerState === "running",
		).length;
		return { ...figures, sampledAt, memoryTotalBytes, memoryUsedBytes, vmsRunning };
	};
	const cluster = () => ({
		id: "01980000-0000-7000-8000-0000000000ff",
		generation: 1,
		createdAt: "2026-01-01T00:00:00.000Z",
		updatedAt: "2026-01-01T00:00:00.000Z",
		name: settings.clusterName,
		version: "0.1.0",
		quorum: settings.quorum,
		leaderNodeId: settings.quorum ? state.members.leader : null,
		demoAvailable: settings.demoAvailable,
		firstRun: state.tables.vm.size === 0 && state.tables.image.size === 0,
	});
	return {
		healthGet: () => ({
			body: {
				version: "0.1.0",
				nodeId: state.nodeId,
				leader: state.nodeId,
				quorum: true,
				appliedIndex: 1,
				hypervisor: "connected",
			},
		}),
		clusterGet: () => ({ body: cluster() }),
		clusterUpdate: ({ body }) => {
			settings.clusterName = String(body.name);
			state.emit("updated", "cluster", cluster().id, cluster());
			return { body: cluster() };
		},
		nodeMetricsGet: ({ id }) => ({ body: figuresOf(id, Date.now()) }),
		nodeMetricsHistoryGet: ({ id, query }) => {
			const items = historyOf(query, (atMs) => figuresOf(id, atMs));
			return { body: { intervalMs: historyIntervalMs, items } };
		},
		taskCancel: ({ id }) => {
			find(state, "task", id);
			state.change("task", id, { cancelRequested: true });
			const task = state.tables.task.get(id);
			return { status: 202, body: task, ...(task ? { task } : {}) };
		},
	};
}
