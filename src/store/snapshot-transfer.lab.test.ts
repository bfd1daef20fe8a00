/** A node of several whose disk is really full: a small tmpfs. Needs root, to mount it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "../lib/log.ts";
import { run } from "../lib/run.ts";
import { KiB } from "../lib/units.ts";
import { StoreCluster, until } from "../testing/store-cluster.ts";

let cluster: StoreCluster;
let disk: string;
/** The third node, or the second, has a disk of its own. */
async function begin(size: number): Promise<void> {
	cluster = await StoreCluster.start(size, { reserveBytes: 0 });
	disk = join(cluster.folder, `node-${size + 1}`);
	mkdirSync(disk);
	await run("mount", ["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", disk], { timeoutMs: 10_000 });
}
beforeEach(() => {
	warned = [];
});
afterEach(async () => {
	for (const member of cluster.members) await cluster.close(member);
	await run("umount", ["--", disk], { timeoutMs: 10_000 });
	await cluster.remove();
});

let warned: string[];
const note = (message: string) => void warned.push(message);
const logger = { ...silentLogger, warn: note, error: note };
const ballast = () => join(disk, "ballast");
/** Leaves about so much free space. */
async function leaveFree(bytes: number): Promise<void> {
	rmSync(ballast(), { force: true });
	const { stdout } = await run("df", ["--output=avail", "-B1", "--", disk], { timeoutMs: 10_000 });
	writeFileSync(ballast(), new Uint8Array(Math.max(0, Number(stdout.trim().split("\n").at(-1)) - bytes)));
}
const copies = async () => {
	await cluster.converge();
	return new Set(cluster.members.map(({ up }) => JSON.stringify([up.all("user"), up.all("node"), up.appliedIndex])));
};

test("a snapshot that does not fit is refused, and taken when there is space again", async () => {
	await begin(1);
	const leader = cluster.member(1);
	await cluster.addUsers(leader, 0, 200);
	await leader.raft.compact(150);
	const member = await cluster.admit({ reserveBytes: 0, logger }, () => leaveFree(700 * KiB));
	await until(() => warned.includes("a snapshot could not be received"), 60_000);
	expect(member.replaced).toBe(0);
	await cluster.addUsers(leader, 300, 5);
	rmSync(ballast());
	await cluster.promote(member);
	expect(member.replaced).toBe(1);
	expect((await copies()).size).toBe(1);
}, 120_000);

test("a follower whose disk is full is no hindrance; it catches up, also after another start", async () => {
	await begin(2);
	const member = await cluster.join({ reserveBytes: 0, logger });
	await cluster.converge();
	for (const [round, free] of [60 * KiB, 300 * KiB, 20 * KiB].entries()) {
		await leaveFree(free);
		const { leader } = cluster;
		const other = leader === member ? cluster.member(1) : leader;
		if (leader === member) await member.raft.transferLeadership(other.id);
		await cluster.addUsers(other, 1000 * (round + 1), 250);
		expect(other.up.appliedIndex).toBeGreaterThan(member.up.appliedIndex);
		// What it answers is not older than it says.
		await member.up.readIndex().then(
			(index) => expect(member.up.appliedIndex).toBeGreaterThanOrEqual(index),
			(error) => expect(error).toMatchObject({ code: "unavailable" }),
		);
		if (round === 1) await cluster.close(member);
		rmSync(ballast());
		if (round === 1) await cluster.open(member, { reserveBytes: 0, logger });
		expect((await copies()).size).toBe(1);
	}
	expect(warned).toContain("the disk is full: committed changes wait to be applied");
}, 120_000);
