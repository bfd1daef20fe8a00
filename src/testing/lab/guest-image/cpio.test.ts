import { expect, test } from "bun:test";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../../lib/run.ts";
import { writeCpio } from "./cpio.ts";

const archive = writeCpio([
	{ kind: "directory", path: "etc" },
	{ kind: "file", path: "etc/motd", data: Buffer.from("hello\n") },
	{ kind: "file", path: "etc/run", data: Buffer.from("x"), mode: 0o755 },
	{ kind: "symlink", path: "link", target: "etc/motd" },
]);

test("an independent cpio reads names, contents, modes and links", async () => {
	const directory = await mkdtemp(join(tmpdir(), "lqx-cpio-"));
	try {
		await run("busybox", ["cpio", "-i"], { timeoutMs: 5000, cwd: directory, stdin: archive });
		expect(await Bun.file(join(directory, "link")).text()).toBe("hello\n");
		expect((await stat(join(directory, "etc/run"))).mode & 0o777).toBe(0o755);
	} finally {
		await rm(directory, { recursive: true, force: true });
	}
});

test("records are padded to four bytes and end with the trailer", () => {
	expect(archive.length % 4).toBe(0);
	expect(Buffer.from(archive).toString("latin1")).toContain("TRAILER!!!\0");
});

test("an absolute path is refused", () => {
	expect(() => writeCpio([{ kind: "directory", path: "/etc" }])).toThrow("relative");
});
