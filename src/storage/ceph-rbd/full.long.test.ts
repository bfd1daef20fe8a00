/**
 * A pool that gets full in the middle of an operation: the operation ends with no-space in time, and what it had made is gone once there is
 * room again. Full by its quota: the monitors say that some seconds after the OSDs have counted, so nothing is written meanwhile.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isAppError } from "../../lib/errors.ts";
import { startProgram } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { useCeph } from "../../testing/lab/ceph-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { note } from "../../testing/note.ts";
import { diskContent, expectSame, fails, newId, pattern, upload } from "../conformance.ts";
import type { LongOptions } from "../driver.ts";
import type { CephRbdDriver } from "./driver.ts";

setDefaultTimeout(280_000);
const session = useCeph();
/** More than the ten objects that Ceph's programs have on their way at a time. */
const sizeBytes = 96 * MiB;
const raw = { format: "raw", sizeBytes } as const;
/** What a person waits for at most. */
const patienceMs = 120_000;

type Setting = {
	driver: CephRbdDriver;
	cephPool: string;
	/** Of the node. */
	folder: string;
	/** Holds `pattern(sizeBytes)`, in the end as well. */
	volume: string;
	fresh: string;
	write(bytes: Uint8Array): Promise<void>;
	ends: AsyncDisposableStack;
};
let pools = 0;

async function isFull(cephPool: string): Promise<boolean> {
	const { stdout } = await session.ceph.ceph("osd", "pool", "ls", "detail", "--format", "json");
	const pools: { pool_name: string; flags_names: string }[] = JSON.parse(stdout);
	return pools.some((one) => one.pool_name === cephPool && one.flags_names.includes("full"));
}

/** More is stored by now than the pool may hold. */
async function setQuota(cephPool: string, bytes: number): Promise<void> {
	await session.ceph.ceph("osd", "pool", "set-quota", cephPool, "max_bytes", `${bytes}`);
	await waitUntil("the pool to be full, or not", 60_000, async () => (await isFull(cephPool)) === bytes > 0, {
		everyMs: 200,
	});
}

async function untilCounted(cephPool: string): Promise<void> {
	await waitUntil(
		"the OSDs to have counted",
		60_000,
		async () => {
			const { stdout } = await session.ceph.ceph("df", "detail", "--format", "json");
			const pools: { name: string; stats: { stored: number } }[] = JSON.parse(stdout).pools;
			return pools.some((one) => one.name === cephPool && one.stats.stored >= sizeBytes);
		},
		{ everyMs: 200 },
	);
}

/** What is on its way stands still until the monitors have said it. */
async function fill(cephPool: string): Promise<void> {
	session.ceph.freeze("osd");
	try {
		await setQuota(cephPool, MiB);
	} finally {
		session.ceph.resume("osd");
	}
}

/** Calls `fill` at the first progress, and says whether it was called. */
function filling(fill: () => Promise<void>): LongOptions & { filled(): Promise<boolean> } {
	let filled: Promise<void> | null = null;
	return {
		progress(ratio, what) {
			if (ratio === null || ratio <= 0 || ratio >= 1 || /checksum/.test(what ?? "")) return;
			filled ??= fill();
		},
		async filled() {
			await filled;
			return filled !== null;
		},
	};
}

function fullIn(
	name: string,
	prepare: (setting: Setting) => Promise<unknown>,
	act: (setting: Setting, options: LongOptions) => Promise<unknown>,
): void {
	test(`a pool that gets full in the middle of: ${name}`, async () => {
		// In the default namespace: every question about another one waits for room, too.
		const cephPool = `full-${++pools}`;
		await session.ceph.makePool(cephPool);
		await session.ceph.rbd("pool", "init", cephPool);
		const pool = await session.pool({ cephPool, namespace: null });
		// What the pool finishes by itself when it has room again may be waited for.
		const driver = await pool.open({ lockWaitMs: 60_000 });
		await using ends = new AsyncDisposableStack();
		const [volume, fresh, { folder }] = [newId(), newId(), pool];
		const write = (bytes: Uint8Array) => pool.writeDisk(driver, volume, 0, bytes);
		const setting = { driver, cephPool, folder, volume, fresh, write, ends };
		await driver.createVolume(volume, { ...raw, source: { kind: "empty" } });
		await write(pattern(sizeBytes));
		await prepare(setting);
		const images = async () => (await pool.contents()).filter((one) => !one.startsWith("object:"));
		const before = await images();
		const left = async () => (await images()).filter((one) => !before.includes(one));
		await untilCounted(cephPool);

		const options = filling(() => fill(cephPool));
		const begun = performance.now();
		await fails("no-space", act(setting, options));
		expect(await options.filled()).toBe(true);
		const ms = Math.round(performance.now() - begun);
		const until = (await left()).join(", ") || "nothing";
		note(`Ceph, full in the middle of: ${name}: no-space after ${ms} ms; left until there is room: ${until}`);
		expect(ms).toBeLessThan(patienceMs);

		await setQuota(cephPool, 0);
		await driver.check();
		await waitUntil("all that was half done to be gone", 60_000, async () => (await left()).length === 0);
		await act(setting, {});
		expectSame(await diskContent(driver, volume), pattern(sizeBytes));
		await pool.close();
	});
}

fullIn(
	"writing an image",
	({ driver, fresh }) => upload(driver, fresh, pattern(sizeBytes, 2)),
	({ driver, fresh }, options) => driver.finishImage(fresh, { format: "raw", sha256: null, ...options }),
);

fullIn(
	"writing an image of a file that was named",
	async ({ driver, fresh, folder }) => {
		const path = join(folder, "named.raw");
		await writeFile(path, pattern(sizeBytes, 2));
		await driver.importFile(fresh, path, {});
	},
	({ driver, fresh }, options) => driver.finishImage(fresh, { format: "raw", sha256: null, ...options }),
);

fullIn(
	"writing an image of a volume",
	async () => {},
	async ({ driver, volume, fresh }, options) => {
		// Into the folder of the node: that only reads.
		await driver.imageFromVolume(fresh, volume, {});
		return driver.finishImage(fresh, { format: "qcow2", sha256: null, ...options });
	},
);

fullIn(
	"setting a volume back",
	async ({ driver, volume, fresh, write }) => {
		await driver.snapshots.take(volume, fresh, { running: false });
		await write(pattern(sizeBytes, 3));
	},
	({ driver, volume, fresh }, options) =>
		driver.snapshots.revert(volume, fresh, options).catch(async (error) => {
			// Neither what it was nor what it will be. In a full pool the image may not even be looked at.
			const opened = await driver.openVolume(volume).then(
				() => "open",
				(failure: unknown) => (isAppError(failure) ? failure.code : failure),
			);
			expect(opened).toBeOneOf(["wrong-state", "timeout"]);
			throw error;
		}),
);

fullIn(
	"copying a volume in full",
	async () => {},
	({ driver, volume, fresh }, options) =>
		driver.createVolume(fresh, { ...raw, source: { kind: "volume", id: volume, fullCopy: true }, ...options }),
);

fullIn(
	"making a copy stand alone",
	({ driver, volume, fresh }) =>
		driver.createVolume(fresh, { ...raw, source: { kind: "volume", id: volume, fullCopy: false } }),
	({ driver, fresh }, options) => driver.flattenVolume(fresh, options),
);

/** As a running VM has it: with the image's lock, and without a time limit. */
async function heldByQemu({ cephPool, fresh, ends }: Setting): Promise<void> {
	const conf = `file.conf=${session.ceph.folder}/ceph.conf,file.user=admin`;
	const image = `driver=raw,file.driver=rbd,file.pool=${cephPool},file.image=lqx-vol-${fresh},${conf}`;
	const args = ["--image-opts", "-c", "write 0 4k", "-c", `sleep ${900_000}`, "--", image];
	const program = await startProgram("qemu-io", args, { user: null });
	ends.defer(async () => {
		program.kill();
		await program.ended;
	});
	await waitUntil("QEMU to have the lock", 20_000, async () => {
		const { stdout } = await session.ceph.rbd("lock", "ls", "--pool", cephPool, `lqx-vol-${fresh}`);
		return stdout.includes("auto");
	});
}

fullIn(
	"making a copy stand alone that a running VM has open",
	async (setting) => {
		const { driver, volume, fresh } = setting;
		await driver.createVolume(fresh, { ...raw, source: { kind: "volume", id: volume, fullCopy: false } });
		await heldByQemu(setting);
	},
	({ driver, fresh }, options) => driver.flattenVolume(fresh, options),
);

fullIn(
	"receiving a volume",
	async () => {},
	async ({ driver, volume, fresh }, options) =>
		driver.receiveVolume(fresh, await driver.readVolume(volume, {}), options),
);
