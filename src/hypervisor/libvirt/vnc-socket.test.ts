import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkVncSocket } from "./vnc-socket.ts";

const me = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
let folder: string;
let path: string;
const servers: { stop(): void }[] = [];

const serve = (at: string, word: string) => {
	const server = Bun.listen({ unix: at, socket: { open: (socket) => void socket.end(word), data() {} } });
	servers.push(server);
};
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-pin-"));
	mkdirSync(join(folder, "qemu"));
	path = join(folder, "qemu/vnc.sock");
});
afterEach(() => {
	for (const server of servers.splice(0)) server.stop();
	rmSync(folder, { recursive: true, force: true });
});

describe("the socket of a screen", () => {
	const check = (at: string | null = path) => checkVncSocket(at, folder, me);

	test("is given when it is genuine", async () => {
		serve(path, "mine");
		expect(await check()).toBe(path);
	});

	test("is refused when it is a link, a file, missing, or elsewhere", async () => {
		const genuine = { code: "hypervisor" };
		await expect(check()).rejects.toMatchObject(genuine);
		writeFileSync(path, "");
		await expect(check()).rejects.toMatchObject(genuine);
		rmSync(path);
		const other = join(folder, "other.sock");
		serve(other, "of another VM");
		symlinkSync(other, path);
		await expect(check()).rejects.toMatchObject(genuine);
		for (const elsewhere of [null, other, `${folder}/qemu/../qemu/vnc.sock`, ""])
			await expect(check(elsewhere)).rejects.toMatchObject({ code: "wrong-state" });
	});

	test("is refused when its folder is a link", async () => {
		const real = join(folder, "real");
		mkdirSync(real);
		serve(join(real, "vnc.sock"), "of another VM");
		rmSync(join(folder, "qemu"), { recursive: true });
		symlinkSync(real, join(folder, "qemu"));
		await expect(check()).rejects.toMatchObject({ code: "hypervisor" });
	});

	test.skipIf(me.uid !== 0)("is refused when somebody else made it", async () => {
		serve(path, "mine");
		Bun.spawnSync(["chown", "12345", path]);
		await expect(check()).rejects.toMatchObject({ code: "hypervisor" });
		expect(await checkVncSocket(path, folder, { uid: 12345, gid: 12345 })).toBe(path);
	});
});
