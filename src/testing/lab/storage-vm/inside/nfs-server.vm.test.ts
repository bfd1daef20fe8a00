/** The NFS server of the lab does what a real one does, as seen by the kernel's client. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { run } from "../../../../lib/run.ts";
import { type LabHost, makeHost } from "./lab-network.ts";
import { type NfsServer, startNfsServer } from "./nfs-server.ts";

const limit = { timeoutMs: 30_000 };
const share = "/data/share";
let host: LabHost;
let server: NfsServer;

beforeAll(async () => {
	host = await makeHost("server", ["10.88.0.2"]);
	server = await startNfsServer(host, [{ path: share }]);
}, 60_000);
afterAll(async () => {
	await server[Symbol.asyncDispose]();
	await host[Symbol.asyncDispose]();
}, 60_000);

const mounted = async (options: string, use: (path: string) => Promise<void>): Promise<void> => {
	const path = "/run/mounted";
	await mkdir(path);
	try {
		await run("mount", ["-t", "nfs", "-o", options, `${server.address}:${share}`, path], limit);
		try {
			await use(path);
		} finally {
			await run("umount", ["-f", path], limit);
		}
	} finally {
		await rmdir(path);
	}
};

for (const version of ["3", "4.0", "4.1", "4.2"])
	test(`version ${version}`, async () => {
		await mounted(`vers=${version},nolock`, async (path) => {
			await writeFile(`${path}/file`, version);
			expect(await readFile(`${share}/file`, "utf8")).toBe(version);
			expect(await readFile("/proc/mounts", "utf8")).toContain(`vers=${version},`);
		});
	});

test("it is gone while it is stopped, and clients go on when it is back", async () => {
	await mounted("vers=4.2,hard", async (path) => {
		await writeFile(`${path}/before`, "1");
		await server.stop();
		const write = writeFile(`${path}/while`, "2");
		// Longer than an answered write takes, by far.
		const first = await Promise.race([write.then(() => "written"), Bun.sleep(1000).then(() => "waits")]);
		expect(first).toBe("waits");
		await server.start();
		await write;
		expect(await readFile(`${share}/while`, "utf8")).toBe("2");
	});
});

test("it hangs, and goes on", async () => {
	await mounted("vers=4.2,hard", async (path) => {
		await server.hang();
		const write = writeFile(`${path}/hung`, "3");
		// Longer than an answered write takes, by far.
		const first = await Promise.race([write.then(() => "written"), Bun.sleep(1000).then(() => "waits")]);
		expect(first).toBe("waits");
		await server.resume();
		await write;
	});
});
