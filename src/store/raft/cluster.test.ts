/** Three nodes in one process: they elect, commit, lose leaders, snapshots catch up those behind, members come and go. */
import { afterEach, describe, expect, test } from "bun:test";
import { MemoryFiles } from "../../testing/memory-files.ts";
import { writeHardState } from "../log/hard-state.ts";
import { TestCluster, type TestClusterOptions, turn } from "./test-cluster.ts";

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

const followers = (cluster: TestCluster, leader: string): string[] =>
	[...cluster.nodes.keys()].filter((id) => id !== leader);
/** Numbered values, proposed on a node one after the other. */
async function fill(cluster: TestCluster, id: string, name: string, count: number): Promise<void> {
	for (let number = 0; number < count; number++) {
		const answer = cluster.propose(id, `${name}${number}`);
		await cluster.drain();
		expect(await answer).toBeNull();
	}
}

test("they elect a leader, commit what it is given, and all apply it", async () => {
	const cluster = await start();
	const leader = await cluster.elect();
	await fill(cluster, leader.id, "x", 5);
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
	await fill(cluster, first.id, "x", 3);
	cluster.crash(first.id);
	const second = await cluster.elect();
	expect(second.id).not.toBe(first.id);
	await fill(cluster, second.id, "y", 3);
	await cluster.open(first.id);
	expect(await cluster.converge()).toEqual(["x0", "x1", "x2", "y0", "y1", "y2"]);
});

test("what a leader without a quorum wrote is overwritten: the proposal is told that it was lost", async () => {
	const cluster = await start();
	const first = await cluster.elect();
	await fill(cluster, first.id, "x", 2);
	cluster.isolate(first.id);
	const answers = ["lost0", "lost1", "lost2"].map((value) => cluster.propose(first.id, value));
	await cluster.drain();
	const second = await cluster.elect(({ id }) => id !== first.id);
	await fill(cluster, second.id, "y", 2);
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
		const [other = ""] = followers(cluster, leader.id);
		expect(await cluster.propose(other, "x")).toMatchObject({
			code: "unavailable",
			context: { leader: leader.id, outcome: "not-proposed" },
		});
	});

	test("forwards, when it can", async () => {
		const cluster = await start({ forwards: true });
		const leader = await cluster.elect();
		await cluster.run(500);
		const answers = followers(cluster, leader.id).map((id) => cluster.propose(id, `from ${id}`));
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
		await fill(cluster, leader.id, "x", 3);
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

describe("a snapshot", () => {
	/** One node is away while the others compact what it needs. */
	const behind = async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		const [away = ""] = followers(cluster, leader.id);
		await fill(cluster, leader.id, "x", 3);
		cluster.isolate(away);
		await fill(cluster, leader.id, "y", 60);
		await compactAll(cluster, away);
		return { cluster, leader, away };
	};
	const compactAll = async (cluster: TestCluster, but: string) => {
		for (const { id, state, up } of cluster.nodes.values()) {
			if (id === but || state === null) continue;
			await up.compact(await state.checkpoint());
		}
	};

	test("catches up a node that needs what is gone from the log, and it goes on from there", async () => {
		const { cluster, leader, away } = await behind();
		expect(leader.up.logBytesAfter(0)).toBeLessThan(4_000);
		cluster.heal();
		expect((await cluster.converge()).length).toBe(63);
		expect(cluster.node(away).state?.installs).toBe(1);
		await fill(cluster, (await cluster.elect()).id, "z", 3);
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
		await fill(cluster, "a", "x", 3);
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
		await fill(cluster, "a", "y", 3);
		expect((await cluster.converge()).length).toBe(6);
		expect(cluster.node("c").up.details().configuration.voters).toEqual(["a", "b", "c"]);
		const removed = cluster.node("a").up.changeMembers({ kind: "remove", node: "a" });
		await cluster.drain();
		await removed;
		const leader = await cluster.elect();
		expect(leader.id).not.toBe("a");
		await fill(cluster, leader.id, "z", 2);
		await cluster.run(500);
		expect(await cluster.propose("a", "no")).toMatchObject({ code: "unavailable", context: { refused: "removed" } });
	});

	test("a change that cannot be is refused with words", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		const [other = ""] = followers(cluster, leader.id);
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
		const [other = ""] = followers(cluster, leader.id);
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

describe("a full disk", () => {
	test("of a follower stops nobody else; of a leader it is an answer, and another one takes over", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		const [other = ""] = followers(cluster, leader.id);
		const fill1 = cluster.node(other).files;
		fill1.capacityBytes = fill1.usedBytes() + 20_000;
		await fill(cluster, leader.id, "x", 3);
		leader.files.capacityBytes = leader.files.usedBytes();
		const unknown = cluster.propose(leader.id, "unknown");
		await cluster.drain();
		expect(await cluster.propose(leader.id, "refused")).toMatchObject({ code: "no-space" });
		await cluster.elect(({ id }) => id !== leader.id);
		leader.files.capacityBytes = Number.POSITIVE_INFINITY;
		fill1.capacityBytes = Number.POSITIVE_INFINITY;
		await cluster.run(500);
		const next = await cluster.elect();
		expect([null, "unavailable"]).toContain((await unknown)?.code ?? null);
		await fill(cluster, next.id, "y", 3);
		expect(await cluster.converge()).toEqual(expect.arrayContaining(["x0", "y2"]));
	});

	test("leaves room for a vote where entries do not fit any more", async () => {
		const cluster = await start();
		const leader = await cluster.elect();
		for (const id of followers(cluster, leader.id)) {
			const { files } = cluster.node(id);
			files.capacityBytes = files.usedBytes() + 8_000;
		}
		const before = leader.up.details().term;
		cluster.isolate(leader.id);
		await cluster.elect(({ id }) => id !== leader.id).catch(() => null);
		const terms = followers(cluster, leader.id).map((id) => cluster.node(id).up.details().term);
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
		const growing = up.propose(Buffer.from("grow"), "growing").catch((error) => error);
		const essential = up.propose(Buffer.from("essential"), "essential");
		await cluster.drain();
		expect(await growing).toMatchObject({ code: "no-space", context: { outcome: "not-proposed" } });
		await essential;
		files.capacityBytes = Number.POSITIVE_INFINITY;
		const grown = up.propose(Buffer.from("grow"), "growing");
		await cluster.drain();
		await grown;
	});
});

describe("a failing disk", () => {
	for (const operation of ["append", "sync", "rename"] as const)
		test(`(${operation}) ends the node: fatal once, nobody is told anything after it`, async () => {
			const cluster = await start();
			const leader = await cluster.elect();
			await fill(cluster, leader.id, "x", 2);
			const failing = operation === "rename" ? cluster.node(followers(cluster, leader.id)[0] ?? "") : leader;
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
			cluster.isolate(followers(cluster, failing.id)[0] ?? "");
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
		await fill(cluster, leader.id, "x", 30);
		await cluster.converge();
		const [victim = ""] = followers(cluster, leader.id);
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
		await fill(cluster, leader.id, "y", 3);
		expect((await cluster.converge()).length).toBe(33);
		expect(node.up.details()).toMatchObject({ recovering: false });
	});

	test("is refused where there is nobody else who has the data", async () => {
		const cluster = await start({ voters: ["a"] });
		await fill(cluster, "a", "x", 5);
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
		await fill(cluster, leader.id, "x", 2);
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

test("a node alone leads, and has applied what its log holds, when it has started", async () => {
	const cluster = await start({ voters: ["a"] });
	await fill(cluster, "a", "x", 40);
	cluster.crash("a");
	await cluster.open("a");
	expect(cluster.node("a").values.length).toBe(40);
	await cluster.node("a").state?.checkpoint();
	cluster.crash("a");
	await cluster.open("a");
	expect(cluster.node("a").values.length).toBe(40);
	await fill(cluster, "a", "y", 2);
	expect(cluster.node("a").fatal).toEqual([]);
	expect(cluster.node("a").files).toBeInstanceOf(MemoryFiles);
});
