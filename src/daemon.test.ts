/** Two daemons and what they could take from each other: the run folder and the port. No libvirt is needed. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, loadConfig } from "./config.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { type Logger, silentLogger } from "./lib/log.ts";
import { run } from "./lib/run.ts";

const running: Daemon[] = [];
const folders: string[] = [];
afterEach(async () => {
	await Promise.all(running.splice(0).map((daemon) => daemon.stop()));
	for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function newFolder(): string {
	const folder = mkdtempSync(join(tmpdir(), "lqx-daemon-"));
	folders.push(folder);
	return folder;
}

function settings(runDir: string, port: number): Config {
	const folder = newFolder();
	const noLibvirt = `qemu+unix:///system?socket=${join(folder, "no-libvirt")}`;
	return loadConfig(
		[
			...[
				"--data-dir",
				join(folder, "data"),
				"--run-dir",
				runDir,
				"--listen",
				`127.0.0.1:${port}`,
				"--peer-listen",
				"127.0.0.1:0",
			],
			...["--insecure-http", "--no-fsync", "--accelerator", "tcg", "--libvirt", noLibvirt],
		],
		{},
	);
}

async function start(config: Config, logger: Logger = silentLogger): Promise<Daemon> {
	const daemon = await startDaemon(config, logger, () => {
		throw new Error("nothing here begins anew");
	});
	running.push(daemon);
	return daemon;
}

const statusAt = async (unix: string): Promise<number> => (await fetch("http://localhost/v1/me", { unix })).status;

test("a node that runs with settings for tests says so in its log, with what that risks", async () => {
	const warnings: unknown[] = [];
	const logger = { ...silentLogger, warn: (message: string, fields: unknown) => void warnings.push([message, fields]) };
	await start(settings(newFolder(), 0), logger);
	expect(warnings).toContainEqual([
		"settings for tests only are in use",
		{ testSettings: ["no-fsync"], risk: expect.stringContaining("not flushed") },
	]);
});

test("a node with another data folder does not take the root socket of the run folder", async () => {
	const runDir = newFolder();
	const socket = join(runDir, "limiquantix.sock");
	await start(settings(runDir, 0));
	const { ino } = statSync(socket);
	await expect(start(settings(runDir, 0))).rejects.toMatchObject({
		code: "in-use",
		message: expect.stringContaining("Another node uses the run folder"),
	});
	expect(statSync(socket).ino).toBe(ino);
	expect(await statusAt(socket)).toBe(200);
});

test("a node that cannot have its port leaves the run folder as it was", async () => {
	const first = await start(settings(newFolder(), 0));
	const runDir = newFolder();
	await expect(start(settings(runDir, Number(new URL(first.url).port)))).rejects.toMatchObject({ code: "unavailable" });
	expect(existsSync(join(runDir, "limiquantix.sock"))).toBe(false);
});

test("a backup, taken by root on the node and by nobody else, becomes the state of another folder", async () => {
	const runDir = newFolder();
	const unix = join(runDir, "limiquantix.sock");
	const config = settings(runDir, 0);
	const daemon = await start(config);
	const change = { method: "PATCH", body: JSON.stringify({ name: "kept" }), unix };
	await fetch("http://localhost/v1/cluster", { ...change, headers: { "content-type": "application/json" } });

	const credentials = {
		username: "admin",
		password: readFileSync(join(config.dataDir, "initial-admin-password"), "utf8").trim(),
	};
	const session = await fetch(`${daemon.url}/v1/sessions`, {
		...{ method: "POST", body: JSON.stringify(credentials) },
		headers: { "content-type": "application/json" },
	});
	const { token } = (await session.json()) as { token: string };
	const refused = await fetch(`${daemon.url}/v1/cluster/backup`, { headers: { authorization: `Bearer ${token}` } });
	expect([refused.status, await refused.json()]).toMatchObject([403, { code: "forbidden" }]);

	const backup = join(runDir, "backup.db");
	await Bun.write(backup, await fetch("http://localhost/v1/cluster/backup", { unix }).then((answer) => answer.bytes()));
	const main = join(import.meta.dir, "main.ts");
	const restore = (folder: string) =>
		run(process.execPath, [main, "cluster", "restore", backup, "--data-dir", folder], {
			timeoutMs: 20_000,
			okExitCodes: [0, 1],
		});
	expect(await restore(config.dataDir)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("is in use") });
	await running.pop()?.stop();
	expect(await restore(config.dataDir)).toMatchObject({
		exitCode: 1,
		stderr: expect.stringContaining("holds a state already"),
	});
	const other = settings(runDir, 0);
	expect(await restore(other.dataDir)).toMatchObject({ exitCode: 0, stderr: "" });
	await start(other);
	const cluster = await fetch("http://localhost/v1/cluster", { unix });
	expect(await cluster.json()).toMatchObject({ name: "kept" });
});
