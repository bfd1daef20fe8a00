/** What the thread says of a disk that does not keep what it took. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { ballastFile } from "../ballast-file.ts";
import { WorkerClient } from "../worker-client.ts";
import { diskWorker } from "./disk-worker.ts";

let directory: string;
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "limiquantix-sync-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** The thread, where every sync finds the disk full, and there is no ballast. */
function onFullDisk(worker: typeof diskWorker): void {
	const fs = process.getBuiltinModule("node:fs");
	const full = () => {
		throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
	};
	Object.assign(fs, { fsyncSync: full, fdatasyncSync: full });
	const free = () => ({ ownBytes: 2 ** 40, othersBytes: 2 ** 40 });
	const none = {
		isOurs: () => false,
		heldOf: () => 0,
		heldBytes: () => 0,
		isHollow: () => false,
		shorten: () => false,
		makeFree() {},
	};
	worker(() => ({ stepBytes: 2 ** 20, free, ...none }));
}

/** The thread, whose quota is used up until a step of the ballast is given up. Others take the first two that are. */
function atQuota(worker: typeof diskWorker): void {
	const fs = process.getBuiltinModule("node:fs");
	let isGivenUp = false;
	let stolen = 0;
	const { openSync, writeSync } = fs;
	const within = () => {
		if (!isGivenUp) throw Object.assign(new Error("disk quota exceeded"), { code: "EDQUOT" });
	};
	Object.assign(fs, {
		openSync(...args: Parameters<typeof openSync>) {
			within();
			return openSync(...args);
		},
		writeSync(...args: Parameters<typeof writeSync>) {
			within();
			isGivenUp = false;
			return writeSync(...args);
		},
	});
	const shorten = () => {
		if (isGivenUp) return false;
		isGivenUp = ++stolen > 2;
		return true;
	};
	const free = () => ({ ownBytes: 2 ** 40, othersBytes: 2 ** 40 });
	const none = { isOurs: () => false, heldOf: () => 0, heldBytes: () => 0, isHollow: () => false, makeFree() {} };
	worker(() => ({ stepBytes: 2 ** 20, free, shorten, ...none }));
}

test("no space in a sync, of a file or of the folder, is a failure, and not a full disk", async () => {
	const worker = new WorkerClient(onFullDisk, diskWorker);
	const codeOf = (operation: string, args: object) =>
		worker.call(operation, args).then(
			() => "no error",
			(error: { code: string }) => error.code,
		);
	await worker.call("start", { directory, sync: true, ballast: null });
	const { handle } = (await worker.call("open", { name: "a", create: true })) as { handle: number };
	const data = new Uint8Array(8);
	expect(await codeOf("append", { handle, offset: 0, data, keepFreeBytes: 0, urgency: "essential", sync: true })).toBe(
		"ESYNC",
	);
	expect(await codeOf("sync", { handle })).toBe("ESYNC");
	expect(await codeOf("syncDirectory", {})).toBe("ESYNC");
	worker.close();
});

test("a quota that is used up is a full disk, too: what has to be written is written in the place of the ballast", async () => {
	const worker = new WorkerClient(atQuota, diskWorker);
	await worker.call("start", { directory, sync: false, ballast: null });
	const { handle } = (await worker.call("open", { name: "a", create: true })) as { handle: number };
	const data = new Uint8Array(8);
	for (const offset of [0, 8])
		await worker.call("append", { handle, offset, data, keepFreeBytes: 0, urgency: "essential", sync: false });
	expect(statSync(join(directory, "a")).size).toBe(16);
	worker.close();
});

/** The thread with its ballast, on a disk where nothing is ever free. */
const onCrowdedDisk = Object.assign(() => {}, {
	toString: () => `(openBallast) => {
		const fs = process.getBuiltinModule("node:fs");
		Object.assign(fs, { statfsSync: () => ({ type: 0, bsize: 1, bavail: 0, bfree: 0 }) });
		(${diskWorker.toString()})(openBallast);
	}`,
});

test("a ballast that is deleted is not counted on any more: nothing is written in its place before there is one again", async () => {
	const path = join(directory, "ballast");
	const write = () => writeFileSync(path, new Uint8Array(3 * MiB).fill(1), { flush: true });
	write();
	const worker = new WorkerClient(onCrowdedDisk, ballastFile);
	await worker.call("start", { directory, sync: false, ballast: { path, reserveBytes: 3 * MiB } });
	const { handle } = (await worker.call("open", { name: "log", create: true })) as { handle: number };
	const append = (offset: number) =>
		worker
			.call("append", {
				handle,
				offset,
				data: new Uint8Array(8),
				keepFreeBytes: MiB,
				urgency: "essential",
				sync: false,
			})
			.then(
				() => "written",
				(error: { code: string }) => error.code,
			);
	expect([await append(0), statSync(path).size]).toEqual(["written", 2 * MiB]);
	rmSync(path);
	expect([await append(8), existsSync(path), statSync(join(directory, "log")).size]).toEqual(["ENOSPC", false, 8]);
	write();
	expect([await append(8), await append(16), await append(24)]).toEqual(["written", "written", "ENOSPC"]);
	expect([statSync(path).size, statSync(join(directory, "log")).size]).toEqual([MiB, 24]);
	worker.close();
});
