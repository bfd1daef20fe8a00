/** A leader whose disk does not come back from a write goes on sending heartbeats: it has to hand over the lead by itself. */
import { afterEach, expect, test } from "bun:test";
import { TestCluster, type TestNode } from "../../testing/raft/raft-cluster.ts";

let cluster: TestCluster;
let goOn = () => {};
afterEach(async () => {
	goOn();
	await cluster.close();
});

function hang({ files }: TestNode): void {
	const { promise, resolve } = Promise.withResolvers<void>();
	files.stalled = promise;
	goOn = () => {
		files.stalled = null;
		resolve();
	};
}

test("somebody else leads before long, and nothing is lost once the disk is back", async () => {
	cluster = await TestCluster.start({ voters: ["a", "b", "c"], reserveBytes: 100_000 });
	const leader = await cluster.elect();
	await cluster.fill(leader.id, "x", 3);
	// Long enough that it has to ask the disk for its space first.
	await cluster.run(1_000);
	hang(leader);
	const waits = cluster.propose(leader.id, "waits");
	expect(await cluster.run(3_000, () => cluster.elected(({ id }) => id !== leader.id) !== null)).toBe(true);
	const next = await cluster.elect(({ id }) => id !== leader.id);
	expect(next.values).toContain("waits");
	await cluster.fill(next.id, "y", 20);
	goOn();
	expect(await cluster.converge()).toEqual(expect.arrayContaining(["x2", "waits", "y19"]));
	await cluster.run(5_000);
	await waits;
});

test("a disk that was away for a moment is no reason", async () => {
	cluster = await TestCluster.start({ voters: ["a", "b", "c"], reserveBytes: 100_000 });
	const leader = await cluster.elect();
	const { term } = leader.up.details();
	for (let round = 0; round < 10; round++) {
		hang(leader);
		const waits = cluster.propose(leader.id, `waits-${round}`);
		await cluster.run(900);
		goOn();
		await cluster.run(100);
		expect(await waits).toBeNull();
	}
	expect(leader.up.details()).toMatchObject({ role: "leader", term });
});

test("where all disks hang, nobody hands over", async () => {
	cluster = await TestCluster.start({ voters: ["a", "b", "c"], reserveBytes: 100_000 });
	const leader = await cluster.elect();
	const { term } = leader.up.details();
	const ends: (() => void)[] = [];
	for (const node of cluster.nodes.values()) {
		hang(node);
		ends.push(goOn);
	}
	goOn = () => {
		for (const end of ends) end();
	};
	const waits = cluster.propose(leader.id, "waits");
	await cluster.run(2_500);
	expect(leader.up.details()).toMatchObject({ role: "leader", term });
	goOn();
	await cluster.run(500);
	expect(await waits).toBeNull();
});
