import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pinSocket } from "./pinned-socket.ts";

let folder: string;
let path: string;
const servers: { stop(): void }[] = [];

const serve = (at: string, word: string) => {
	const server = Bun.listen({ unix: at, socket: { open: (socket) => void socket.end(word), data() {} } });
	servers.push(server);
};
const hear = (at: string): Promise<string> => {
	const { promise, resolve, reject } = Promise.withResolvers<string>();
	Bun.connect({
		unix: at,
		socket: { data: (_, bytes) => resolve(bytes.toString()), error: (_, error) => reject(error) },
	}).catch(reject);
	return promise;
};

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-pin-"));
	path = join(folder, "a.sock");
});
afterEach(() => {
	for (const server of servers.splice(0)) server.stop();
	rmSync(folder, { recursive: true, force: true });
});

describe("a pinned socket", () => {
	test("stays what it was, whatever takes its name", async () => {
		serve(path, "mine");
		const pinned = pinSocket(path);
		const other = join(folder, "other.sock");
		serve(other, "of another VM");
		renameSync(path, join(folder, "moved.sock"));
		symlinkSync(other, path);
		expect(await hear(path)).toBe("of another VM");
		expect(await hear(pinned.path)).toBe("mine");
		pinned.close();
		pinned.close();
		await expect(hear(pinned.path)).rejects.toThrow();
	});

	test("is not a link, not a file, not missing", () => {
		const refused = (at: string) =>
			expect(() => pinSocket(at)).toThrow(expect.objectContaining({ code: "hypervisor" }));
		refused(path);
		writeFileSync(path, "");
		refused(path);
		const other = join(folder, "other.sock");
		serve(other, "of another VM");
		symlinkSync(other, join(folder, "link"));
		refused(join(folder, "link"));
	});
});
