/** For the tests of the ceph-rbd driver: one Ceph for a file of tests, and pools of ours in namespaces of its pool. */
import { afterAll, beforeAll } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import type { CephRbdPoolConfig } from "../../model/pool-config.ts";
import { CephRbdDriver, type CephRbdDriverOptions } from "../../storage/ceph-rbd/driver.ts";
import { newId, sha256 } from "../../storage/conformance.ts";
import type { StorageDriver } from "../../storage/driver.ts";
import { type LabCeph, startCeph } from "./ceph.ts";

const limitMs = 240_000;
export const cephPool = "vms";
export const nodeId = "01890000-0000-7000-8000-0000000000ee";

export type TestPool = {
	poolId: string;
	namespace: string;
	config: CephRbdPoolConfig;
	/** Of the node: run folder, staging folder, files to import. */
	folder: string;
	driver(more?: Partial<CephRbdDriverOptions>): CephRbdDriver;
	/** Activated. */
	open(more?: Partial<CephRbdDriverOptions>): Promise<CephRbdDriver>;
	writeDisk(driver: StorageDriver, id: string, position: number, bytes: Uint8Array): Promise<void>;
	/** Of an image of RBD, as a word that tells it from others. */
	content(image: string): Promise<string>;
	/** All that is in the namespace, whoever made it: images with their snapshots, Ceph's trash, objects beside them. */
	contents(): Promise<string[]>;
	/** An image of RBD that somebody else has made. */
	placeForeign(name: string): Promise<void>;
	/** Removes what is in it, and the folder. */
	close(): Promise<void>;
};

export type CephSession = {
	readonly ceph: LabCeph;
	readonly userKey: string;
	/** A namespace of its own for each test, which nothing is in. */
	pool(change?: Partial<CephRbdPoolConfig>): Promise<TestPool>;
};

/** Call it at the top of the file. */
export function useCeph(): CephSession {
	let ceph: LabCeph | undefined;
	let userKey = "";
	let number = 0;
	beforeAll(async () => {
		ceph = await startCeph();
		await ceph.makePool(cephPool);
		await ceph.rbd("pool", "init", cephPool);
		userKey = await ceph.makeUser("tester", ["mon", "profile rbd", "osd", "profile rbd", "mgr", "profile rbd"]);
	}, limitMs);
	afterAll(async () => {
		await ceph?.stop();
	}, limitMs);
	const session: CephSession = {
		get ceph() {
			return present(ceph, "the cluster");
		},
		get userKey() {
			return userKey;
		},
		async pool(change = {}) {
			number += 1;
			const namespace = `test-${number}`;
			await session.ceph.rbd("namespace", "create", `${cephPool}/${namespace}`);
			const folder = await mkdtemp(join(tmpdir(), "lqx-rbd-"));
			return testPool(session, namespace, folder, change);
		},
	};
	return session;
}

function testPool(
	session: CephSession,
	namespace: string,
	folder: string,
	change: Partial<CephRbdPoolConfig>,
): TestPool {
	const { ceph } = session;
	const poolId = newId();
	const config = { monitors: ceph.monitors, user: "tester", cephPool, namespace, dataPool: null, ...change };
	const opened: CephRbdDriver[] = [];
	const driver = (more: Partial<CephRbdDriverOptions> = {}) => {
		const options = {
			random: systemRandom,
			clock: systemClock,
			log: silentLogger,
			protectedPaths: [],
			lockWaitMs: 4000,
		};
		const folders = { runFolder: join(folder, "run"), stagingFolder: join(folder, "staging") };
		const made = new CephRbdDriver({
			...options,
			...folders,
			nodeId,
			poolId,
			config,
			opensNamespaces: true,
			key: session.userKey,
			...more,
		});
		opened.push(made);
		return made;
	};
	const where = ["--pool", config.cephPool, ...(config.namespace === null ? [] : ["--namespace", config.namespace])];
	return {
		...{ poolId, namespace, config, folder, driver },
		async open(more) {
			const made = driver(more);
			await made.activate();
			return made;
		},
		async writeDisk(writer, id, position, bytes) {
			const { source } = await writer.attachInfo(id);
			if (source.kind !== "rbd") throw new Error("no image of RBD");
			const file = join(folder, `content-${newId()}`);
			await writeFile(file, bytes);
			const space = source.namespace === null ? "" : `,file.namespace=${source.namespace}`;
			const image = `file.pool=${source.pool}${space},file.image=${source.image}`;
			const options = `driver=raw,file.driver=rbd,${image},file.conf=${join(folder, "run", poolId, "ceph.conf")},file.user=tester`;
			const command = `write -s ${file} ${position} ${bytes.length}`;
			await run("qemu-io", ["--image-opts", "-c", command, "--", options], { timeoutMs: 20_000 });
			await rm(file);
		},
		async content(image) {
			const { stdout } = await ceph.rbd("export", "--no-progress", ...where, image, "-");
			return sha256(new TextEncoder().encode(stdout));
		},
		async contents() {
			const list = async (args: string[]) => (await ceph.rbd(...args, ...where)).stdout.split("\n").filter(Boolean);
			const images = await list(["ls"]);
			const snapshots: string[] = [];
			for (const image of images) {
				const listing = ceph.rbd("snap", "ls", "--all", "--format", "json", ...where, image);
				const { stdout } = await listing.catch(async (error) => {
					// It was deleted meanwhile.
					if ((await list(["ls"])).includes(image)) throw error;
					return { stdout: "[]" };
				});
				for (const { name } of JSON.parse(stdout)) snapshots.push(`${image}@${name}`);
			}
			const trash = (await list(["trash", "ls", "--all"])).map((line) => `trash: ${line}`);
			const { stdout } = await ceph.rados(...where, "ls");
			const objects = stdout.split("\n").filter((name) => /^(limiquantix|lqx|rbd_id\.|rbd_header|rbd_data)/.test(name));
			return [
				...images,
				...snapshots,
				...trash,
				...objects.map((name) => `object: ${name.replace(/\.[0-9a-f]{16}$/, "")}`),
			];
		},
		async placeForeign(name) {
			await ceph.rbd("create", ...where, "--size", "1M", "--", name);
		},
		async close() {
			for (const one of opened) await one.deactivate();
			await rm(folder, { recursive: true, force: true });
		},
	};
}
