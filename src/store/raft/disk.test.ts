/** Three nodes and their disks: full, failing, damaged. */
import { afterEach, describe, expect, test } from "bun:test";
import { silentLogger } from "../../lib/log.ts";
import { TestCluster, type TestClusterOptions, turn } from "../../testing/raft/raft-cluster.ts";
import { TestState } from "../../testing/raft/raft-state.ts";
import { writeHardState } from "../log/hard-state.ts";
import { SegmentLog } from "../log/segment-log.ts";

let opened: TestCluster[] = [];
afterEach(async () => {
	for (const cluster of opened)
		for (const node of cluster.nodes.values()) await node.consensus?.close().catch(() => {});
	opened = [];
});

async function start(options: Partial<TestClusterOptions> = {}): Promise<TestCluster> {
	const cluster = await TestCluster.start({ voters: ["a", "b", "c"], ...options });
	opened.push(cluster);
	return cluster;
}

describe("a full disk", () => {
	test("of a follower stops nobody else; of a leader it is an answer, and another one takes over", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		const [other = ""] = cluster.others(leader.id);
		const fill1 = cluster.node(other).files;
		fill1.capacityBytes = fill1.usedBytes() + 20_000;
		await cluster.fill(leader.id, "x", 3);
		leader.files.capacityBytes = leader.files.usedBytes();
		const unknown = cluster.propose(leader.id, "unknown");
		await cluster.drain();
		expect(await cluster.propose(leader.id, "refused")).toMatchObject({ code: "no-space" });
		await cluster.elect(({ id }) => id !== leader.id);
		leader.files.capacityBytes = Number.POSITIVE_INFINITY;
		fill1.capacityBytes = Number.POSITIVE_INFINITY;
		await cluster.run(500);
		const next = await cluster.elect();
		expect([null, "unavailable", "no-space"]).toContain((await unknown)?.code ?? null);
		await cluster.fill(next.id, "y", 3);
		expect(await cluster.converge()).toEqual(expect.arrayContaining(["x0", "y2"]));
	});

	test("leaves room for a vote where entries do not fit any more", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		for (const id of cluster.others(leader.id)) {
			const { files } = cluster.node(id);
			files.capacityBytes = files.usedBytes() + 8_000;
		}
		const before = leader.up.details().term;
		cluster.isolate(leader.id);
		await cluster.elect(({ id }) => id !== leader.id).catch(() => null);
		const terms = cluster.others(leader.id).map((id) => cluster.node(id).up.details().term);
		expect(Math.min(...terms)).toBeGreaterThan(before);
		for (const { files, fatal } of cluster.nodes.values()) {
			files.capacityBytes = Number.POSITIVE_INFINITY;
			expect(fatal).toEqual([]);
		}
		cluster.heal();
		await cluster.converge();
	});

	test("refuses first what makes the cluster larger", async () => {
		const cluster = await start({ reserveBytes: 100_000 });
		const { files, up } = await cluster.elect();
		files.capacityBytes = files.usedBytes() + 60_000;
		await cluster.run(200);
		const essential = up.propose(Buffer.from("essential"), "essential");
		await cluster.drain();
		await essential;
		const growing = up.propose(Buffer.from("grow"), "growing").catch((error) => error);
		await cluster.drain();
		expect(await growing).toMatchObject({ code: "no-space", context: { outcome: "not-proposed" } });
		files.capacityBytes = Number.POSITIVE_INFINITY;
		const next = await cluster.elect();
		const grown = next.up.propose(Buffer.from("grow"), "growing");
		await cluster.drain();
		await grown;
	});
});

describe("a failing disk", () => {
	for (const operation of ["append", "sync", "rename"] as const)
		test(`(${operation}) ends the node: fatal once, nobody is told anything after it`, async () => {
			const cluster = await start();
			const leader = await cluster.elect();
			await cluster.fill(leader.id, "x", 2);
			const failing = operation === "rename" ? cluster.node(cluster.others(leader.id)[0] ?? "") : leader;
			failing.files.onOperation = (current) => (current === operation ? "io-error" : undefined);
			const proposed = cluster.propose(failing.id, "unknown");
			await cluster.drain();
			// A vote is written by rename.
			if (operation === "rename") {
				cluster.isolate(leader.id);
				await cluster.run(3_000, () => failing.fatal.length > 0);
			} else expect(await proposed).toMatchObject({ code: "storage", context: { outcome: "unknown" } });
			expect(failing.fatal).toMatchObject([{ code: "storage" }]);
			const { sent } = cluster;
			cluster.isolate(cluster.others(failing.id)[0] ?? "");
			await expect(failing.up.propose(Buffer.from("no"), "essential")).rejects.toMatchObject({ code: "storage" });
			await expect(failing.up.readIndex()).rejects.toMatchObject({ code: "storage" });
			expect(failing.up.status().quorum).toBe(false);
			await turn();
			expect(cluster.sent).toBe(sent);
		});
});

describe("a damaged log", () => {
	test("of one node of three is cut, and the node comes back without having voted", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		await cluster.fill(leader.id, "x", 30);
		await cluster.converge();
		const [victim = ""] = cluster.others(leader.id);
		cluster.crash(victim, "process-end");
		const node = cluster.node(victim);
		const [name = ""] = (await node.files.list()).filter((one) => one.endsWith(".log"));
		node.files.bytes(name)[300] = 0xee;
		await cluster.open(victim);
		expect(node.up.details()).toMatchObject({ recovering: true });
		expect(node.up.details().lastIndex).toBeLessThan(20);
		// A crash before it has recovered forgets nothing of that.
		cluster.crash(victim);
		await cluster.open(victim);
		expect(node.up.details()).toMatchObject({ recovering: true });
		await cluster.fill(leader.id, "y", 3);
		expect((await cluster.converge()).length).toBe(33);
		expect(node.up.details()).toMatchObject({ recovering: false });
	});

	test("is not forgotten by a crash at any point of the cut", async () => {
		const damaged = async () => {
			const cluster = await start();
			const leader = await cluster.elect();
			await cluster.fill(leader.id, "x", 30);
			await cluster.converge();
			const [victim = ""] = cluster.others(leader.id);
			cluster.crash(victim, "process-end");
			const node = cluster.node(victim);
			const [name = ""] = (await node.files.list()).filter((one) => one.endsWith(".log"));
			node.files.bytes(name)[300] = 0xee;
			return { cluster, victim, node };
		};
		const dry = await damaged();
		await dry.cluster.open(dry.victim);
		expect(dry.node.files.operations).toBeGreaterThan(6);
		for (let at = 1; at <= dry.node.files.operations; at++) {
			const { cluster, victim, node } = await damaged();
			node.files.onOperation = (_, count) => (count === at ? "crash" : undefined);
			await cluster.open(victim).catch((error) => {
				if (!node.files.crashed) throw error;
			});
			cluster.crash(victim);
			await cluster.open(victim);
			expect([at, node.up.details().recovering, node.up.details().lastIndex < 20]).toEqual([at, true, true]);
			expect((await cluster.converge()).length).toBe(30);
			await cluster.close();
		}
	});

	test("is refused where there is nobody else who has the data", async () => {
		const cluster = await start({ voters: ["a"] });
		await cluster.fill("a", "x", 5);
		cluster.crash("a", "process-end");
		const { files } = cluster.node("a");
		files.bytes("0000000000000001.log")[150] = 0xee;
		const before = await files.list();
		await expect(cluster.open("a")).rejects.toMatchObject({
			code: "corrupt",
			message: expect.stringMatching(/no other node has them/),
		});
		expect(await files.list()).toEqual(before);
	});

	test("a hard state that is missing or older than the log is refused", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		await cluster.fill(leader.id, "x", 2);
		await cluster.converge();
		const { id } = leader;
		cluster.crash(id, "process-end");
		const kept = cluster.node(id).files;
		const missing = kept.afterCrash(() => 0, "process-end");
		await missing.remove("hard-state");
		cluster.node(id).files = missing;
		await expect(cluster.open(id)).rejects.toMatchObject({
			code: "corrupt",
			message: expect.stringMatching(/without the file hard-state/),
		});
		await writeHardState(kept, { term: 0, vote: null });
		cluster.node(id).files = kept;
		await expect(cluster.open(id)).rejects.toMatchObject({
			code: "corrupt",
			message: expect.stringMatching(/older than the log/),
		});
	});
});

describe("a log from before there were clusters", () => {
	const silent = { logger: silentLogger, onFatal: () => {} };
	const entries = (from: number, to: number) =>
		Array.from({ length: to - from + 1 }, (_, at) => ({
			index: from + at,
			term: 1,
			data: Buffer.from(`old${from + at}`),
		}));

	test("is gone on with, by a node alone and then by others", async () => {
		const cluster = new TestCluster({ voters: ["a"] });
		opened.push(cluster);
		const { files } = cluster.node("a");
		const log = await SegmentLog.open({ files, ...silent, knownIndex: 0, segmentBytes: 300 }, 1);
		for (let index = 1; index <= 20; index++) await log.append(entries(index, index));
		await writeHardState(files, { term: 1, vote: null });
		await log.close();
		await cluster.open("a");
		expect(cluster.node("a").values.length).toBe(20);
		await cluster.fill("a", "new", 3);
		await cluster.join("b");
		const added = cluster.node("a").up.changeMembers({ kind: "add-learner", node: "b" });
		await cluster.drain();
		await added;
		expect((await cluster.converge()).length).toBe(23);
	});

	test("that was cut below a snapshot is, too, though it does not say the term before it", async () => {
		const cluster = new TestCluster({ voters: ["a"] });
		opened.push(cluster);
		const { files } = cluster.node("a");
		const log = await SegmentLog.open({ files, ...silent, knownIndex: 0, segmentBytes: 300 }, 1);
		for (let index = 1; index <= 20; index++) await log.append(entries(index, index));
		await writeHardState(files, { term: 1, vote: null });
		const state = await TestState.open(files, { index: 0, configuration: cluster.founders });
		state.apply(entries(1, 15).map((entry) => ({ ...entry, kind: "command" })));
		await state.checkpoint();
		await log.cutBefore(13);
		await log.close();
		await cluster.open("a");
		expect(cluster.node("a").values.length).toBe(20);
		await cluster.fill("a", "new", 3);
		await cluster.join("b");
		const added = cluster.node("a").up.changeMembers({ kind: "add-learner", node: "b" });
		await cluster.drain();
		await added;
		expect((await cluster.converge()).length).toBe(23);
		expect(cluster.node("b").state?.installs).toBe(1);
	});
});
