/** Two programs write to one image in turn; one of them, or all of a host, is shut out of the cluster, and the other goes on. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { type TestPool, useCeph } from "../../testing/lab/ceph-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, fails, newId } from "../conformance.ts";
import type { CephRbdDriver } from "./driver.ts";
import { volumeName } from "./names.ts";

setDefaultTimeout(120_000);
const session = useCeph();

const shutOut = "Cannot send after transport endpoint shutdown";
const done = "wrote 4096/4096 bytes";

/** QEMU's own code with the image open, as that of a VM has it; each write is on the disk when it is said to be done. */
async function openWriter(pool: Pick<TestPool, "folder" | "poolId">, driver: CephRbdDriver, id: string) {
	const { source } = await driver.attachInfo(id);
	if (source.kind !== "rbd") throw new Error("no image of RBD");
	const space = source.namespace === null ? "" : `,file.namespace=${source.namespace}`;
	const conf = `${pool.folder}/run/${pool.poolId}/ceph.conf`;
	const image = `driver=raw,file.driver=rbd,file.pool=${source.pool}${space},file.image=${source.image},file.conf=${conf},file.user=${source.user}`;
	const child = Bun.spawn(["qemu-io", "--image-opts", image], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
	let said = "";
	for (const stream of [child.stdout, child.stderr])
		void (async () => {
			for await (const part of stream) said += Buffer.from(part).toString();
		})();
	return {
		async write(seed: number): Promise<string> {
			const from = said.length;
			child.stdin.write(`write -f -P ${seed} 0 4096\n`);
			child.stdin.flush();
			return waitUntil("the write to end", 60_000, async () => {
				const answer = said.slice(from);
				if (child.exitCode !== null) throw new Error(`qemu-io has ended: ${said}`);
				return answer.includes(done) || answer.includes("failed") ? answer : undefined;
			});
		},
		async [Symbol.asyncDispose]() {
			child.kill("SIGKILL");
			await child.exited;
		},
	};
}

/** How long an address stays on the list from now on. */
async function daysLeft(address: string): Promise<number> {
	const { stdout } = await session.ceph.ceph("osd", "blocklist", "ls", "--format", "json");
	const lists: { addr: string; until: string }[][] = JSON.parse(`[${stdout.trim().replace(/\]\s*\[/g, "],[")}]`);
	const until = lists.flat().find(({ addr }) => addr === address)?.until ?? "not there";
	return (Date.parse(until.replace(/([+-]\d{2})(\d{2})$/, "$1:$2")) - Date.now()) / (24 * 3600_000);
}

const firstByte = async (driver: CephRbdDriver, id: string) => (await diskContent(driver, id))[0];

async function volumeIn(pool: TestPool, more = {}) {
	const driver = await pool.open(more);
	const id = newId();
	await driver.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
	return { driver, id };
}

/** As docs/operators-guide.md has it, for a key that takes addresses off again. */
const moreCaps = ["mon", 'profile rbd, allow command "osd blocklist"', "osd", "profile rbd", "mgr", "profile rbd"];

test("a writer is shut out, and the other one writes on", async () => {
	const pool = await session.pool();
	const { driver, id } = await volumeIn(pool);
	const key = await session.ceph.makeUser("fencer", moreCaps);
	// In the end, this one has the place of the other, and its files.
	let fencer = driver;
	expect(await driver.fencing.clients(id)).toEqual([]);
	await fails("not-found", driver.fencing.clients(newId()));
	{
		await using one = await openWriter(pool, driver, id);
		await using other = await openWriter(pool, driver, id);
		expect(await one.write(1)).toContain(done);
		expect(await other.write(2)).toContain(done);
		// The lock goes back and forth as long as both of them live.
		expect(await one.write(3)).toContain(done);
		const clients = await driver.fencing.clients(id);
		expect(clients.map(({ host, hasLock }) => [host, hasLock])).toEqual([
			["127.0.0.1", true],
			["127.0.0.1", false],
		]);
		const [owner] = clients;
		const address = owner?.address ?? "";
		expect(address).toMatch(/^127\.0\.0\.1:0\/\d+$/);
		await driver.fencing.fence(address);
		await driver.fencing.fence(address);
		expect(await driver.fencing.fenced()).toContain(address);

		expect(await one.write(4)).toContain(shutOut);
		expect(await other.write(5)).toContain(done);
		expect(await one.write(6)).toContain(shutOut);
		const left = await driver.fencing.clients(id);
		expect(left).toEqual([{ address: clients[1]?.address ?? "", host: "127.0.0.1", hasLock: true }]);
		expect(await other.write(7)).toContain(done);

		// The profile rbd puts on, and does not take off.
		expect(await fails("storage", driver.fencing.unfence(address))).toContain('allow command "osd blocklist"');
		fencer = await pool.open({ key, config: { ...pool.config, user: "fencer" } });
		await fencer.fencing.unfence(address);
		await fencer.fencing.unfence(address);
		expect(await fencer.fencing.fenced()).not.toContain(address);
		// A program that was shut out stays so.
		expect(await one.write(8)).toContain(shutOut);
	}
	await using again = await openWriter(pool, fencer, id);
	expect(await again.write(9)).toContain(done);
	await pool.close();
});

test("a volume is taken from a writer that does not answer, at once", async () => {
	const pool = await session.pool();
	const { driver, id } = await volumeIn(pool);
	const one = await openWriter(pool, driver, id);
	expect(await one.write(1)).toContain(done);
	const [owner] = await driver.fencing.clients(id);
	const address = owner?.address ?? "";
	await driver.fencing.takeFrom(id, address);
	expect(await daysLeft(address)).toBeGreaterThan(360);
	expect((await driver.fencing.clients(id)).filter(({ hasLock }) => hasLock)).toEqual([]);
	const { stdout } = await session.ceph.rbd(
		"lock",
		"ls",
		"--pool",
		"vms",
		"--namespace",
		pool.namespace,
		volumeName(id),
	);
	expect(stdout).toBe("");
	expect(await one.write(2)).toContain(shutOut);
	await one[Symbol.asyncDispose]();
	await using other = await openWriter(pool, driver, id);
	expect(await other.write(3)).toContain(done);
	await pool.close();
});

test("all of a host, by its address", async () => {
	const pool = await session.pool();
	const key = await session.ceph.makeUser("fencer", moreCaps);
	const { driver, id } = await volumeIn(pool, { key, config: { ...pool.config, user: "fencer" } });
	{
		await using one = await openWriter(pool, driver, id);
		expect(await one.write(1)).toContain(done);
		await driver.fencing.fence("127.0.0.1");
		try {
			expect(await driver.fencing.fenced()).toContain("127.0.0.1");
			expect(await one.write(2)).toContain(shutOut);
			expect(await fails("storage", driver.resizeVolume(id, 8 * MiB))).toContain("shut this node out");
		} finally {
			await driver.fencing.unfence("127.0.0.1");
		}
		expect(await driver.fencing.fenced()).not.toContain("127.0.0.1");
		expect(await one.write(3)).toContain(shutOut);
	}
	expect(await firstByte(driver, id)).toBe(1);
	expect((await driver.resizeVolume(id, 8 * MiB)).sizeBytes).toBe(8 * MiB);
	await pool.close();
});

test("what is no address never reaches Ceph", async () => {
	const pool = await session.pool();
	const driver = await pool.open();
	const before = await driver.fencing.fenced();
	for (const address of ["", "node-2", "10.0.0.0/8", "10.0.0.1:0/", "-h", "10.0.0.1:0/1 2", "[::1]", "1.2.3.4:0/0\n"])
		for (const work of [driver.fencing.fence(address), driver.fencing.unfence(address)]) await fails("invalid", work);
	expect(await driver.fencing.fenced()).toEqual(before);
	await pool.close();
});
