/** Damaged state, a second daemon, a full disk: the node refuses or fails with a reason, and loses nothing. */
import { expect, test } from "bun:test";
import {
	cpSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { assert, present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { executablePath, prepareLabDaemon } from "../lab/daemon.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { startMountNamespace } from "../lab/mount-namespace.ts";
import { flipText } from "../store-folder.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";

const limitMs = 120_000;
const at = (id: string) => ({ path: { id } });

test(
	"a second daemon on the same data folder is refused and the first goes on",
	async () => {
		await using system = await startLabSystem({ name: "second" });
		const { daemon, libvirtd } = system;
		const folder = join(daemon.dataDir, "..");
		const elsewhere = mkdtempSync("/tmp/lqx-second-");
		try {
			const second = prepareLabDaemon({ libvirtUri: libvirtd.uri, folder });
			const refused = await second.startRefused();
			expect(refused.exitCode).toBe(1);
			expect(refused.said).toContain(`The data folder ${daemon.dataDir} is in use by another LimiQuantix daemon`);
			expect(refused.said).toContain(`process ${daemon.pid}`);
			const otherRun = prepareLabDaemon({ libvirtUri: libvirtd.uri, folder, arguments: ["--run-dir", elsewhere] });
			expect((await otherRun.startRefused()).exitCode).toBe(1);
			expect((await system.api.call("clusterUpdate", { body: { name: "still-here" } })).body.name).toBe("still-here");
		} finally {
			rmSync(elsewhere, { recursive: true });
		}
	},
	limitMs,
);

test(
	"a damaged log or state is refused with what to do, nothing is changed, and put right it has everything",
	async () => {
		await using system = await startLabSystem({ name: "damage" });
		const { api, daemon } = system;
		for (let number = 1; number <= 20; number++)
			await api.call("vmCreate", { body: { name: `vm-${number}`, start: false, nics: [] } });
		const query = { limit: 100 };
		const names = async () => (await api.call("vmList", { query })).body.items.map((vm) => vm.name).sort();
		const before = await names();
		expect(before).toHaveLength(20);
		await daemon.term();

		const raft = join(daemon.dataDir, "raft");
		const segment = join(
			raft,
			present(
				readdirSync(raft).find((name) => name.endsWith(".log")),
				"a segment",
			),
		);
		const state = join(daemon.dataDir, "state.db");
		const harms: { what: string; harm: () => void; says: RegExp }[] = [
			{
				what: "a flipped bit in the log",
				harm: () => flip(segment, 0.5),
				says: /log is damaged at byte \d+.*put the log back from a copy/,
			},
			{
				what: "no log",
				harm: () => rmSync(raft, { recursive: true }),
				says: /log is missing.*Put the log's folder, raft\/, back/,
			},
			{
				what: "a flipped bit in a row of the state",
				harm: () => flipText(state, '"name":"vm-7"'),
				says: /state\.db is damaged \((its rows are not those|a column of vm is not what its row).*Move .*state\.db and the files/,
			},
			{
				what: "a page of zeros in the state",
				harm: () => zero(state, 4096),
				says: /state\.db is damaged.*Move .*state\.db and the files/,
			},
			{
				what: "text instead of the state",
				harm: () => writeFileSync(state, "not a database"),
				says: /state\.db is damaged.*Move .*state\.db and the files/,
			},
		];
		for (const { what, harm, says } of harms) {
			const copy = copyState(daemon.dataDir);
			harm();
			const harmed = logOf(daemon.dataDir);
			const refused = await daemon.startRefused();
			expect({ what, exitCode: refused.exitCode }).toEqual({ what, exitCode: 1 });
			const lastLine = refused.said.trimEnd().split("\n").at(-1) ?? "";
			expect(lastLine).toStartWith("limiquantix: ");
			expect(lastLine).toMatch(says);
			expect(lastLine).toContain("Nothing was changed");
			expect(logOf(daemon.dataDir)).toEqual(harmed);
			putBack(copy, daemon.dataDir);
			await daemon.start();
			expect(await names()).toEqual(before);
			await daemon.term();
		}

		// As it is advised: the state is made again from the log.
		flipText(state, '"name":"vm-7"');
		expect((await daemon.startRefused()).exitCode).toBe(1);
		for (const name of readdirSync(daemon.dataDir).filter((file) => file.startsWith("state.db")))
			rmSync(join(daemon.dataDir, name));
		await daemon.start();
		expect(await names()).toEqual(before);
		// A record that was cut off while it was written was never acknowledged.
		await system.ready();
		const { body: last } = await api.call("vmCreate", { body: { name: "last", start: false, nics: [] } });
		await system.vm(last.id);
		await daemon.kill9();
		const newest = join(
			raft,
			present(
				readdirSync(raft)
					.filter((name) => name.endsWith(".log"))
					.sort()
					.at(-1),
				"a segment",
			),
		);
		writeFileSync(newest, Buffer.from("0000004a00", "hex"), { flag: "a" });
		await daemon.start();
		expect(await names()).toEqual([...before, "last"].sort());
	},
	limitMs,
);

test(
	"a node whose log is lost goes back to a backup that was made while it ran",
	async () => {
		await using system = await startLabSystem({ name: "backup" });
		const { api, daemon } = system;
		const command = (...words: string[]) =>
			run(executablePath, words, { timeoutMs: 30_000, okExitCodes: [0, 1], environment: { PATH: "/usr/bin:/bin" } });
		const { body: kept } = await api.call("vmCreate", { body: { name: "kept", start: false, nics: [] } });
		const folder = mkdtempSync("/tmp/lqx-backup-");
		try {
			const backup = join(folder, "state.db");
			expect(await command("cluster", "backup", backup, "--unsealed", "--run-dir", daemon.runDir)).toMatchObject({
				exitCode: 0,
			});
			await api.call("vmCreate", { body: { name: "lost", start: false, nics: [] } });
			await daemon.kill9();
			rmSync(join(daemon.dataDir, "raft"), { recursive: true });
			expect((await daemon.startRefused()).said).toContain("limiquantix cluster restore FILE --data-dir FOLDER");

			const restore = () => command("cluster", "restore", backup, "--data-dir", daemon.dataDir);
			expect(await restore()).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("holds a state already") });
			for (const name of stateNames(daemon.dataDir)) rmSync(join(daemon.dataDir, name), { recursive: true });
			expect(await restore()).toMatchObject({ exitCode: 0 });
			await daemon.start();
			await system.ready();
			const { items } = (await api.call("vmList", { query: {} })).body;
			expect(items.map((vm) => vm.name)).toEqual(["kept"]);
			await system.done(await api.call("vmDelete", at(kept.id)));
		} finally {
			rmSync(folder, { recursive: true });
		}
	},
	limitMs,
);

test(
	"a disk that is full during imports fails them with the reason, leaves nothing, and goes on when there is room",
	async () => {
		const mounts = await startMountNamespace();
		const folder = mkdtempSync("/tmp/lqx-full-");
		try {
			const root = join(folder, "small");
			mkdirSync(root);
			await mounts.mountMemory(root, 64 * MiB);
			await using system = await startLabSystem({ name: "full", folder, prefix: mounts.prefix });
			const { api } = system;
			const pool = await api.call("poolCreate", { body: { name: "small", type: "local", config: { path: root } } });
			await system.done(pool);
			await system.ready();
			const poolId = pool.body.id;
			const files = async () => (await mounts.run("find", [root, "-type", "f"])).trim().split("\n").sort();
			const clean = await files();

			const big = join(folder, "big.raw");
			writeBlocks(big, 96);
			const fails = async (answer: { taskLocation: string | null; body: { id: string } }) => {
				const task = await system.finished(answer.taskLocation);
				expect([task.state, task.error?.code]).toEqual(["failed", "no-space"]);
				expect(task.error?.message).toMatch(/space|full/);
				const { body: image } = await api.call("imageGet", at(answer.body.id));
				expect([image.phase, image.error?.code]).toEqual(["error", "no-space"]);
				await system.done(await api.call("imageDelete", at(answer.body.id)));
				expect(await files()).toEqual(clean);
			};
			const source = { kind: "path", path: big } as const;
			await fails(await api.call("imageCreate", { body: { name: "by-path", format: "raw", poolId, source } }));

			const upload = (name: string, fileSizeBytes: number) =>
				api.call("imageCreate", {
					body: { name, format: "raw", poolId, source: { kind: "upload" }, fileSizeBytes },
				});
			expect(await failureOf(upload("refused", statSync(big).size))).toMatchObject({ code: "no-space" });
			// Each fits; both do not.
			truncateSync(big, 40 * MiB);
			const [first, second] = [await upload("first", 40 * MiB), await upload("second", 40 * MiB)];
			expect((await put(system, first.body.id, big)).status).toBe(200);
			await system.done(first);
			const cut = await put(system, second.body.id, big);
			expect(cut.status).toBe(507);
			expect(await cut.json()).toMatchObject({ code: "no-space" });
			for (const { body: image } of [first, second]) await system.done(await api.call("imageDelete", at(image.id)));
			expect(await files()).toEqual(clean);

			writeBlocks(big, 96);
			const volume = await api.call("volumeCreate", {
				body: {
					name: "copy",
					poolId,
					format: "raw",
					source: { kind: "image", imageId: await other(system, big), fullCopy: true },
				},
			});
			const copied = await system.finished(volume.taskLocation);
			expect([copied.state, copied.error?.code]).toEqual(["failed", "no-space"]);
			await system.done(await api.call("volumeDelete", at(volume.body.id)));
			expect(await files()).toEqual(clean);

			truncateSync(big, 32 * MiB);
			const fits = await api.call("imageCreate", { body: { name: "fits", format: "raw", poolId, source } });
			await system.done(fits);
			await system.done(await api.call("imageDelete", at(fits.body.id)));
			expect(await files()).toEqual(clean);
		} finally {
			await mounts.stop();
			rmSync(folder, { recursive: true, force: true });
		}
	},
	limitMs,
);

/** The same file as an image in the default pool, which is not full. */
async function other(system: LabSystem, path: string): Promise<string> {
	const answer = await system.api.call("imageCreate", {
		body: { name: "elsewhere", format: "raw", source: { kind: "path", path } },
	});
	await system.done(answer);
	return answer.body.id;
}

const put = (system: LabSystem, imageId: string, path: string): Promise<Response> =>
	fetch(`http://localhost/v1/images/${imageId}/content`, {
		...{ method: "PUT", body: Bun.file(path), unix: system.daemon.socketPath },
		headers: { "upload-offset": "0", "content-type": "application/octet-stream" },
	} as RequestInit);

/** A file of that many MiB without holes. */
function writeBlocks(path: string, mebibytes: number): void {
	rmSync(path, { force: true });
	const block = Buffer.alloc(MiB, 0xa5);
	for (let number = 1; number <= mebibytes; number++) {
		block.writeUInt32LE(number, 0);
		writeFileSync(path, block, { flag: "a" });
	}
}

function flip(path: string, where: number): void {
	const bytes = readFileSync(path);
	const position = Math.floor(bytes.lastIndexOf(Buffer.from("vm-20")) * where);
	assert(position > 100, "the log has content");
	bytes[position] = (bytes[position] ?? 0) ^ 1;
	writeFileSync(path, bytes);
}

function zero(path: string, at: number): void {
	const bytes = readFileSync(path);
	bytes.fill(0, at, at + 4096);
	writeFileSync(path, bytes);
}

const stateNames = (dataDir: string): string[] =>
	readdirSync(dataDir).filter((name) => name === "raft" || name === "snapshots" || name.startsWith("state.db"));

function copyState(dataDir: string): string {
	const copy = mkdtempSync("/tmp/lqx-copy-");
	for (const name of stateNames(dataDir)) cpSync(join(dataDir, name), join(copy, name), { recursive: true });
	return copy;
}

function putBack(copy: string, dataDir: string): void {
	for (const name of stateNames(dataDir)) rmSync(join(dataDir, name), { recursive: true });
	cpSync(copy, dataDir, { recursive: true });
	rmSync(copy, { recursive: true });
}

/** Hash of every file of the log and of the snapshots, by name. (SQLite may merge its own journal when it looks.) */
function logOf(dataDir: string): Record<string, string> {
	const files = readdirSync(dataDir, { recursive: true, encoding: "utf8" })
		.filter((name) => /^(raft|snapshots)\//.test(name) && statSync(join(dataDir, name)).isFile())
		.sort();
	return Object.fromEntries(files.map((name) => [name, Bun.hash(readFileSync(join(dataDir, name))).toString(16)]));
}
