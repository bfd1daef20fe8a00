/** Three nodes in one process: they elect, commit, lose leaders, snapshots catch up those behind, members come and go. */
import { afterEach, describe, expect, test } from "bun:test";
import { TestCluster, type TestClusterOptions } from "../../testing/raft/raft-cluster.ts";

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

test("they elect a leader, commit what it is given, and all apply it", async () => {
	const cluster = await start();
	const leader = await cluster.elect();
	await cluster.fill(leader.id, "x", 5);
	expect(await cluster.converge()).toEqual(["x0", "x1", "x2", "x3", "x4"]);
	for (const { up } of cluster.nodes.values())
		expect(up.status()).toMatchObject({ leader: leader.id, quorum: true, term: leader.up.status().term });
	expect(leader.up.details().peers.map(({ match }) => match)).toEqual([6, 6]);
});

test("proposals of one turn share a write, and those that come while it runs share the next", async () => {
	const cluster = await start();
	const leader = await cluster.elect();
	let syncs = 0;
	leader.files.onOperation = (operation) => {
		if (operation === "sync") syncs += 1;
		return undefined;
	};
	const answers = Array.from({ length: 50 }, (_, number) => cluster.propose(leader.id, `x${number}`));
	await cluster.drain();
	expect(new Set(await Promise.all(answers))).toEqual(new Set([null]));
	expect(syncs).toBe(1);
	expect((await cluster.converge()).length).toBe(50);
});

test("a leader that is gone is replaced, and what it acknowledged is there", async () => {
	const cluster = await start();
	const first = await cluster.elect();
	await cluster.fill(first.id, "x", 3);
	cluster.crash(first.id);
	const second = await cluster.elect();
	expect(second.id).not.toBe(first.id);
	await cluster.fill(second.id, "y", 3);
	await cluster.open(first.id);
	expect(await cluster.converge()).toEqual(["x0", "x1", "x2", "y0", "y1", "y2"]);
});

test("what a leader without a quorum wrote is overwritten: the proposal is told that it was lost", async () => {
	const cluster = await start();
	const first = await cluster.elect();
	await cluster.fill(first.id, "x", 2);
	cluster.isolate(first.id);
	const answers = ["lost0", "lost1", "lost2"].map((value) => cluster.propose(first.id, value));
	await cluster.drain();
	const second = await cluster.elect(({ id }) => id !== first.id);
	await cluster.fill(second.id, "y", 2);
	cluster.heal();
	expect(await cluster.converge()).toEqual(["x0", "x1", "y0", "y1"]);
	for (const answer of await Promise.all(answers))
		expect(answer).toMatchObject({ code: "unavailable", context: { outcome: "lost" } });
	expect((await first.files.list()).some((name) => name.includes("-0000"))).toBe(true);
});

test("a proposal that nobody answers ends as unknown, when its time is over or the node closes", async () => {
	const cluster = await start();
	const leader = await cluster.elect();
	cluster.isolate(leader.id);
	const timed = cluster.propose(leader.id, "a");
	await cluster.run(4_000);
	expect(await timed).toMatchObject({ code: "timeout", context: { outcome: "unknown" } });
	cluster.heal();
	const again = await cluster.elect();
	cluster.isolate(again.id);
	const closed = cluster.propose(again.id, "b");
	await cluster.drain();
	await again.up.close();
	expect(await closed).toMatchObject({ code: "unavailable", context: { outcome: "unknown" } });
	await expect(again.up.propose(Buffer.from("c"), "essential")).rejects.toMatchObject({ code: "unavailable" });
	again.consensus = null;
});

describe("a node that does not lead", () => {
	test("says who does", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		await cluster.run(500);
		const [other = ""] = cluster.others(leader.id);
		expect(await cluster.propose(other, "x")).toMatchObject({
			code: "unavailable",
			context: { leader: leader.id, outcome: "not-proposed" },
		});
	});

	test("forwards, when it can", async () => {
		const cluster = await start({ forwards: true });
		const leader = await cluster.elect();
		await cluster.run(500);
		const answers = cluster.others(leader.id).map((id) => cluster.propose(id, `from ${id}`));
		await cluster.drain();
		expect(await Promise.all(answers)).toEqual([null, null]);
		expect((await cluster.converge()).length).toBe(2);
	});

	test("forwards nowhere without a leader", async () => {
		const cluster = await start({ forwards: true });
		expect(await cluster.propose("a", "x")).toMatchObject({ code: "unavailable", context: { leader: null } });
	});
});

describe("reads", () => {
	test("on any node see what was acknowledged before", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		await cluster.fill(leader.id, "x", 3);
		const reads = [...cluster.nodes.values()].flatMap(({ up }) => [up.readIndex(), up.readIndex()]);
		await cluster.drain();
		expect(await Promise.all(reads)).toEqual([4, 4, 4, 4, 4, 4]);
	});

	test("have no answer without a quorum, and do not wait for ever", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		await cluster.run(500);
		cluster.isolate(leader.id);
		const read = leader.up.readIndex().catch((error) => error);
		await cluster.run(2_000);
		expect(await read).toMatchObject({ code: "unavailable" });
		await expect(leader.up.readIndex()).rejects.toMatchObject({ code: "unavailable" });
	});
});

test("a state that says how far it is, is not handed more than it can hold", async () => {
	const cluster = await start({ voters: ["a"], reportsApplied: true, limits: { maxApplyEntries: 10 } });
	const { up, state } = cluster.node("a");
	const answers = Array.from({ length: 40 }, (_, number) => cluster.propose("a", `x${number}`));
	await cluster.drain();
	expect(state?.meta.index).toBe(10);
	for (let index = 10; index <= 41; index++) {
		up.applied(index);
		await cluster.drain();
	}
	expect(state?.meta.index).toBe(41);
	expect(new Set(await Promise.all(answers))).toEqual(new Set([null]));
});

describe("a snapshot", () => {
	/** One node is away while the others compact what it needs. */
	const behind = async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		const [away = ""] = cluster.others(leader.id);
		await cluster.fill(leader.id, "x", 3);
		cluster.isolate(away);
		await cluster.fill(leader.id, "y", 60);
		await compactAll(cluster, away);
		return { cluster, leader, away };
	};
	const compactAll = async (cluster: TestCluster, but: string) => {
		for (const node of cluster.nodes.values()) {
			if (node.id === but || node.state === null) continue;
			await node.up.compact(await node.state.checkpoint());
		}
	};

	test("catches up a node that needs what is gone from the log, and it goes on from there", async () => {
		const { cluster, leader, away } = await behind();
		expect(leader.up.logBytesAfter(0)).toBeLessThan(4_000);
		cluster.heal();
		expect((await cluster.converge()).length).toBe(63);
		expect(cluster.node(away).state?.installs).toBe(1);
		await cluster.fill((await cluster.elect()).id, "z", 3);
		expect((await cluster.converge()).length).toBe(66);
		cluster.crash(away);
		await cluster.open(away);
		expect((await cluster.converge()).length).toBe(66);
	});

	test("arrives over links that lose messages", async () => {
		const { cluster, away } = await behind();
		const random = cluster.random;
		cluster.filter = (_, message) =>
			!["chunk", "have", "want", "done", "offer"].includes(message.type) || random() > 0.2;
		cluster.heal();
		expect((await cluster.converge()).length).toBe(63);
		expect(cluster.node(away).state?.installs).toBeGreaterThan(0);
	});

	/** The restart comes once so many chunks were sent; says at which offsets chunks were sent after it. */
	const restarted = async (chunks: number, meanwhile: (cluster: TestCluster, away: string) => Promise<void>) => {
		const { cluster, away } = await behind();
		const offsets: number[] = [];
		cluster.filter = (_, message) => {
			if (message.type !== "chunk") return true;
			offsets.push(message.offset);
			return offsets.length <= chunks;
		};
		cluster.heal();
		expect(await cluster.run(5_000, () => offsets.length > chunks)).toBe(true);
		cluster.crash(away);
		await meanwhile(cluster, away);
		offsets.length = 0;
		cluster.filter = (_, message) => message.type !== "chunk" || offsets.push(message.offset) > 0;
		await cluster.open(away);
		expect((await cluster.converge()).length).toBeGreaterThanOrEqual(63);
		const { state, files } = cluster.node(away);
		expect(state?.installs).toBeGreaterThan(0);
		expect((await files.list()).filter((name) => name.startsWith("incoming"))).toEqual([]);
		return { resumed: state?.resumed, offsets };
	};

	test("goes on after a restart where it was", async () => {
		const { resumed, offsets } = await restarted(4, async () => {});
		const [offset = 0] = resumed ?? [];
		expect(offset).toBeGreaterThanOrEqual(400);
		expect(Math.min(...offsets)).toBe(offset);
	});

	test("begins anew when what was there is not what had arrived", async () => {
		const { resumed, offsets } = await restarted(4, async (cluster, away) => {
			const file = await cluster.node(away).files.open("incoming.part", "existing");
			const bytes = (await file.read(0, file.sizeBytes)).slice();
			bytes[10] = (bytes[10] ?? 0) ^ 1;
			await file.truncate(0);
			await file.append(bytes);
			await file.sync();
		});
		expect([resumed, Math.min(...offsets)]).toEqual([[], 0]);
	});

	test("begins anew when another one is sent", async () => {
		const { resumed, offsets } = await restarted(4, async (cluster, away) => {
			await cluster.fill((await cluster.elect(({ id }) => id !== away)).id, "w", 30);
			await compactAll(cluster, away);
		});
		expect(resumed).toHaveLength(1);
		expect(Math.min(...offsets)).toBe(0);
	});

	test("for which there is no space is refused, and comes when there is", async () => {
		const { cluster, away } = await behind();
		const { files } = cluster.node(away);
		files.capacityBytes = files.usedBytes() + 250;
		cluster.heal();
		await cluster.run(3_000);
		expect([cluster.node(away).state?.installs, cluster.node(away).fatal]).toEqual([0, []]);
		files.capacityBytes = Number.POSITIVE_INFINITY;
		expect((await cluster.converge()).length).toBe(63);
	});

	test("of a leader that is deposed meanwhile is given up", async () => {
		const { cluster, leader, away } = await behind();
		cluster.filter = (_, message) => message.type !== "chunk";
		cluster.heal();
		await cluster.run(500);
		cluster.isolate(leader.id);
		cluster.filter = () => true;
		await cluster.elect(({ id }) => id !== leader.id);
		expect(await cluster.run(5_000, () => (cluster.node(away).state?.installs ?? 0) > 0)).toBe(true);
		cluster.heal();
		expect((await cluster.converge()).length).toBe(63);
	});
});

describe("members", () => {
	test("join, are promoted, and are removed, also the leader", async () => {
		const cluster = await start({ voters: ["a"] });
		expect(cluster.node("a").up.status()).toMatchObject({ leader: "a", quorum: true });
		await cluster.fill("a", "x", 3);
		for (const id of ["b", "c"]) {
			await cluster.join(id);
			const added = cluster.leader()?.up.changeMembers({ kind: "add-learner", node: id });
			await cluster.drain();
			await added;
			await cluster.run(1_000);
			const promoted = cluster.leader()?.up.changeMembers({ kind: "promote", node: id, witness: false });
			await cluster.drain();
			await promoted;
		}
		await cluster.fill("a", "y", 3);
		expect((await cluster.converge()).length).toBe(6);
		expect(cluster.node("c").up.details().configuration.voters).toEqual(["a", "b", "c"]);
		const removed = cluster.node("a").up.changeMembers({ kind: "remove", node: "a" });
		await cluster.drain();
		await removed;
		const leader = await cluster.elect();
		expect(leader.id).not.toBe("a");
		await cluster.fill(leader.id, "z", 2);
		await cluster.run(500);
		expect(await cluster.propose("a", "no")).toMatchObject({ code: "wrong-state", context: { refused: "removed" } });
	});

	test("a change that cannot be is refused with words", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		const [other = ""] = cluster.others(leader.id);
		const { up } = leader;
		await expect(up.changeMembers({ kind: "remove", node: "nobody" })).rejects.toMatchObject({ code: "not-found" });
		await expect(up.changeMembers({ kind: "add-learner", node: other })).rejects.toMatchObject({
			code: "already-exists",
		});
		await expect(cluster.node(other).up.changeMembers({ kind: "remove", node: other })).rejects.toMatchObject({
			code: "unavailable",
		});
	});

	test("hand over leadership", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		const [other = ""] = cluster.others(leader.id);
		const transfer = leader.up.transferLeadership(other);
		await cluster.run(500);
		expect(await transfer).toBe(other);
		expect(cluster.leader()?.id).toBe(other);
		await expect(leader.up.transferLeadership()).rejects.toMatchObject({ code: "unavailable" });
		const stuck = cluster
			.node(other)
			.up.transferLeadership(leader.id)
			.catch((error) => error);
		cluster.isolate(leader.id);
		await cluster.run(2_000);
		expect(await stuck).toMatchObject({ code: "timeout" });
	});
});

test("a node alone leads, and has applied what its log holds, when it has started", async () => {
	const cluster = await start({ voters: ["a"] });
	await cluster.fill("a", "x", 40);
	cluster.crash("a");
	await cluster.open("a");
	expect(cluster.node("a").values.length).toBe(40);
	await cluster.node("a").state?.checkpoint();
	cluster.crash("a");
	await cluster.open("a");
	expect(cluster.node("a").values.length).toBe(40);
	await cluster.fill("a", "y", 2);
	expect(cluster.node("a").fatal).toEqual([]);
});
