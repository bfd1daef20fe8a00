/**
 * Serves a disk to QEMU over NBD on a unix socket: fixed newstyle negotiation and simple replies, as in the NBD project's
 * doc/proto.md. Every command is carried out when it is read, in the order of its connection, so a flush covers exactly
 * what was answered before. `freeze` is what a power cut is to the other side: from then on there is no answer.
 */
import { createServer, type Server, type Socket } from "node:net";
import { AppError, isAppError } from "../../lib/errors.ts";
import { ReadQueue } from "../lab/byte-stream.ts";
import { sectorBytes, type VolatileDisk } from "./volatile-disk.ts";

const greetingMagic = 0x4e42444d41474943n; // NBDMAGIC
const optionMagic = 0x49484156454f5054n; // IHAVEOPT
const optionReplyMagic = 0x0003e889045565a9n;
const requestMagic = 0x25609513;
const replyMagic = 0x67446698;

const handshakeFlags = { fixedNewstyle: 1, noZeroes: 2 };
/** HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_WRITE_ZEROES. */
const transmissionFlags = 1 | 4 | 8 | 64;
const option = { exportName: 1, abort: 2, list: 3, info: 6, go: 7 };
const answer = { ack: 1, server: 2, info: 3, unsupported: 2 ** 31 + 1, invalid: 2 ** 31 + 3, unknown: 2 ** 31 + 6 };
const information = { export: 0, blockSize: 3 };
const command = { read: 0, write: 1, disconnect: 2, flush: 3, writeZeroes: 6 };
const fuaFlag = 1;
const errno = { ok: 0, invalid: 22, noSpace: 28 };

/** More than any client sends in one piece; larger is taken for garbage. */
const maximumOptionBytes = 64 * 1024;
const maximumPayloadBytes = 32 * 1024 * 1024;

export type NbdServer = {
	readonly socketPath: string;
	/** Commands so far. */
	readonly counts: { reads: number; writes: number; flushes: number };
	/** Called after each write, before it is answered. */
	onWrite: (() => void) | null;
	/** No further command is carried out and nothing is answered; connections stay open. */
	freeze(): void;
	close(): Promise<void>;
};

/** Listens at `socketPath` and serves `disk` as the default export, whose name is empty. */
export async function startNbdServer(disk: VolatileDisk, socketPath: string): Promise<NbdServer> {
	const sockets = new Set<Socket>();
	const counts = { reads: 0, writes: 0, flushes: 0 };
	let frozen = false;
	const self: NbdServer = {
		socketPath,
		counts,
		onWrite: null,
		freeze() {
			frozen = true;
		},
		async close() {
			frozen = true;
			for (const socket of sockets) socket.destroy();
			await new Promise<void>((resolve) => server.close(() => resolve()));
		},
	};
	const server: Server = createServer((socket) => {
		const queue = new ReadQueue();
		sockets.add(socket);
		socket.on("data", (bytes: Buffer) => void queue.push(bytes));
		socket.on("error", () => socket.destroy());
		socket.on("close", () => {
			sockets.delete(socket);
			queue.end(new AppError("unavailable", "The client has gone."));
		});
		const connection = new Connection({
			disk,
			queue,
			socket,
			counts,
			isFrozen: () => frozen,
			onWrite: () => self.onWrite?.(),
		});
		connection.serve().then(
			() => socket.end(),
			(error) => {
				socket.destroy();
				// Whoever goes or sends garbage is cut off; anything else is a mistake here.
				if (!isAppError(error, "unavailable") && !isAppError(error, "malformed")) throw error;
			},
		);
	});
	await new Promise<void>((resolve, reject) => server.once("error", reject).listen(socketPath, () => resolve()));
	return self;
}

const forEver = new Promise<never>(() => {});

type ConnectionParts = {
	disk: VolatileDisk;
	queue: ReadQueue;
	socket: Socket;
	counts: NbdServer["counts"];
	isFrozen: () => boolean;
	onWrite: () => void;
};

class Connection {
	readonly #disk: VolatileDisk;
	readonly #queue: ReadQueue;
	readonly #socket: Socket;
	readonly #counts: NbdServer["counts"];
	readonly #isFrozen: () => boolean;
	readonly #onWrite: () => void;

	constructor(parts: ConnectionParts) {
		this.#disk = parts.disk;
		this.#queue = parts.queue;
		this.#socket = parts.socket;
		this.#counts = parts.counts;
		this.#isFrozen = parts.isFrozen;
		this.#onWrite = parts.onWrite;
	}

	async serve(): Promise<void> {
		if (await this.#negotiate()) while (await this.#carryOut());
	}

	/** True when the transmission begins, false when the client wants no more. */
	async #negotiate(): Promise<boolean> {
		const flags = handshakeFlags.fixedNewstyle | handshakeFlags.noZeroes;
		this.#send(u64(greetingMagic), u64(optionMagic), u16(flags));
		const clientFlags = (await this.#read(4)).readUInt32BE();
		if ((clientFlags & ~flags) !== 0) throw garbage("client flags");
		for (;;) {
			const header = await this.#read(16);
			if (header.readBigUInt64BE() !== optionMagic) throw garbage("an option");
			const kind = header.readUInt32BE(8);
			const length = header.readUInt32BE(12);
			if (length > maximumOptionBytes) throw garbage("an option's length");
			const data = await this.#read(length);
			const reply = (type: number, ...parts: Buffer[]) => {
				const body = Buffer.concat(parts);
				this.#send(u64(optionReplyMagic), u32(kind), u32(type), u32(body.length), body);
			};
			if (kind === option.exportName) {
				if (length > 0) throw garbage("an unknown export");
				const padding = clientFlags & handshakeFlags.noZeroes ? 0 : 124;
				this.#send(u64(BigInt(this.#disk.sizeBytes)), u16(transmissionFlags), Buffer.alloc(padding));
				return true;
			}
			if (kind === option.abort) {
				reply(answer.ack);
				return false;
			}
			if (kind === option.list) {
				if (length > 0) reply(answer.invalid);
				else {
					reply(answer.server, u32(0));
					reply(answer.ack);
				}
			} else if (kind === option.info || kind === option.go) {
				const name = exportNameOf(data);
				if (name === null) reply(answer.invalid);
				else if (name !== "") reply(answer.unknown);
				else {
					reply(answer.info, ...[u16(information.export), u64(BigInt(this.#disk.sizeBytes)), u16(transmissionFlags)]);
					const sizes = [u32(sectorBytes), u32(4096), u32(maximumPayloadBytes)];
					reply(answer.info, u16(information.blockSize), ...sizes);
					reply(answer.ack);
					if (kind === option.go) return true;
				}
			} else reply(answer.unsupported);
		}
	}

	/** One command; false after the last. */
	async #carryOut(): Promise<boolean> {
		const header = await this.#read(28);
		if (header.readUInt32BE() !== requestMagic) throw garbage("a request");
		const flags = header.readUInt16BE(4);
		const kind = header.readUInt16BE(6);
		const handle = header.subarray(8, 16);
		const offset = Number(header.readBigUInt64BE(16));
		const length = header.readUInt32BE(24);
		const withPayload = kind === command.write;
		if (withPayload && length > maximumPayloadBytes) throw garbage("a request's length");
		const payload = withPayload ? await this.#read(length) : Buffer.alloc(0);
		if (kind === command.disconnect) return false;
		// The power may have gone since it was read.
		if (this.#isFrozen()) return forEver;
		const reply = (error: number, data: Uint8Array = new Uint8Array()) =>
			this.#send(u32(replyMagic), u32(error), handle, data);

		const durable = (flags & fuaFlag) !== 0;
		const fits = offset + length <= this.#disk.sizeBytes;
		const whole = offset % sectorBytes === 0 && length % sectorBytes === 0;
		if (kind === command.flush) {
			this.#counts.flushes += 1;
			this.#disk.flush();
			reply(errno.ok);
		} else if (kind === command.read) {
			if (!fits || !whole || length > maximumPayloadBytes) reply(errno.invalid);
			else {
				this.#counts.reads += 1;
				reply(errno.ok, this.#disk.read(offset, length));
			}
		} else if (kind === command.write || kind === command.writeZeroes) {
			if (!fits) reply(errno.noSpace);
			else if (!whole) reply(errno.invalid);
			else {
				this.#counts.writes += 1;
				// A copy: what was received may be part of a larger piece.
				this.#disk.write(offset, withPayload ? Uint8Array.from(payload) : new Uint8Array(length), durable);
				this.#onWrite();
				reply(errno.ok);
			}
		} else reply(errno.invalid);
		return true;
	}

	async #read(length: number): Promise<Buffer> {
		const bytes = length === 0 ? Buffer.alloc(0) : await this.#queue.read(length);
		return this.#isFrozen() ? forEver : bytes;
	}

	#send(...parts: Uint8Array[]): void {
		if (!this.#isFrozen()) this.#socket.write(Buffer.concat(parts));
	}
}

const garbage = (what: string): AppError => new AppError("malformed", `The client sent ${what} that is not NBD.`);

/** From the data of INFO and GO: the name, then the kinds of information that are wanted. Null when it is malformed. */
function exportNameOf(data: Buffer): string | null {
	if (data.length < 6) return null;
	const length = data.readUInt32BE();
	if (data.length < 6 + length) return null;
	const wanted = data.readUInt16BE(4 + length);
	return data.length === 6 + length + wanted * 2 ? data.toString("utf8", 4, 4 + length) : null;
}

function u16(value: number): Buffer {
	const bytes = Buffer.alloc(2);
	bytes.writeUInt16BE(value);
	return bytes;
}

function u32(value: number): Buffer {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32BE(value);
	return bytes;
}

function u64(value: bigint): Buffer {
	const bytes = Buffer.alloc(8);
	bytes.writeBigUInt64BE(value);
	return bytes;
}
