/** A leader whose disk is nearly full takes no more, and others may have space: somebody else leads then. */
import { afterEach, expect, test } from "bun:test";
import type { AppError } from "../../lib/errors.ts";
import { TestCluster } from "../../testing/raft/raft-cluster.ts";

let cluster: TestCluster;
afterEach(async () => {
	for (const node of cluster.nodes.values()) await node.consensus?.close().catch(() => {});
});

test("a leader that refuses for want of space hands over the lead, and the others go on", async () => {
	cluster = await TestCluster.start({ voters: ["a", "b", "c"], reserveBytes: 100_000 });
	const leader = await cluster.elect();
	await cluster.fill(leader.id, "x", 3);
	leader.files.capacityBytes = leader.files.usedBytes() + 10_000;
	await cluster.run(200);
	const refused = cluster.propose(leader.id, "refused");
	await cluster.drain();
	expect(await refused).toMatchObject({ code: "no-space", context: { outcome: "not-proposed" } });
	const next = await cluster.elect(({ id }) => id !== leader.id);
	expect(next.id).not.toBe(leader.id);
	await cluster.fill(next.id, "y", 3);
	leader.files.capacityBytes = Number.POSITIVE_INFINITY;
	expect(await cluster.converge()).toEqual(expect.arrayContaining(["x2", "y2"]));
});

test("so does one that still takes what makes space", async () => {
	cluster = await TestCluster.start({ voters: ["a", "b", "c"], reserveBytes: 100_000 });
	const leader = await cluster.elect();
	await cluster.fill(leader.id, "x", 3);
	leader.files.capacityBytes = leader.files.usedBytes() + 60_000;
	await cluster.run(200);
	const refused = leader.up.propose(Buffer.from("refused"), "growing").catch((error: AppError) => error);
	await cluster.drain();
	expect(await refused).toMatchObject({ code: "no-space", context: { outcome: "not-proposed" } });
	const next = await cluster.elect(({ id }) => id !== leader.id);
	const taken = next.up.propose(Buffer.from("taken"), "growing");
	await cluster.drain();
	await taken;
	expect(next.values).toContain("taken");
});

test("where nobody has space, the lead does not wander with each refusal", async () => {
	cluster = await TestCluster.start({ voters: ["a", "b", "c"], reserveBytes: 100_000 });
	const leader = await cluster.elect();
	for (const { files } of cluster.nodes.values()) files.capacityBytes = files.usedBytes() + 10_000;
	await cluster.run(200);
	const before = leader.up.details().term;
	for (let round = 0; round < 60; round++) {
		const now = [...cluster.nodes.values()].find(({ up }) => up.status().leader === up.details().nodeId) ?? leader;
		const refused = cluster.propose(now.id, `refused-${round}`);
		await cluster.drain();
		expect(await refused).not.toBeNull();
		await cluster.run(50);
	}
	const terms = [...cluster.nodes.values()].map(({ up }) => up.details().term);
	expect(Math.max(...terms) - before).toBeLessThanOrEqual(3);
});
