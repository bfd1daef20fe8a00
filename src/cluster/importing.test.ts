/** What a node brings when it joins: all that it had, in its log too, and nothing made up when that is missing. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Clock, systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { localPath } from "../model/storage-rules.ts";
import type { TaskKind } from "../model/task.ts";
import type { CommandBody } from "../store/command.ts";
import { openStore, pathsOf } from "../store/open-store.ts";
import { proposer } from "../store/proposer.ts";
import { notLeading, unknownOutcome } from "../store/raft/refusals.ts";
import type { Proposer } from "../store/store.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureMember,
	fixtureNfs,
	fixturePool,
	fixtureSnapshot,
	fixtureTask,
	fixtureVm,
	fixtureVolume,
} from "../testing/fixtures.ts";
import { waitUntil } from "../testing/lab/wait-until.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../testing/memory-store.ts";
import { noteArrived, passOnImporting } from "./arrival.ts";
import { importFormer } from "./importing.ts";
import { Leaving, type LeavingDeps } from "./leaving.ts";
import { clusterPathsOf, writeNodeFile } from "./node-file.ts";
import { formerFolderOf } from "./switch.ts";
import { Turns } from "./turns.ts";

let dataDir: string;
let store: MemoryStore;
let handedOver: string[];
let handOver: () => Promise<void>;
let everybodyKnows: boolean;
const me = fixtureId(0xabc);
const before = clusterIds.node;
const ids = idSource(systemClock, systemRandom);
const identity = { nodeId: before, clusterId: clusterIds.cluster, founder: true };

beforeEach(async () => {
	dataDir = mkdtempSync("/tmp/lqx-importing-");
	handedOver = [];
	handOver = async () => {};
	everybodyKnows = true;
	store = await openMemoryStore();
});
afterEach(async () => {
	await store.close();
	rmSync(dataDir, { recursive: true });
});

const former = () => formerFolderOf(dataDir, before);
async function withFormer(work: (propose: (body: CommandBody) => Promise<unknown>) => Promise<void>): Promise<void> {
	mkdirSync(former(), { recursive: true });
	const onFatal = (error: Error) => {
		throw error;
	};
	const options = { dataDir: former(), identity, clock: systemClock, logger: silentLogger, fsync: false, onFatal };
	const was = await openStore({ ...options, random: () => 0 });
	await work(proposer(was, systemClock, ids).proposeSystem);
	await was.close();
	await writeNodeFile(clusterPathsOf(former()).node, identity);
}

/** Another cluster, which has admitted this node; its own first node and pool have other ids. */
async function admitted(): Promise<void> {
	const init = fixtureCluster();
	const others = { ...init.node, id: fixtureId(0xeee), name: "first" };
	const pool = fixturePool({ id: fixtureId(0xee1), name: "local", nodeIds: [others.id] });
	await store.proposer.proposeSystem({ ...init, node: others, pools: [pool], networks: [] });
	const [tokens, admit] = fixtureMember({ id: me, name: "second" }, systemClock.nowMs());
	for (const command of [tokens, admit]) if (command) await store.proposer.proposeSystem(command);
}

const hints = { members: [], formerNodeId: before, rename: false, witness: false };
const run = (
	signal = new AbortController().signal,
	clock: Clock = systemClock,
	proposer: Pick<Proposer, "proposeSystem"> = store.proposer,
) =>
	importFormer(
		{
			everybodyHas: () => everybodyKnows,
			...{ dataDir, nodeId: me, store, proposer, clock, logger: silentLogger },
			hints,
			poolFolders: {
				async handOver(path, from, to) {
					await handOver();
					handedOver.push(`${path} ${from} ${to}`);
				},
				release: async () => {},
			},
		},
		signal,
	);

const volume = fixtureVolume({ id: fixtureId(0xd15c), name: "disk", nodeId: before, phase: "ready" });

test("snapshots come along with their VM, once all members know what they are", async () => {
	const vm = fixtureVm({ id: fixtureId(0xd160), name: "web", nodeId: before });
	const attached = { bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
	const disk = { id: "disk-0", volumeId: volume.id, ...attached };
	const snapshot = fixtureSnapshot({ id: fixtureId(0xd161), vmId: vm.id });
	const task = (kind: TaskKind, number: number) =>
		fixtureTask(kind, { kind: "vm", id: vm.id }, { id: fixtureId(number), nodeId: before });
	await withFormer(async (propose) => {
		await propose(fixtureCluster());
		await propose({
			...{ kind: "vmCreate", volumes: [volume], task: task("vm.create", 0xd170) },
			vm: { ...vm, spec: { ...vm.spec, disks: [disk] } },
		});
		await propose({ kind: "volumeStatus", id: volume.id, phase: "ready", allocatedBytes: 0 });
		await propose({ kind: "snapshotCreate", snapshot, task: task("vm.snapshot", 0xd171) });
		await propose({ kind: "snapshotStatus", id: snapshot.id, phase: "ready", powerState: "stopped" });
	});
	await admitted();
	everybodyKnows = false;
	const abort = new AbortController();
	const waiting = run(abort.signal).catch(() => "called off");
	const told = () => store.get("node", me)?.status.reason?.includes("snapshots") === true;
	await waitUntil("why it waits", 10_000, told);
	abort.abort(new AppError("canceled", "enough"));
	expect(await waiting).toBe("called off");
	everybodyKnows = true;
	await run();
	expect(store.all("snapshot")).toMatchObject([{ id: snapshot.id, vmId: vm.id, current: true, phase: "ready" }]);
});

test("volumes come along into the pool of the same name and folder, whose marker is handed over", async () => {
	await withVolume();
	await admitted();
	await run();
	expect(store.get("volume", volume.id)).toMatchObject({ nodeId: me, poolId: fixtureId(0xee1) });
	expect(handedOver).toEqual([`${localPath(fixturePool())} ${clusterIds.pool} ${fixtureId(0xee1)}`]);
	expect(readdirSync(former())).not.toContain("import.tmp");
	// Later starts do not look at what it was, in whatever state that is.
	const index = store.appliedIndex;
	rmSync(pathsOf(former()).state);
	await run();
	expect([handedOver.length, store.appliedIndex]).toEqual([1, index]);
});

const isNoted = () => existsSync(clusterPathsOf(dataDir).imported);

test("folders that cannot be handed over keep nobody from noting that all is the cluster's, and are at the next start", async () => {
	await withFormer((propose) => propose(fixtureCluster()).then(() => {}));
	await admitted();
	handOver = () => Promise.reject(new Error("EIO: input/output error"));
	await run();
	expect([isNoted(), handedOver.length]).toEqual([true, 0]);
	handOver = async () => {};
	await run();
	await run();
	expect(handedOver).toHaveLength(1);
});

test("one that leaves before its folders are handed over gives them free under both ids", async () => {
	await withFormer((propose) => propose(fixtureCluster()).then(() => {}));
	await admitted();
	handOver = () => Promise.reject(new Error("EIO: input/output error"));
	await run();
	const { promise: begun, resolve: onFresh } = Promise.withResolvers<void>();
	const released: string[] = [];
	let isLetGo = false;
	const leaving = new Leaving({
		...{ dataDir, node: { nodeId: me, clusterId: fixtureId(0xeec), founder: false }, store, hints, turns: new Turns() },
		consensus: {
			details: () => ({ removed: isLetGo, configuration: {} }) as ReturnType<LeavingDeps["consensus"]["details"]>,
			noteRemoved() {},
		},
		silence: () => () => {},
		poolFolders: { async handOver() {}, release: async (path, id) => void released.push(`${path} ${id}`) },
		...{ onFresh, onRemoved: async () => {}, clock: systemClock, logger: silentLogger },
	});
	await leaving.leave(async () => {
		await store.proposer.proposeSystem({ kind: "nodeRemove", id: me, leaving: true, confirmName: null });
		isLetGo = true;
	});
	await begun;
	const path = localPath(fixturePool());
	expect(released).toEqual([`${path} ${fixtureId(0xee1)}`, `${path} ${clusterIds.pool}`]);
});

test("a start that was cut off before it noted that all is the cluster's, or before the folders, is repeated", async () => {
	await withFormer((propose) => propose(fixtureCluster()).then(() => {}));
	await admitted();
	await run();
	rmSync(clusterPathsOf(dataDir).imported);
	await run();
	expect([isNoted(), handedOver.length]).toEqual([true, 2]);
	rmSync(clusterPathsOf(dataDir).imported);
	await noteArrived(dataDir);
	await run();
	expect([isNoted(), handedOver.length]).toEqual([true, 3]);
});

test("a storage pool that nodes share, which came after the node had asked, is named and not lost", async () => {
	const nas = fixturePool({ id: fixtureId(0xf07), name: "nas", type: "nfs", config: fixtureNfs });
	const task = fixtureTask("pool.create", { kind: "pool", id: nas.id, name: "nas" }, { id: ids.newId() });
	await withFormer(async (propose) => {
		await propose(fixtureCluster());
		await propose({ kind: "poolCreate", pool: nas, task });
	});
	await admitted();
	const ended = new AbortController();
	const waiting = run(ended.signal).catch(() => "called off");
	const told = () => store.get("node", me)?.status.reason?.includes("The storage pool nas") === true;
	await waitUntil("why it waits", 10_000, told);
	ended.abort(new AppError("canceled", "enough"));
	expect([await waiting, store.get("pool", nas.id)]).toEqual(["called off", null]);
});

const withVolume = () =>
	withFormer(async (propose) => {
		await propose(fixtureCluster());
		await propose({ kind: "volumeCreate", volume, task: taskFor("volume.create", volume.id) });
	});

test("that it may be the cluster's is noted before it is proposed, until it is known that it is not", async () => {
	await withVolume();
	await admitted();
	const mayBe = () => existsSync(clusterPathsOf(dataDir).importing);
	const ended = new AbortController();
	const seen: boolean[] = [];
	const answers: AppError[] = [
		notLeading(null),
		unknownOutcome("The leading node was lost."),
		notLeading(null),
		new AppError("invalid", "Something is wrong with it."),
	];
	const propose = store.proposer.proposeSystem;
	const proposeSystem: typeof propose = async (body) => {
		if (body.kind !== "nodeImport") return propose(body);
		seen.push(mayBe());
		const answer = answers[seen.length - 1];
		throw answer ?? new AppError("canceled", "It is over.");
	};
	const clock = new ManualClock(0);
	const running = run(ended.signal, clock, { proposeSystem }).catch(() => {});
	const after: boolean[] = [];
	for (let tries = 1; tries <= answers.length; tries++) {
		await waitUntil("an attempt to end", 5_000, () => clock.waiting > 0 && seen.length === tries);
		after.push(mayBe());
		clock.advance(5_000);
	}
	ended.abort(new AppError("canceled", "It is over."));
	await running;
	// One more began before it ended.
	expect([seen.slice(0, answers.length), after]).toEqual([
		[true, true, true, true],
		[false, true, true, false],
	]);
});

test.each([true, false])(
	"what the members know of shared storage is asked for as far as all of them know it: %p",
	async (knows) => {
		await withFormer((propose) => propose(fixtureCluster()).then(() => {}));
		await admitted();
		everybodyKnows = knows;
		const seen: CommandBody[] = [];
		const propose = store.proposer.proposeSystem;
		const proposeSystem: typeof propose = (body) => {
			if (body.kind === "nodeImport") seen.push(body);
			return propose(body);
		};
		await run(new AbortController().signal, systemClock, { proposeSystem });
		expect(seen.map((body) => ["givesHostIds" in body, "freeSources" in body])).toEqual([[knows, knows]]);
	},
);

test("one that brings nothing that anybody could run notes nothing", async () => {
	await withFormer((propose) => propose(fixtureCluster()).then(() => {}));
	await admitted();
	const seen: boolean[] = [];
	const propose = store.proposer.proposeSystem;
	await run(undefined, systemClock, {
		proposeSystem: (body) => {
			seen.push(existsSync(clusterPathsOf(dataDir).importing));
			return propose(body);
		},
	});
	expect([seen, existsSync(clusterPathsOf(dataDir).importing)]).toEqual([[false], false]);
});

test("that another member may have brought it goes on counting when it joins again, whatever becomes of that", async () => {
	await withVolume();
	await admitted();
	mkdirSync(clusterPathsOf(dataDir).peer, { recursive: true });
	writeFileSync(clusterPathsOf(dataDir).importing, "");
	const made = join(dataDir, "made");
	await passOnImporting(dataDir, { importing: made });
	copyFileSync(made, clusterPathsOf(dataDir).importing);
	const ended = new AbortController();
	let asked = 0;
	const proposeSystem = async () => {
		asked += 1;
		throw new AppError("invalid", "Something is wrong with it.");
	};
	const clock = new ManualClock(0);
	const running = run(ended.signal, clock, { proposeSystem }).catch(() => {});
	await waitUntil("an attempt to end", 5_000, () => clock.waiting > 0 && asked > 0);
	ended.abort(new AppError("canceled", "It is over."));
	await running;
	expect(existsSync(clusterPathsOf(dataDir).importing)).toBe(true);
	// Of one that is known to have arrived nothing is passed on.
	rmSync(made);
	await noteArrived(dataDir);
	await passOnImporting(dataDir, { importing: made });
	expect(existsSync(made)).toBe(false);
});

test("a note of before there were two steps says that both are done", async () => {
	await withFormer((propose) => propose(fixtureCluster()).then(() => {}));
	await admitted();
	await run();
	writeFileSync(clusterPathsOf(dataDir).imported, "");
	await run();
	expect(handedOver).toHaveLength(1);
});

test("one that was removed before it had brought anything does not say that it has", async () => {
	await withFormer((propose) => propose(fixtureCluster()).then(() => {}));
	await admitted();
	await store.proposer.proposeSystem({ kind: "nodeRemove", id: me, leaving: false, confirmName: "second" });
	await expect(run()).rejects.toMatchObject({ code: "wrong-state" });
	expect(isNoted()).toBe(false);
});

test("what the log has and the database does not comes along: the power went in between", async () => {
	const earlier = join(dataDir, "earlier.db");
	await withFormer(async (propose) => {
		await propose(fixtureCluster());
	});
	copyFileSync(pathsOf(former()).state, earlier);
	await withFormer(async (propose) => {
		await propose({ kind: "volumeCreate", volume, task: taskFor("volume.create", volume.id) });
	});
	for (const name of readdirSync(former())) if (name.startsWith("state.db")) rmSync(join(former(), name));
	copyFileSync(earlier, pathsOf(former()).state);
	await admitted();
	await run();
	expect(store.get("volume", volume.id)).not.toBe(null);
});

test("a pool comes along of which its copy has forgotten that it was on this node, since that was removed", async () => {
	const both = fixturePool({ id: fixtureId(0x500), name: "both", config: { path: "/srv/both" } });
	await withFormer(async (propose) => {
		await propose(fixtureCluster());
		const other = fixtureId(0x998);
		for (const body of fixtureMember({ id: other, name: "node-2" }, systemClock.nowMs())) await propose(body);
		const task = fixtureTask("pool.create", { kind: "pool", id: both.id }, { id: ids.newId() });
		await propose({ kind: "poolCreate", pool: { ...both, nodeIds: [before, other] }, task });
		await propose({ kind: "nodeRemove", id: before, leaving: false, confirmName: "node-1" });
	});
	const place = { nodeId: before, clusterId: clusterIds.cluster, name: "both", type: "local", path: "/srv/both" };
	writeFileSync(join(dataDir, "pool-places.json"), JSON.stringify({ [both.id]: place }));
	await admitted();
	await run();
	expect(store.get("pool", both.id)).toMatchObject({ name: "both", nodeIds: [me] });
});

test("when what it was is missing it brings nothing, and stays joining until somebody puts it back", async () => {
	await admitted();
	const ended = new AbortController();
	const tries: number[] = [];
	const clock: Clock = {
		...systemClock,
		schedule(delayMs, callback) {
			tries.push(delayMs);
			queueMicrotask(() => ended.abort(new Error("the test is over")));
			return systemClock.schedule(delayMs, callback);
		},
	};
	await expect(run(ended.signal, clock)).rejects.toThrow("the test is over");
	expect(store.get("node", me)?.status.phase).toBe("joining");
	expect([tries.length, existsSync(former())]).toEqual([1, false]);
});

function taskFor(kind: "volume.create", id: string) {
	const now = new Date(systemClock.nowMs()).toISOString();
	return {
		...{ id: ids.newId(), kind, state: "pending" as const, progress: null, message: null },
		targets: [{ kind: "volume" as const, id, name: "disk" }],
		requester: { kind: "system" as const, id: null, name: "system" },
		...{ nodeId: before, parentId: null, createdAt: now, startedAt: null, finishedAt: null },
		...{ cancelable: false, cancelRequested: false, error: null, input: {} },
	};
}
