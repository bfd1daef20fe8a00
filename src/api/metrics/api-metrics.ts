/** What `GET /metrics` shows of this node. Docs: docs/metrics.md lists every name. */
import type { AuthService } from "../../auth/service.ts";
import type { ClusterService } from "../../cluster/service.ts";
import type { ConsoleService } from "../../console/service.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { unknownWithNode } from "../../model/lost-node.ts";
import { availableOn } from "../../model/pool-parts.ts";
import { taskStates } from "../../model/task.ts";
import { type PowerState, powerStates } from "../../model/vm.ts";
import type { NodeService } from "../../node/service.ts";
import type { Store } from "../../store/store.ts";
import { knownPool, lostNodes } from "../as-known.ts";
import { Counter, Histogram, MetricsRegistry, Observed, ObservedHistogram, type Sample } from "./registry.ts";

export type MetricsDeps = {
	store: Store;
	node: NodeService;
	auth: AuthService;
	console: ConsoleService;
	cluster: ClusterService;
	clock: Clock;
	version: string;
	/** Open event streams. */
	eventStreams: () => number;
};

const durationBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const lagIntervalMs = 1000;

export class ApiMetrics {
	readonly #registry = new MetricsRegistry();
	readonly #requests = this.#registry.add(
		new Counter("limiquantix_http_requests_total", "HTTP requests answered, by operation and status."),
	);
	readonly #durations = this.#registry.add(
		new Histogram("limiquantix_http_request_duration_seconds", "Time until the answer began.", durationBounds),
	);
	readonly #startedAtSeconds: number;
	readonly #clock: Clock;
	#lagSeconds = 0;
	#lagTimer: Timer | null = null;

	constructor(deps: MetricsDeps) {
		this.#clock = deps.clock;
		this.#startedAtSeconds = deps.clock.nowMs() / 1000;
		this.#addState(deps);
		this.#addCluster(deps);
		this.#addNode(deps);
		this.#addConnections(deps);
		this.#addProcess(deps);
		this.#measureLag(deps.clock.monotonicMs());
	}

	/** `operation` is an operationId, or "none" for what matched no route. */
	observe(operation: string, status: number, durationMs: number): void {
		this.#requests.add({ operation, status: String(status) });
		this.#durations.observe({ operation }, durationMs / 1000);
	}

	render(): string {
		return this.#registry.render();
	}

	close(): void {
		this.#lagTimer?.cancel();
		this.#lagTimer = null;
	}

	#gauge(name: string, help: string, samples: () => Sample[]): void {
		this.#registry.add(new Observed(name, help, "gauge", samples));
	}

	#counter(name: string, help: string, samples: () => Sample[]): void {
		this.#registry.add(new Observed(name, help, "counter", samples));
	}

	#addState({ store }: MetricsDeps): void {
		this.#gauge("limiquantix_store_applied_index", "Log index that this node's state has.", () => [
			{ value: store.status().appliedIndex },
		]);
		this.#gauge("limiquantix_store_quorum", "1 while writes are possible.", () => [
			{ value: store.status().quorum ? 1 : 0 },
		]);
		this.#gauge("limiquantix_tasks", "Tasks kept, by state.", () =>
			taskStates.map((state) => ({ labels: { state }, value: store.count("task", { state }) })),
		);
		this.#gauge("limiquantix_vms", "VMs of the cluster, by power state.", () => vmCounts(store));
		this.#gauge("limiquantix_pool_available_bytes", "Free space of the storage pools, as each node sees it.", () =>
			store
				.all("pool")
				.map((pool) => knownPool(store, pool))
				.flatMap((pool) =>
					pool.nodes.flatMap(({ nodeId }) => {
						const value = availableOn(pool, nodeId);
						return value === null ? [] : [{ labels: { pool: pool.name, node: nodeId }, value }];
					}),
				),
		);
	}

	#addCluster({ cluster }: MetricsDeps): void {
		this.#gauge("limiquantix_cluster_term", "Term of the consensus, as this node knows it.", () => [
			{ value: cluster.status().term },
		]);
		this.#gauge("limiquantix_cluster_commit_index", "Log index that is known to be committed.", () => [
			{ value: cluster.status().commitIndex },
		]);
		this.#gauge("limiquantix_cluster_leader", "1 on the node that leads.", () => {
			const { leaderNodeId, nodeId } = cluster.status();
			return [{ value: leaderNodeId === nodeId ? 1 : 0 }];
		});
		this.#gauge("limiquantix_cluster_members", "Members of the cluster.", () => [
			{ value: cluster.status().members.length },
		]);
		this.#gauge("limiquantix_cluster_members_reachable", "Members that are reachable, this node among them.", () => [
			{ value: cluster.status().members.filter(({ reachable }) => reachable).length },
		]);
		this.#counter("limiquantix_cluster_leader_changes_total", "How often this node saw another leader.", () => [
			{ value: cluster.figures().leaderChanges },
		]);
		this.#registry.add(
			new ObservedHistogram(
				"limiquantix_cluster_tick_delay_seconds",
				"How late ticks of the consensus came.",
				() => cluster.figures().tickDelays,
			),
		);
		this.#gauge("limiquantix_peer_round_trip_seconds", "Round trip of this node's link to another.", () =>
			cluster
				.status()
				.members.flatMap(({ nodeId, latencyMs }) =>
					latencyMs === null ? [] : [{ labels: { node: nodeId }, value: latencyMs / 1000 }],
				),
		);
		this.#gauge("limiquantix_cluster_clock_offset_seconds", "How far a member's clock is ahead of most others'.", () =>
			cluster
				.status()
				.members.flatMap(({ nodeId, clockOffsetMs }) =>
					clockOffsetMs === null ? [] : [{ labels: { node: nodeId }, value: clockOffsetMs / 1000 }],
				),
		);
		this.#gauge("limiquantix_cluster_clocks_off", "Members whose clocks are off.", () => [
			{ value: cluster.status().members.filter(({ clockOff }) => clockOff).length },
		]);
		this.#counter("limiquantix_peer_messages_dropped_total", "Messages to other nodes that were dropped.", () => [
			{ value: cluster.figures().messagesDropped },
		]);
	}

	#addNode({ node }: MetricsDeps): void {
		const of = (figure: (metrics: NonNullable<ReturnType<NodeService["nodeMetrics"]>>) => number) => () => {
			const metrics = node.nodeMetrics();
			return metrics ? [{ value: figure(metrics) }] : [];
		};
		this.#gauge(
			"limiquantix_node_cpu_used_ratio",
			"CPU in use on the host, 0 to 1.",
			of((m) => m.cpuUsedRatio),
		);
		this.#gauge(
			"limiquantix_node_memory_total_bytes",
			"Memory of the host.",
			of((m) => m.memoryTotalBytes),
		);
		this.#gauge(
			"limiquantix_node_memory_used_bytes",
			"Memory in use on the host.",
			of((m) => m.memoryUsedBytes),
		);
		this.#gauge(
			"limiquantix_node_load1",
			"Load average of one minute.",
			of((m) => m.load1),
		);
		this.#gauge(
			"limiquantix_node_vms_running",
			"VMs that run on this node.",
			of((m) => m.vmsRunning),
		);
		this.#gauge("limiquantix_hypervisor_connected", "1 while libvirt answers.", () => [
			{ value: node.hypervisorState() === "connected" ? 1 : 0 },
		]);
	}

	#addConnections({ auth, console, eventStreams }: MetricsDeps): void {
		this.#gauge("limiquantix_event_streams", "Open event streams.", () => [{ value: eventStreams() }]);
		this.#gauge("limiquantix_consoles", "Open consoles.", () => [{ value: console.openCount() }]);
		this.#counter("limiquantix_login_failures_total", "Sign-ins with a wrong name or password.", () => [
			{ value: auth.figures().loginFailures },
		]);
		this.#counter("limiquantix_logins_refused_total", "Sign-ins refused because of earlier failures.", () => [
			{ value: auth.figures().loginsRefused },
		]);
		this.#counter("limiquantix_bad_credentials_total", "Requests with a session or token that is no good.", () => [
			{ value: auth.figures().badCredentials },
		]);
	}

	#addProcess({ version }: MetricsDeps): void {
		this.#gauge("limiquantix_build_info", "The version, as a label.", () => [{ labels: { version }, value: 1 }]);
		this.#gauge("process_resident_memory_bytes", "Resident memory of the daemon.", () => [
			{ value: process.memoryUsage.rss() },
		]);
		this.#counter("process_cpu_seconds_total", "CPU time of the daemon.", () => {
			const { user, system } = process.cpuUsage();
			return [{ value: (user + system) / 1e6 }];
		});
		this.#gauge("process_start_time_seconds", "When the daemon started, since 1970.", () => [
			{ value: this.#startedAtSeconds },
		]);
		this.#gauge("limiquantix_event_loop_lag_seconds", "How late the last timer of one second was.", () => [
			{ value: this.#lagSeconds },
		]);
	}

	#measureLag(lastMs: number): void {
		this.#lagTimer = this.#clock.schedule(lagIntervalMs, () => {
			const now = this.#clock.monotonicMs();
			this.#lagSeconds = Math.max(0, now - lastMs - lagIntervalMs) / 1000;
			if (this.#lagTimer) this.#measureLag(now);
		});
	}
}

/** As they are shown: what ran on a node that is not heard of is unknown. */
function vmCounts(store: Store): Sample[] {
	const nodeId = lostNodes(store).map(({ id }) => id);
	const unseen = (powerState: readonly PowerState[]) =>
		nodeId.length === 0 || powerState.length === 0 ? 0 : store.count("vm", { powerState, nodeId });
	return powerStates.map((state) => {
		const stored = store.count("vm", { powerState: state });
		const value =
			state === "unknown"
				? stored + unseen(unknownWithNode)
				: stored - unseen(unknownWithNode.filter((other) => other === state));
		return { labels: { state }, value };
	});
}
