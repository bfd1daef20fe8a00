/**
 * The live store: what the pages read. Collections load on first use and are then kept fresh by the shared event
 * stream; nothing polls. `startLive` at sign-in, `stopLive` at sign-out.
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import { call, type OperationName, read } from "../call.ts";
import type { ClusterInfo, Event, LiveKind, LiveObjects, Page, Snapshot, Task } from "../types.ts";
import { Collection } from "./collection.ts";
import { watchLostNodes } from "./lost-nodes.ts";
import { SharedStream } from "./share.ts";
import { SnapshotsByVm } from "./snapshots-by-vm.ts";
import type { StreamState } from "./stream.ts";

export type Connection = {
	state: StreamState;
	/** When the stream was last heard, heartbeats included. */
	heardAtMs: number;
	retryAtMs: number | null;
};

const pageSize = 1000;
const keptTasks = 400;

/** `everybody`: an administrator sees those of all users. */
function collection<Kind extends LiveKind>(operation: OperationName, everybody?: () => boolean) {
	return new Collection<LiveObjects[Kind]>({
		load: async (pageToken) => {
			await streamOpen();
			const page: unknown = await read(operation, {
				query: { limit: pageSize, pageToken, all: everybody?.() || undefined },
			});
			return page as Page<LiveObjects[Kind]>;
		},
	});
}

/** The newest tasks, and those still running however old they are. The whole history has a page of its own. */
async function loadTasks(): Promise<Page<Task>> {
	await streamOpen();
	const [newest, running] = await Promise.all([
		read("taskList", { query: { limit: 200, sort: "-createdAt" } }),
		read("taskList", { query: { limit: 200, state: ["pending", "running"] } }),
	]);
	return { items: [...newest.items, ...running.items], nextPageToken: null };
}

const recentTasks = (tasks: Task[]): Task[] =>
	tasks
		.sort((a, b) => Number(isOver(a)) - Number(isOver(b)) || (a.createdAt < b.createdAt ? 1 : -1))
		.slice(0, keptTasks);
const isOver = ({ state }: Task): boolean => state !== "pending" && state !== "running";

export const live: { readonly [Kind in LiveKind]: Collection<LiveObjects[Kind]> } = {
	node: collection<"node">("nodeList"),
	vm: collection<"vm">("vmList"),
	volume: collection<"volume">("volumeList"),
	pool: collection<"pool">("poolList"),
	image: collection<"image">("imageList"),
	network: collection<"network">("networkList"),
	user: collection<"user">("userList"),
	session: collection<"session">("sessionList", () => administrator),
	token: collection<"token">("tokenList", () => administrator),
	joinToken: collection<"joinToken">("joinTokenList"),
	task: new Collection<Task>({
		load: loadTasks,
		limit: keptTasks,
		prune: recentTasks,
	}),
};
const kinds = Object.keys(live) as LiveKind[];

/** Those of a VM load when somebody asks for them. */
export const liveSnapshots = new SnapshotsByVm(async (vmId, pageToken) => {
	await streamOpen();
	return await read("snapshotList", { id: vmId, query: { limit: pageSize, pageToken } });
});
/** Everything that is read once and kept fresh by events. */
const allCollections = () => [...kinds.map((kind) => live[kind]), ...liveSnapshots.known()];

export const connection = signal<Connection>({ state: "connecting", heardAtMs: Date.now(), retryAtMs: null });
/** True in the tab that runs the stream for all. */
export const leading = signal(false);

const clusterSignal = signal<ClusterInfo | null>(null);
export const cluster: ReadonlySignal<ClusterInfo | null> = clusterSignal;
let clusterWanted = false;
let clusterRead: Promise<void> | null = null;
let clusterReadAgain = false;

/** Reads the cluster's state anew. Asked for while an answer is under way, it reads once more: that one may be old. */
export function refreshCluster(): Promise<void> {
	clusterReadAgain = clusterRead !== null;
	clusterRead ??= readCluster().finally(() => {
		clusterRead = null;
	});
	return clusterRead;
}

async function readCluster(): Promise<void> {
	do {
		clusterReadAgain = false;
		try {
			clusterSignal.value = await read("clusterGet");
		} catch {
			// The stream says that the node is away.
		}
	} while (clusterReadAgain && clusterWanted);
}

let shared: SharedStream | null = null;
/** Lists read before the stream was open may lack changes made in between. */
let readBeforeOpen = false;
const streamOpenLimitMs = 2000;

/** Resolves when the stream is open, so that no change falls between list and stream; not for ever, though. */
function streamOpen(): Promise<void> {
	if (connection.peek().state === "live") return Promise.resolve();
	return new Promise((resolve) => {
		const done = () => {
			clearTimeout(timer);
			unsubscribe();
			resolve();
		};
		const timer = setTimeout(() => {
			readBeforeOpen = true;
			done();
		}, streamOpenLimitMs);
		const unsubscribe = connection.subscribe(({ state }) => {
			if (state === "live") queueMicrotask(done);
		});
	});
}

function readAllAnew(): void {
	readBeforeOpen = false;
	void refreshCluster();
	for (const collection of allCollections()) if (collection.state.peek() !== "idle") void collection.reload();
}

let administrator = false;
let onUserChanged: (id: string) => void = () => {};

export type LiveOptions = {
	administrator: boolean;
	onSignedOut: () => void;
	/** A user was changed: oneself, perhaps. */
	onUserChanged: (id: string) => void;
};

export function startLive(options: LiveOptions): void {
	onUserChanged = options.onUserChanged;
	administrator = options.administrator;
	if (shared) return;
	clusterWanted = true;
	void refreshCluster();
	shared = new SharedStream({
		onState: (state, retryAtMs) => {
			const before = connection.peek();
			connection.value = { ...before, state, retryAtMs };
			if (state === "live" && before.state !== "live") {
				void refreshCluster();
				if (readBeforeOpen) readAllAnew();
				// Lists that failed while the node was away.
				else for (const collection of allCollections()) if (collection.error.peek() !== null) void collection.reload();
			}
		},
		onHeard: (heardAtMs) => {
			connection.value = { ...connection.peek(), heardAtMs };
		},
		onEvents: applyEvents,
		onReset: readAllAnew,
		onSignedOut: options.onSignedOut,
		onLeader: (value) => {
			leading.value = value;
		},
	});
	shared.start();
}

export function stopLive(): void {
	shared?.stop();
	shared = null;
	clusterWanted = false;
	clusterSignal.value = null;
	for (const kind of kinds) live[kind].clear();
	liveSnapshots.clear();
	lostNodesChanged = watchLostNodes(wasLost);
	connection.value = { state: "connecting", heardAtMs: Date.now(), retryAtMs: null };
}

export const retryConnection = (): void => shared?.retryNow();

const wasLost = (nodeId: string): boolean => live.node.peek(nodeId)?.status.lost === true;
let lostNodesChanged = watchLostNodes(wasLost);

function applyEvents(events: readonly Event[]): void {
	let refreshWanted = false;
	let lostChanged = false;
	for (const event of events) {
		const { type, target, object } = event;
		if (lostNodesChanged(event)) lostChanged = true;
		if (target.kind === "cluster") refreshWanted = true;
		if (target.kind === "user") onUserChanged(target.id);
		// The first VM or image ends the first run.
		if (type === "created" && (target.kind === "vm" || target.kind === "image")) refreshWanted ||= firstRunShown();
		if (target.kind === "snapshot")
			liveSnapshots.apply(target.id, type === "deleted" ? null : (object as Snapshot | null));
		if (type === "deleted" && target.kind === "vm") liveSnapshots.forget(target.id);
		if (!(target.kind in live)) continue;
		const collection = live[target.kind as LiveKind] as unknown as Collection<{ id: string }>;
		collection.apply([{ id: target.id, object: type === "deleted" ? null : (object as { id: string } | null) }]);
	}
	if (refreshWanted && clusterWanted) void refreshCluster();
	if (lostChanged)
		for (const kind of ["vm", "task", "pool", "network"] as const)
			if (live[kind].state.peek() !== "idle") void live[kind].reload();
}

const firstRunShown = (): boolean => clusterSignal.peek()?.firstRun === true;

/** Makes sure that a task is in the store: answers name it before its event may have come. */
export async function ensureTask(id: string): Promise<void> {
	if (live.task.peek(id)) return;
	const { data } = await call("taskGet", { id });
	if (!live.task.peek(id)) live.task.upsert(data);
}
