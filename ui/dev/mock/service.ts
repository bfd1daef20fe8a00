/** The mock's health, cluster, node and tasks. */
import { historyIntervalMs, historyOf, nodeFigures } from "./figures.ts";
import { find, type HandlerTable, type MockSettings } from "./request.ts";
import type { MockState } from "./state.ts";

export function service(state: MockState, settings: MockSettings): HandlerTable {
	const vmsRunning = () => [...state.tables.vm.values()].filter(({ status }) => status.powerState === "running").length;
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
		nodeMetricsGet: () => ({ body: { ...nodeFigures(Date.now()), vmsRunning: vmsRunning() } }),
		nodeMetricsHistoryGet: ({ query }) => {
			const items = historyOf(query, (atMs) => ({ ...nodeFigures(atMs), vmsRunning: vmsRunning() }));
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
