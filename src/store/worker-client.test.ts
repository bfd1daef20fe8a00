/** The disk workers run from an executable, too, wherever it lies. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../lib/run.ts";
import { ballastFile } from "./ballast-file.ts";
import { diskWorker } from "./log/disk-worker.ts";
import { WorkerClient } from "./worker-client.ts";

test("a compiled, minified executable has its workers in it", async () => {
	const folder = mkdtempSync(join(tmpdir(), "limiquantix-worker-"));
	try {
		const source = join(folder, "main.ts");
		writeFileSync(
			source,
			`import { openStore } from ${JSON.stringify(join(import.meta.dir, "open-store.ts"))};
			import { systemClock } from ${JSON.stringify(join(import.meta.dir, "../lib/clock.ts"))};
			import { silentLogger } from ${JSON.stringify(join(import.meta.dir, "../lib/log.ts"))};
			import { proposer } from ${JSON.stringify(join(import.meta.dir, "proposer.ts"))};
			import { fixtureCluster } from ${JSON.stringify(join(import.meta.dir, "../testing/fixtures.ts"))};
			import { loneNode } from ${JSON.stringify(join(import.meta.dir, "../testing/store-identity.ts"))};
			const store = await openStore({ ...loneNode, dataDir: process.argv[2], clock: systemClock, logger: silentLogger, fsync: true, onFatal: () => process.exit(3) });
			await proposer(store, systemClock, { newId: () => "00000000-0000-7000-8000-0000000000ff" }).proposeSystem(fixtureCluster());
			const { index } = await store.snapshot(process.argv[2] + "/backup.db");
			await store.close();
			console.log("snapshot", index);`,
		);
		const binary = join(folder, "program");
		const limit = { timeoutMs: 60_000 };
		await run(process.execPath, ["build", "--compile", "--minify", source, "--outfile", binary], {
			...limit,
			cwd: folder,
		});
		const { stdout } = await run(binary, [join(folder, "data")], { ...limit, cwd: "/" });
		expect(stdout).toBe("snapshot 2\n");
	} finally {
		rmSync(folder, { recursive: true });
	}
}, 120_000);

test("errors come back with their code, and a closed worker answers nothing", async () => {
	const worker = new WorkerClient(diskWorker, ballastFile);
	await expect(worker.call("close", { handle: 12_345 })).rejects.toMatchObject({ code: "EBADF" });
	await expect(worker.call("no-such-call", {})).rejects.toMatchObject({ name: "WorkerError", code: null });
	worker.close();
	await expect(worker.call("list", {})).rejects.toMatchObject({ code: "unavailable" });
});
