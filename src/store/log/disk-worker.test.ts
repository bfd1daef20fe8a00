/** What the thread says of a disk that does not keep what it took. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
	worker(() => ({ stepBytes: 2 ** 20, heldBytes: () => 0, free, shorten: () => false, makeFree() {} }));
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
