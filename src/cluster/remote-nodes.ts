/**
 * Images, disks and the state of VMs between nodes: `createRemoteNodes` gets them (node/remote.ts), `contentStreams` are the
 * handlers of the other end, which asks this node's own part (node/sources.ts) whether the node that is connected may have
 * them. What goes over is an id; it is checked to be one.
 *
 * | stream kind | asked for | answer |
 * | ----------- | --------- | ------ |
 * | image       | image     | head {format, sizeBytes}, bytes |
 * | volume      | volume    | progress while it is copied there, head {format, sizeBytes}, bytes |
 * | vm-disks    | VM        | head {sizes}, with marks where they were asked for: others would not take them |
 * | vm-state    | VM        | head {files: part, length}, bytes of all of them |
 */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type Clock, delay } from "../lib/clock.ts";
import { AppError, toAppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import { Id, Strict, StringEnum } from "../model/schema.ts";
import { maxSnapshotsOfVm } from "../model/snapshot-rules.ts";
import type { RemoteNodes, TransferOptions } from "../node/remote.ts";
import type { NodeSources } from "../node/sources.ts";
import { maxVmStateBytes, type VmStateFile, vmStateParts } from "../node/vm-state.ts";
import type { PeerNode } from "../peer/peer.ts";
import { isPeerError } from "../peer/peer-error.ts";
import type { PeerStream } from "../peer/stream.ts";
import type { IncomingStream, StreamHandler } from "../peer/stream-open.ts";
import { ContentReader, ContentWriter } from "./content-wire.ts";

const length = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const ImageHead = Strict({ format: StringEnum(["qcow2", "raw", "iso"] as const), sizeBytes: length });
const VolumeHead = Strict({ format: StringEnum(["qcow2", "raw"] as const), sizeBytes: length });
const Mark = Type.String({ maxLength: 8192 });
const DisksHead = Strict({
	sizes: Type.Array(Strict({ volumeId: Id, bytes: length, mark: Type.Optional(Mark) }), { maxItems: 1024 }),
});
const StateHead = Strict({
	files: Type.Array(
		Strict({
			part: StringEnum(vmStateParts),
			length: Type.Integer({ minimum: 0, maximum: maxVmStateBytes }),
			snapshotId: Type.Optional(Id),
		}),
		{ maxItems: vmStateParts.length * (1 + maxSnapshotsOfVm) },
	),
});

type Kind = "image" | "volume" | "vm-disks" | "vm-state";
type Opened<H extends TSchema> = { head: Static<H>; stream: ReadableStream<Uint8Array> };

/** `peers`: there once the links are up; what is asked before is `unavailable`. */
export function createRemoteNodes(peers: () => Pick<PeerNode, "openStream">): RemoteNodes {
	const open = async <H extends TSchema>(kind: Kind, nodeId: string, id: string, schema: H, options: TransferOptions) =>
		withPeerErrors(() => openContent(peers(), { kind, nodeId, id, schema, options }));
	return {
		async openImage(nodeId, imageId, options) {
			const { head, stream } = await open("image", nodeId, imageId, ImageHead, options);
			return { ...head, stream: exactly(head.sizeBytes, stream) };
		},
		async openVolume(nodeId, volumeId, options) {
			const { head, stream } = await open("volume", nodeId, volumeId, VolumeHead, options);
			return { ...head, stream: exactly(head.sizeBytes, stream) };
		},
		async diskSizes(nodeId, vmId, signal) {
			const { head, stream } = await open("vm-disks", nodeId, vmId, DisksHead, { signal });
			await bytesOf(stream, 0);
			return head.sizes;
		},
		async readVmState(nodeId, vmId, signal) {
			const { head, stream } = await open("vm-state", nodeId, vmId, StateHead, { signal });
			const total = head.files.reduce((sum, file) => sum + file.length, 0);
			const bytes = await bytesOf(stream, total);
			let at = 0;
			return head.files.map(({ part, length: size, snapshotId }): VmStateFile => {
				at += size;
				return { part, bytes: bytes.slice(at - size, at), ...(snapshotId === undefined ? {} : { snapshotId }) };
			});
		},
	};
}

type Question<H extends TSchema> = {
	kind: Kind;
	nodeId: string;
	id: string;
	schema: H;
	options: TransferOptions;
};

async function openContent<H extends TSchema>(
	peers: Pick<PeerNode, "openStream">,
	{ kind, nodeId, id, schema, options: { signal, progress } }: Question<H>,
): Promise<Opened<H>> {
	signal?.throwIfAborted();
	const peer = await peers
		.openStream(nodeId, { kind, metadata: encoded({ id, ...(kind === "vm-disks" ? { marks: true } : {}) }) }, signal)
		.catch((error: unknown) => {
			signal?.throwIfAborted();
			throw error;
		});
	const giveUp = () => peer.abort(new AppError("canceled", "It is not wanted any more."));
	// It may have come while the other side was asked.
	if (signal?.aborted) giveUp();
	signal?.addEventListener("abort", giveUp, { once: true });
	const release = () => signal?.removeEventListener("abort", giveUp);
	const reader = new ContentReader(peer);
	try {
		const head = await reader.head((ratio) => progress?.(ratio));
		if (!Value.Check(schema, head)) throw new AppError("storage", "What the other node sends cannot be read.");
		return { head, stream: bytesFrom(reader, peer, release, signal) };
	} catch (error) {
		release();
		peer.abort(toAppError(error));
		signal?.throwIfAborted();
		throw error;
	}
}

function bytesFrom(
	reader: ContentReader,
	peer: PeerStream,
	release: () => void,
	signal: AbortSignal | undefined,
): ReadableStream<Uint8Array> {
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				try {
					const chunk = await withPeerErrors(() => reader.data());
					if (chunk !== null) return controller.enqueue(chunk);
					release();
					peer.end();
					controller.close();
				} catch (error) {
					release();
					peer.abort(toAppError(error));
					controller.error(signal?.aborted ? signal.reason : error);
				}
			},
			cancel() {
				release();
				peer.abort(new AppError("canceled", "The reader has given up."));
			},
		},
		{ highWaterMark: 0 },
	);
}

/** Fails when it is not as long as was said. */
function exactly(sizeBytes: number, stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
	let received = 0;
	const wrong = () => new AppError("storage", `The other node announced ${sizeBytes} bytes and sent others.`);
	return stream.pipeThrough(
		new TransformStream<Uint8Array, Uint8Array>(
			{
				transform(chunk, controller) {
					received += chunk.length;
					if (received > sizeBytes) controller.error(wrong());
					else controller.enqueue(chunk);
				},
				flush(controller) {
					if (received !== sizeBytes) controller.error(wrong());
				},
			},
			{ highWaterMark: 1 },
			{ highWaterMark: 0 },
		),
	);
}

async function bytesOf(stream: ReadableStream<Uint8Array>, sizeBytes: number): Promise<Uint8Array> {
	const bytes = new Uint8Array(sizeBytes);
	let at = 0;
	for await (const chunk of exactly(sizeBytes, stream)) {
		bytes.set(chunk, at);
		at += chunk.length;
	}
	return bytes;
}

async function withPeerErrors<T>(work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		if (!isPeerError(error)) throw error;
		throw new AppError("unavailable", `The other node is not reached: ${error.message}`, { cause: error });
	}
}

const startLimitMs = 20_000;
const startPollMs = 200;

/** By kind. `started`: this node's own part, once it has started; one that was just restarted is waited for. */
export function contentStreams(started: () => NodeSources | null, clock: Clock): Readonly<Record<Kind, StreamHandler>> {
	const sources = async (): Promise<NodeSources> => {
		for (let waitedMs = 0; ; waitedMs += startPollMs) {
			const own = started();
			if (own !== null) return own;
			if (waitedMs >= startLimitMs) throw new AppError("unavailable", "The node is starting.", { retryAfterMs: 1000 });
			await delay(clock, startPollMs);
		}
	};
	return {
		image: serving(async (asking, id) => {
			const { stream, ...head } = await (await sources()).image(asking, id);
			return { head, stream };
		}),
		volume: serving(async (asking, id, options) => {
			const { stream, ...head } = await (await sources()).volume(asking, id, options);
			return { head, stream };
		}),
		"vm-disks": serving(async (asking, id, { marks }) => {
			const sizes = await (await sources()).diskSizes(asking, id);
			const plain = () => sizes.map(({ volumeId, bytes }) => ({ volumeId, bytes }));
			return { head: { sizes: marks ? sizes : plain() }, stream: new Blob([]).stream() };
		}),
		"vm-state": serving(async (asking, id) => {
			const files = await (await sources()).vmState(asking, id);
			return {
				head: { files: files.map(({ bytes, ...file }) => ({ ...file, length: bytes.length })) },
				stream: new Blob(files.map(({ bytes }) => new Uint8Array(bytes))).stream(),
			};
		}),
	};
}

type Answer = { head: unknown; stream: ReadableStream<Uint8Array> };

type Asked = TransferOptions & { marks: boolean };

function serving(answer: (asking: string, id: string, options: Asked) => Promise<Answer>): StreamHandler {
	return async ({ peer, metadata, accept }: IncomingStream) => {
		const { id, marks } = requested(metadata);
		// A disk may have to be copied first: longer than the other side waits for an answer.
		const stream = accept();
		const gone = new AbortController();
		// It has nothing to say but that it ends, or gives up.
		stream.read().catch((error) => gone.abort(error));
		const writer = new ContentWriter(stream);
		const progress = (ratio: number | null) => writer.progress(ratio);
		const content = await answer(peer.nodeId, id, { signal: gone.signal, progress, marks });
		const reader = content.stream.getReader();
		try {
			await writer.head(content.head);
			for (let part = await reader.read(); !part.done; part = await reader.read()) {
				gone.signal.throwIfAborted();
				await writer.data(part.value);
			}
			await writer.end();
		} finally {
			await reader.cancel().catch(() => {});
		}
	};
}

function requested(metadata: Uint8Array): { id: string; marks: boolean } {
	try {
		const asked: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(metadata));
		if (
			typeof asked === "object" &&
			asked !== null &&
			"id" in asked &&
			typeof asked.id === "string" &&
			isUuid(asked.id)
		)
			return { id: asked.id, marks: "marks" in asked && asked.marks === true };
	} catch {
		// told below
	}
	throw new AppError("invalid", "What is asked for is not an id.");
}

const encoded = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
