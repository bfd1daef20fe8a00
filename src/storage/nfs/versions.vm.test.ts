/** The everyday of a pool in each version of NFS, root squashed and not, hard and soft; several pools on one server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chown, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { everyday } from "../../testing/lab/everyday.ts";
import { nfsDriver, nfsMounts } from "../../testing/lab/nfs/nfs-pool.ts";
import { type LabHost, makeHost } from "../../testing/lab/storage-vm/inside/lab-network.ts";
import { startLocksOfClients } from "../../testing/lab/storage-vm/inside/nfs-client.ts";
import { type NfsServer, startNfsServer } from "../../testing/lab/storage-vm/inside/nfs-server.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { note } from "../../testing/note.ts";
import { diskContent, expectSame, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import type { NfsDriver } from "./driver.ts";
import { qemuUser } from "./qemu-user.ts";

// As the service has it: what others must pass through is opened by name.
process.umask(0o077);
const limitMs = 240_000;
const exports = { squashed: "/data/squashed", plain: "/data/plain" } as const;
let host: LabHost;
let server: NfsServer;

beforeAll(async () => {
	host = await makeHost("server", ["10.88.0.2"]);
	server = await startNfsServer(host, [
		{ path: exports.squashed, options: "root_squash" },
		{ path: exports.plain, options: "no_root_squash" },
	]);
	await startLocksOfClients();
	const user = await qemuUser();
	if (user) await chown(exports.squashed, user.uid, user.gid);
}, 90_000);
afterAll(async () => {
	await server[Symbol.asyncDispose]();
	await host[Symbol.asyncDispose]();
}, 60_000);

const pool = (path: string, more: Parameters<typeof nfsDriver>[1]) =>
	nfsDriver(path, { server: server.address, ...more });
const mountLine = async (poolId: string): Promise<string> =>
	(await readFile("/proc/self/mountinfo", "utf8")).split("\n").find((line) => line.includes(`/${poolId}/`)) ?? "";

for (const { version, root, options } of [
	{ version: "3", root: "squashed", options: [] },
	{ version: "4.0", root: "squashed", options: [] },
	{ version: "4.1", root: "plain", options: [] },
	{ version: "4.2", root: "plain", options: ["soft", "timeo=100", "retrans=2"] },
] as const)
	test(
		`NFS ${version}, root ${root}${options.length > 0 ? ", soft" : ""}: a day, and freed space`,
		async () => {
			const poolId = newId();
			const driver = pool(exports[root], { version, poolId, folder: `day-${version}`, mountOptions: [...options] });
			try {
				await driver.activate();
				const mounted = await mountLine(poolId);
				expect(mounted).toContain(`vers=${version},`);
				expect(mounted).toContain(options.length > 0 ? ",soft," : ",hard,");
				// The next daemon finds it mounted as it wants it, whatever the kernel and the server have made of the options.
				const again = pool(exports[root], { version, poolId, folder: `day-${version}`, mountOptions: [...options] });
				await again.activate();
				expect((await again.check()).warning).toBeUndefined();
				await again.end();
				const user = root === "squashed" ? await qemuUser() : null;
				note(`NFS ${version}, root ${root}: ${await everyday(driver, { user })}`);
				await discards(driver, version, user);
				await driver.remove();
			} finally {
				await driver.deactivate();
			}
			expect(await readdir(exports[root])).toEqual([]);
			expect(await nfsMounts()).toEqual([]);
		},
		limitMs,
	);

/** With 4.2 the server has the space again; with others it has not, and the pool says why. */
async function discards(driver: NfsDriver, version: string, user: { uid: number; gid: number } | null): Promise<void> {
	const id = newId();
	await driver.createVolume(id, { format: "raw", sizeBytes: 16 * MiB, source: { kind: "empty" } });
	await writeDisk(driver, id, 0, pattern(8 * MiB), user);
	const allocated = async () => (await driver.getVolume(id))?.allocatedBytes ?? 0;
	expect(await allocated()).toBeGreaterThanOrEqual(8 * MiB);
	const file = sourceName((await driver.attachInfo(id)).source);
	const discard = ["qemu-io", "-f", "raw", "-d", "unmap", "-c", `discard 0 ${8 * MiB}`, "--", file];
	const as = user === null ? [] : ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"];
	const [program = "", ...args] = [...as, ...discard];
	await run(program, args, { timeoutMs: 20_000, okExitCodes: [0, 1] });
	const { reasons } = driver.capabilities;
	if (version === "4.2") {
		expect(reasons.discard).toBeUndefined();
		await waitUntil("the space to be free", 20_000, async () => (await allocated()) < MiB);
	} else {
		expect(reasons.discard).toContain(version);
		// Kernel attributes are at most some seconds old: what the server itself says counts.
		expect(await allocated()).toBeGreaterThanOrEqual(8 * MiB);
	}
	await driver.deleteVolume(id);
}

test(
	"pools of one server beside each other, each in its own version and way: one leaves, the others stay",
	async () => {
		const ways = [
			{ version: "3", mountOptions: [] },
			{ version: "4.1", mountOptions: [] },
			{ version: "4.2", mountOptions: [] },
			{ version: "4.2", mountOptions: ["soft"] },
			{ version: null, mountOptions: ["noatime"] },
		] as const;
		const pools = ways.map(({ version, mountOptions }, at) =>
			pool(exports.plain, { version, folder: `beside-${at}`, mountOptions: [...mountOptions] }),
		);
		try {
			for (const driver of pools) await driver.activate();
			expect(await nfsMounts()).toHaveLength(pools.length);
			// What nobody said is the newest.
			expect(pools.at(-1)?.capabilities.reasons.discard).toBeUndefined();
			const ids = pools.map(() => newId());
			const volume = { format: "raw", sizeBytes: MiB, source: { kind: "empty" } } as const;
			await Promise.all(pools.map((driver, at) => driver.createVolume(ids[at] ?? "", volume)));
			for (const [at, driver] of pools.entries()) await writeDisk(driver, ids[at] ?? "", 0, pattern(4096, at));
			for (const [at, driver] of pools.entries()) {
				expect((await driver.listVolumes()).map(({ id }) => id)).toEqual([ids[at] ?? ""]);
				expectSame((await diskContent(driver, ids[at] ?? "")).subarray(0, 4096), pattern(4096, at));
				await driver.deleteVolume(ids[at] ?? "");
				await driver.remove();
				for (const other of pools.slice(at + 1)) await other.check();
			}
			expect(await nfsMounts()).toEqual([]);
			expect(await readdir(exports.plain)).toEqual([]);
		} finally {
			for (const driver of pools) await driver.deactivate();
		}
	},
	limitMs,
);

test(
	"soft: a server that hangs is an error for who waits for it, and the pool works when it does",
	async () => {
		const mountOptions = ["soft", "timeo=20", "retrans=1"];
		const driver = pool(exports.plain, { version: "4.2", folder: "soft", mountOptions });
		try {
			await driver.activate();
			const id = newId();
			await driver.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
			const file = sourceName((await driver.attachInfo(id)).source);
			await server.hang();
			// As QEMU writes: past the page cache. It ends by itself, which it would not when the mount were hard.
			const write = ["-t", "none", "-f", "raw", "-c", "write 0 64k", "--", file];
			const [written, checked, looked] = await Promise.all([
				run("qemu-io", write, { timeoutMs: 60_000, okExitCodes: [0, 1] }),
				driver.check().catch((error: unknown) => error),
				driver.getVolume(id).catch((error: unknown) => error),
			]);
			expect(`${written.exitCode} ${written.stdout}${written.stderr}`).toMatch(/^1 .*(Input\/output error|timed out)/s);
			for (const error of [checked, looked]) expect(isAppError(error) && error.code).toMatch(/^(timeout|storage)$/);
			await server.resume();
			await waitUntil("the pool to be back", 60_000, async () =>
				driver.check().then(
					() => true,
					() => false,
				),
			);
			await writeDisk(driver, id, 0, pattern(4096));
			expectSame((await diskContent(driver, id)).subarray(0, 4096), pattern(4096));
			await driver.deleteVolume(id);
			await driver.remove();
			expect(await nfsMounts()).toEqual([]);
		} finally {
			await server.resume();
			await driver.deactivate();
			await rm(join(exports.plain, "soft"), { recursive: true, force: true });
		}
	},
	limitMs,
);
