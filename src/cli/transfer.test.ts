/** Files up and down: whole, checked, sparse, and going on after an interruption. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB } from "../lib/units.ts";
import type { Image } from "../model/storage.ts";
import { type FakeApi, fakeApi, page, problem, withTask } from "../testing/cli/fake-api.ts";
import { fakeIo } from "../testing/cli/fake-io.ts";
import { cli } from "../testing/cli/run-cli.ts";
import { fixtureId, fixtureImage, fixtureTask, fixtureVolume } from "../testing/fixtures.ts";

let folder: string;
let api: FakeApi;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi({ runDir: folder }, { poolList: () => page() });
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
const here = (words: readonly string[], options: Parameters<typeof cli>[1] = {}) =>
	cli([...words, "--run-dir", folder], options);
const leftovers = () => readdirSync(folder).filter((name) => name.endsWith(".part"));

const sizeBytes = 40 * MiB + 1234;
function makeFile(name = "disk.qcow2"): { path: string; sha256: string; content: Buffer } {
	const content = Buffer.alloc(sizeBytes);
	content.write("QFI\u00fb", "latin1");
	for (let at = 4; at < sizeBytes; at += 4093) content[at] = at % 251;
	const path = join(folder, name);
	writeFileSync(path, content);
	return { path, content, sha256: new Bun.CryptoHasher("sha256").update(content).digest("hex") };
}

/** A node that takes uploads into memory. */
function uploads(received: Buffer, image: Partial<Image> = {}) {
	const state = {
		offset: 0,
		image: fixtureImage({ source: { kind: "upload" }, phase: "uploading", name: "disk", ...image }),
	};
	const task = fixtureTask("image.import", { kind: "image", id: state.image.id, name: "disk" }, { state: "succeeded" });
	api.handlers = {
		...api.handlers,
		imageList: ({ query }) => page(...(query.get("phase") === "uploading" && state.offset > 0 ? [state.image] : [])),
		imageCreate: () => withTask(201, state.image, task.id),
		imageUploadStatus: () => ({ receivedBytes: state.offset, fileSizeBytes: sizeBytes }),
		imageContentPut: ({ headers, body }) => {
			const at = Number(headers.get("upload-offset"));
			if (at !== state.offset) return problem(409, "wrong-state", `The upload is at ${state.offset}.`);
			received.set(body, at);
			state.offset += body.length;
			return { receivedBytes: state.offset };
		},
		imageGet: () => ({ ...state.image, phase: state.offset === sizeBytes ? "ready" : "uploading" }),
		taskList: () => page(task),
		taskGet: () => task,
	};
	return state;
}

describe("upload", () => {
	test("sends every byte in parts, with the checksum, and waits for the import", async () => {
		const { path, sha256, content } = makeFile();
		const received = Buffer.alloc(sizeBytes);
		uploads(received);
		const { code, out } = await here(["image", "upload", path, "-o", "json"]);
		expect({ code, phase: JSON.parse(out).phase }).toEqual({ code: 0, phase: "ready" });
		expect(received.equals(content)).toBe(true);
		const create = api.requests.find(({ operation }) => operation === "imageCreate");
		expect(create?.json).toEqual({
			name: "disk",
			format: "qcow2",
			source: { kind: "upload" },
			fileSizeBytes: sizeBytes,
			sha256,
		});
		expect(api.requests.filter(({ operation }) => operation === "imageContentPut")).toHaveLength(3);
		expect(api.called).toContain("taskGet");
	});

	test("goes on after connections that break, from where the node is", async () => {
		const { path, content } = makeFile();
		const received = Buffer.alloc(sizeBytes);
		const state = uploads(received);
		const put = api.handlers.imageContentPut;
		let calls = 0;
		api.handlers.imageContentPut = async (request) => {
			calls += 1;
			// Half of a part arrives, then nobody answers.
			if (calls === 2) {
				const half = request.body.subarray(0, 5000);
				received.set(half, state.offset);
				state.offset += half.length;
				return problem(503, "unavailable", "The node is restarting.");
			}
			if (calls === 4) return problem(409, "wrong-state", "not there");
			return (await put?.(request)) ?? null;
		};
		const { code, err } = await here(["image", "upload", path]);
		expect({ code, again: err.includes("trying again") }).toEqual({ code: 0, again: true });
		expect(received.equals(content)).toBe(true);
	});

	test("gives up when the node stays away, and a later run goes on", async () => {
		const { path, sha256, content } = makeFile();
		const received = Buffer.alloc(sizeBytes);
		const state = uploads(received, { fileSizeBytes: sizeBytes, expectedSha256: sha256 });
		const put = api.handlers.imageContentPut;
		let calls = 0;
		api.handlers.imageContentPut = async (request) => {
			calls += 1;
			return calls > 1 ? problem(503, "unavailable", "No.") : ((await put?.(request)) ?? null);
		};
		expect((await here(["image", "upload", path])).code).toBe(3);
		expect(calls).toBe(7);
		const before = state.offset;
		expect(before).toBe(16 * MiB);
		api.handlers.imageContentPut = put ?? (() => null);
		api.requests.length = 0;
		const { code, err } = await here(["image", "upload", path]);
		expect({ code, said: err.includes("Going on with the upload of disk.") }).toEqual({ code: 0, said: true });
		expect(api.called).not.toContain("imageCreate");
		const first = api.requests.find(({ operation }) => operation === "imageContentPut");
		expect(first?.headers.get("upload-offset")).toBe(String(before));
		expect(received.equals(content)).toBe(true);
	});

	test("does not go on with another file of the same name and size", async () => {
		const { path } = makeFile();
		const received = Buffer.alloc(sizeBytes);
		const state = uploads(received, { fileSizeBytes: sizeBytes, expectedSha256: "0".repeat(64) });
		state.offset = 100;
		api.handlers.imageCreate = () => problem(409, "already-exists", "There is an image named disk.");
		expect(await here(["image", "upload", path])).toMatchObject({
			code: 1,
			err: "Error: There is an image named disk.\n",
		});
		expect(api.called).not.toContain("imageContentPut");
	});

	test("Ctrl-C says how to go on", async () => {
		const { path } = makeFile();
		uploads(Buffer.alloc(sizeBytes));
		const io = fakeIo();
		api.handlers.imageContentPut = () => {
			io.interrupt();
			return new Promise(() => {});
		};
		const { code, err } = await here(["image", "upload", path], { io });
		expect(code).toBe(130);
		expect(err).toContain("The same command goes on where this one stopped.");
	});

	test("a checksum that does not fit, a folder, an empty file and an unknown format are refused before anything is sent", async () => {
		const { path } = makeFile();
		const empty = join(folder, "empty.raw");
		writeFileSync(empty, "");
		const unknown = join(folder, "what.bin");
		writeFileSync(unknown, "x");
		const refused: [string[], number][] = [
			[[path, "--sha256", "0".repeat(64)], 1],
			[[folder], 2],
			[[empty], 2],
			[[join(folder, "missing")], 2],
			[[unknown], 2],
			[[path, "--sha256", "xyz"], 2],
		];
		for (const [words, expected] of refused) {
			const { code, err } = await here(["image", "upload", ...words]);
			expect({ words, code, err: err !== "" }).toEqual({ words, code: expected, err: true });
		}
		expect(api.called).not.toContain("imageCreate");
	});

	test("an ISO file is known by its content", async () => {
		const path = join(folder, "install.img");
		const content = Buffer.alloc(40_000);
		content.write("CD001", 32_769);
		writeFileSync(path, content);
		api.handlers.imageList = () => page();
		api.handlers.imageCreate = () => problem(409, "already-exists", "stop here");
		await here(["image", "upload", path]);
		expect(api.requests.at(-1)?.json).toMatchObject({ name: "install", format: "iso" });
	});
});

describe("download", () => {
	const id = fixtureId(0x200);
	function holds(content: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
		api.handlers.volumeGet = () => fixtureVolume({ name: "data", phase: "ready" });
		api.handlers.volumeContentGet = () =>
			new Response(content, { headers: { "content-type": "application/octet-stream", ...headers } });
	}

	test("a disk with holes keeps them, and takes its name only when it is whole", async () => {
		const content = Buffer.alloc(64 * MiB + 4096 + 17);
		content.write("first", 0);
		content.write("middle", 20 * MiB + 65_530);
		content.write("last", content.length - 4);
		holds(content);
		const path = join(folder, "data.img");
		const { code, out } = await here(["volume", "download", id, path, "--format", "raw"]);
		expect({ code, out }).toEqual({ code: 0, out: `${path}: 64 MiB\n` });
		expect(readFileSync(path).equals(content)).toBe(true);
		expect(statSync(path).blocks * 512).toBeLessThan(MiB);
		expect(statSync(path).mode & 0o777).toBe(0o600);
		expect(leftovers()).toEqual([]);
		expect(api.requests.at(-1)?.query.get("format")).toBe("raw");
	});

	test("all zeros is a hole to the last byte", async () => {
		holds(new Uint8Array(MiB + 5));
		const path = join(folder, "zeros");
		expect((await here(["volume", "download", id, path])).code).toBe(0);
		expect(statSync(path).size).toBe(MiB + 5);
		expect(statSync(path).blocks).toBe(0);
	});

	test("one that breaks off leaves nothing behind", async () => {
		api.handlers.volumeGet = () => fixtureVolume({ name: "data" });
		api.handlers.volumeContentGet = () => {
			let sent = 0;
			const body = new ReadableStream({
				pull(controller) {
					sent += 1;
					if (sent <= 4) return controller.enqueue(new Uint8Array(MiB).fill(1));
					void api.stop();
					return new Promise(() => {});
				},
			});
			return new Response(body, { headers: { "content-type": "application/octet-stream" } });
		};
		const path = join(folder, "data.img");
		const { code } = await here(["volume", "download", id, path]);
		expect(code).toBe(3);
		expect(await Bun.file(path).exists()).toBe(false);
		expect(leftovers()).toEqual([]);
	});

	test("a file that is there stays, unless --force is given", async () => {
		holds(Buffer.from("new"));
		const path = join(folder, "data.img");
		writeFileSync(path, "old");
		expect(await here(["volume", "download", id, path])).toMatchObject({ code: 1 });
		expect(readFileSync(path, "utf8")).toBe("old");
		expect(api.called).toEqual(["volumeGet"]);
		expect((await here(["volume", "download", id, path, "--force"])).code).toBe(0);
		expect(readFileSync(path, "utf8")).toBe("new");
	});

	test("an error of the API makes no file", async () => {
		holds(new Uint8Array());
		api.handlers.volumeContentGet = () => problem(409, "in-use", "The VM web is using it.");
		const path = join(folder, "data.img");
		expect(await here(["volume", "download", id, path])).toMatchObject({
			code: 1,
			err: "Error: The VM web is using it.\n",
		});
		expect(readdirSync(folder).filter((name) => name !== "limiquantix.sock")).toEqual([]);
	});

	test("- is standard output, but not a terminal", async () => {
		const content = crypto.getRandomValues(new Uint8Array(60_000));
		holds(content);
		const { code, io } = await here(["volume", "download", id, "-"]);
		expect({ code, same: Buffer.from(io.outBytes).equals(Buffer.from(content)) }).toEqual({ code: 0, same: true });
		expect((await here(["volume", "download", id, "-"], { io: fakeIo({ tty: true }) })).code).toBe(2);
	});

	test("Ctrl-C keeps nothing", async () => {
		const io = fakeIo();
		api.handlers.volumeGet = () => fixtureVolume({ name: "data" });
		api.handlers.volumeContentGet = () => {
			const body = new ReadableStream({
				pull(controller) {
					controller.enqueue(new Uint8Array(1000));
					io.interrupt();
					return new Promise(() => {});
				},
			});
			return new Response(body, { headers: { "content-type": "application/octet-stream" } });
		};
		const path = join(folder, "data.img");
		expect((await here(["volume", "download", id, path], { io })).code).toBe(130);
		expect(await Bun.file(path).exists()).toBe(false);
		expect(leftovers()).toEqual([]);
	});

	test("the server does not choose where a file goes", async () => {
		const { safeFileName } = await import("./download.ts");
		expect(safeFileName("../../etc/passwd")).toBe("__.._etc_passwd");
		expect(safeFileName(".bashrc")).toBe("_bashrc");
		expect(safeFileName("-rf")).toBe("_rf");
		expect(safeFileName("data.qcow2")).toBe("data.qcow2");
	});
});
