/** Disks, images and state of VMs over real links between two nodes of one process. */
import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import type { NodeSources } from "../node/sources.ts";
import { closeAll, introduce, type TestNode, testId, testNode, until } from "../peer/test-peers.ts";
import { ContentReader, ContentWriter } from "./content-wire.ts";
import { contentStreams, createRemoteNodes } from "./remote-nodes.ts";

afterEach(closeAll);

const someId = testId(0x77);
const never = async (): Promise<never> => {
	throw new AppError("forbidden", "Not yours.");
};
const nothing: NodeSources = { image: never, volume: never, diskSizes: never, vmState: never };

/** Mostly holes, of odd lengths, and not in whole blocks. */
function disk(length: number): Uint8Array {
	const bytes = new Uint8Array(length);
	for (let at = 1000; at < length; at += 777_777) bytes.fill(1 + (at % 251), at, Math.min(length, at + 70_001));
	return bytes;
}

function streamOf(bytes: Uint8Array, chunkBytes = 256 * 1024, onCancel: () => void = () => {}) {
	let at = 0;
	return new ReadableStream<Uint8Array>(
		{
			pull(controller) {
				if (at < bytes.length) controller.enqueue(bytes.subarray(at, at + chunkBytes));
				else controller.close();
				at += chunkBytes;
			},
			cancel: onCancel,
		},
		{ highWaterMark: 0 },
	);
}

async function pair(
	sources: Partial<NodeSources>,
): Promise<[TestNode, TestNode, ReturnType<typeof createRemoteNodes>]> {
	const handlers = contentStreams(() => ({ ...nothing, ...sources }), systemClock);
	const first = await testNode(1);
	const second = await testNode(2, {
		handlers: {
			async onStream(incoming) {
				const handler = handlers[incoming.kind as keyof typeof handlers];
				if (!handler) throw new AppError("unsupported", "No such stream.");
				await handler(incoming);
			},
		},
	});
	introduce(first, second);
	return [first, second, createRemoteNodes(() => first.node)];
}

const bytesOf = async (stream: ReadableStream<Uint8Array>) => new Uint8Array(await new Response(stream).arrayBuffer());

test("a disk arrives as it is, and few of its zeroes go over the link", async () => {
	const wanted = disk(5 * MiB + 333);
	const asked: string[] = [];
	const [, , remote] = await pair({
		async volume(asking, volumeId) {
			asked.push(asking, volumeId);
			return { format: "raw", sizeBytes: wanted.length, stream: streamOf(wanted) };
		},
	});
	const { stream, ...head } = await remote.openVolume(testId(2), someId, {});
	expect(head).toEqual({ format: "raw", sizeBytes: wanted.length });
	expect(Buffer.compare(await bytesOf(stream), wanted)).toBe(0);
	expect(asked).toEqual([testId(1), someId]);
});

test("an image arrives, whatever the pieces are that it is read in", async () => {
	const wanted = disk(300_001);
	const [, , remote] = await pair({
		image: async () => ({ format: "iso", sizeBytes: wanted.length, stream: streamOf(wanted, 999) }),
	});
	const { stream, ...head } = await remote.openImage(testId(2), someId, {});
	expect(head).toEqual({ format: "iso", sizeBytes: wanted.length });
	expect(Buffer.compare(await bytesOf(stream), wanted)).toBe(0);
});

test("the state of a VM, and what its disks take", async () => {
	const files = [
		{ part: "nvram", bytes: disk(540_672) },
		{ part: "tpm", bytes: new Uint8Array(0) },
		{ part: "serial-log", bytes: new TextEncoder().encode("login: ") },
	] as const;
	const sizes = [
		{ volumeId: someId, bytes: 12345, mark: "7:4096:1.5" },
		{ volumeId: testId(0x78), bytes: 0 },
	];
	const [first, , remote] = await pair({ vmState: async () => [...files], diskSizes: async () => sizes });
	const { signal } = new AbortController();
	const state = await remote.readVmState(testId(2), someId, signal);
	expect(state.map(({ part }) => part)).toEqual(["nvram", "tpm", "serial-log"]);
	for (const [at, { bytes }] of state.entries()) expect(Buffer.compare(bytes, files[at]?.bytes ?? bytes)).toBe(0);
	expect(await remote.diskSizes(testId(2), someId, signal)).toEqual(sizes);
	// A node of before takes nothing that it does not know.
	const metadata = new TextEncoder().encode(JSON.stringify({ id: someId }));
	const stream = await first.node.openStream(testId(2), { kind: "vm-disks", metadata });
	const plain = sizes.map(({ volumeId, bytes }) => ({ volumeId, bytes }));
	expect(await new ContentReader(stream).head(() => {})).toEqual({ sizes: plain });
});

test("while the other node copies a disk first it says how far it is", async () => {
	const goOn = Promise.withResolvers<void>();
	const [, , remote] = await pair({
		async volume(_asking, _id, { progress }) {
			progress?.(0.25);
			await goOn.promise;
			return { format: "qcow2", sizeBytes: 3, stream: streamOf(new Uint8Array([1, 2, 3])) };
		},
	});
	const heard: (number | null)[] = [];
	const opening = remote.openVolume(testId(2), someId, { progress: (ratio) => void heard.push(ratio) });
	await until(() => heard.length > 0);
	goOn.resolve();
	expect(heard).toEqual([0.25]);
	expect(await bytesOf((await opening).stream)).toEqual(new Uint8Array([1, 2, 3]));
});

describe("what goes wrong", () => {
	test("a refusal arrives as it was said", async () => {
		const [, , remote] = await pair({});
		const { signal } = new AbortController();
		const refused = { code: "forbidden", message: "Not yours." };
		await expect(remote.openVolume(testId(2), someId, {})).rejects.toMatchObject(refused);
		await expect(remote.readVmState(testId(2), someId, signal)).rejects.toMatchObject(refused);
	});

	test("a node that is not there is unavailable, or unknown", async () => {
		const [, second, remote] = await pair({});
		await second.node.close();
		await expect(remote.openImage(testId(2), someId, {})).rejects.toMatchObject({ code: "unavailable" });
		await expect(remote.openImage(testId(3), someId, {})).rejects.toMatchObject({ code: "not-found" });
	});

	test("a disk that fails on the way fails here, with its reason", async () => {
		let sent = 0;
		const failing = new ReadableStream<Uint8Array>(
			{
				pull(controller) {
					if (sent++ < 3) controller.enqueue(new Uint8Array(100_000).fill(5));
					else controller.error(new AppError("in-use", "It was changed."));
				},
			},
			{ highWaterMark: 0 },
		);
		const [, , remote] = await pair({ volume: async () => ({ format: "raw", sizeBytes: MiB, stream: failing }) });
		const { stream } = await remote.openVolume(testId(2), someId, {});
		await expect(bytesOf(stream)).rejects.toMatchObject({ code: "in-use", message: "It was changed." });
	});

	test("another length than was announced is an error", async () => {
		for (const sizeBytes of [999, 1001]) {
			const [, , remote] = await pair({
				volume: async () => ({ format: "raw", sizeBytes, stream: streamOf(new Uint8Array(1000).fill(1)) }),
			});
			const { stream } = await remote.openVolume(testId(2), someId, {});
			await expect(bytesOf(stream)).rejects.toMatchObject({ code: "storage" });
			await closeAll();
		}
	});

	test("who gives up is heard by the other side: nothing stays open there", async () => {
		const canceled = Promise.withResolvers<void>();
		const endless = () =>
			new ReadableStream<Uint8Array>(
				{
					pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(1)),
					cancel: () => canceled.resolve(),
				},
				{ highWaterMark: 0 },
			);
		const [, , remote] = await pair({
			volume: async () => ({ format: "raw", sizeBytes: 1e12, stream: endless() }),
		});
		const abort = new AbortController();
		const { stream } = await remote.openVolume(testId(2), someId, { signal: abort.signal });
		const reader = stream.getReader();
		expect((await reader.read()).done).toBe(false);
		abort.abort(new AppError("canceled", "Enough."));
		const read = async () => {
			for (;;) if ((await reader.read()).done) return;
		};
		await expect(read()).rejects.toMatchObject({ code: "canceled" });
		await canceled.promise;
	});

	test("while the other side still copies it hears that nobody waits any more", async () => {
		const [asked, told] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
		const [, , remote] = await pair({
			volume: (_asking, _id, { signal }) =>
				new Promise((_resolve, reject) => {
					asked.resolve();
					signal?.addEventListener("abort", () => {
						told.resolve();
						reject(signal.reason);
					});
				}),
		});
		const abort = new AbortController();
		const opening = remote.openVolume(testId(2), someId, { signal: abort.signal });
		await asked.promise;
		abort.abort(new AppError("canceled", "Enough."));
		await expect(opening).rejects.toMatchObject({ code: "canceled" });
		await told.promise;
		const early = remote.openVolume(testId(2), someId, { signal: abort.signal });
		await expect(early).rejects.toMatchObject({ code: "canceled" });
	});

	test("only ids are asked for", async () => {
		const [first] = await pair({ volume: async () => Promise.reject(new Error("asked")) });
		for (const metadata of ["", "{}", "[]", '{"id":1}', '{"id":"../../etc/passwd"}', `{"id":"${someId}/"}`]) {
			const request = { kind: "volume", metadata: new TextEncoder().encode(metadata) };
			await expect(first.node.openStream(testId(2), request)).rejects.toMatchObject({ code: "invalid" });
		}
	});
});

describe("frames", () => {
	const frames = async (bytes: Uint8Array, chunkBytes: number): Promise<Uint8Array> => {
		const written: Uint8Array[] = [];
		const writer = new ContentWriter({ write: async (data) => void written.push(data.slice()) });
		await writer.head({ some: "head" });
		for (let at = 0; at < bytes.length; at += chunkBytes) await writer.data(bytes.subarray(at, at + chunkBytes));
		await writer.end();
		return new Uint8Array(Buffer.concat(written));
	};
	const readBack = async (wire: Uint8Array, pieceBytes: number): Promise<Uint8Array> => {
		let at = 0;
		const reader = new ContentReader({
			async read() {
				if (at >= wire.length) return null;
				at += pieceBytes;
				return wire.subarray(at - pieceBytes, at);
			},
		});
		await reader.head(() => {});
		const parts: Uint8Array[] = [];
		for (let part = await reader.data(); part !== null; part = await reader.data()) parts.push(part.slice());
		return new Uint8Array(Buffer.concat(parts));
	};

	test("are the same bytes, whatever the pieces", async () => {
		for (const length of [0, 1, 65_536, 65_537, 1_200_000])
			for (const [chunk, piece] of [
				[1_000_000, 1_000_000],
				[65_536, 4096],
				[100_000, 65_537],
			] as const) {
				const bytes = disk(length);
				const wire = await frames(bytes, chunk);
				expect(Buffer.compare(await readBack(wire, piece), bytes)).toBe(0);
			}
		expect((await frames(new Uint8Array(64 * MiB), MiB)).length).toBeLessThan(200);
	});

	test("any flipped bit and any cut is noticed", async () => {
		const bytes = disk(5000);
		const wire = await frames(bytes, 5000);
		const start = wire.length - 5037;
		for (let at = Math.max(0, start); at < wire.length; at += 13) {
			const bad = wire.slice();
			bad[at] = (bad[at] ?? 0) ^ 4;
			await expect(readBack(bad, 777)).rejects.toBeInstanceOf(AppError);
			await expect(readBack(wire.subarray(0, at), 777)).rejects.toMatchObject({ code: "unavailable" });
		}
	});
});
