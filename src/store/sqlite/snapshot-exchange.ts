/**
 * Snapshots that nodes send each other: the files of `snapshots/` on their way out, and one on its way in. What the
 * consensus asks for, and why a crash between any two steps loses nothing, is in ../raft/snapshot-store.ts.
 *
 *   snapshots/received.part      what has arrived so far
 *   snapshots/received.progress  of which snapshot, and how much of it is durable (../raft/snapshot-progress.ts)
 *   snapshots/received-N.db      whole, checked and durable; no snapshot of this node before it is in force
 *   state.db.received            a copy of it, ready to be moved into the place of the state
 *
 * What is sent is read through one open file, so that it may be deleted meanwhile.
 */
import { Database } from "bun:sqlite";
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from "node:fs";
import { type FileHandle, open, readdir, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { present } from "../../lib/assert.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { encodeConfiguration } from "../../raft/configuration.ts";
import type { Resume } from "../../raft/snapshot-receiver.ts";
import type { Offer } from "../../raft/snapshot-stream.ts";
import type { ConfigurationAt, SnapshotMeta } from "../../raft/types.ts";
import { restoreAdvice } from "../advice.ts";
import { crc32c } from "../log/crc32c.ts";
import { decodeProgress, encodeProgress, isAsKept } from "../raft/snapshot-progress.ts";
import type { SnapshotStore, StoredSnapshot } from "../raft/snapshot-store.ts";
import { openDatabase, openStateFile } from "./database.ts";
import {
	checkSnapshot,
	copyDurably,
	dropOlderSnapshots,
	listSnapshots,
	type SnapshotFile,
	snapshotName,
	syncPath,
} from "./snapshot-files.ts";
import type { StateDatabase } from "./state-database.ts";

export type SnapshotExchangeParts = {
	directory: string;
	statePath: string;
	state: StateDatabase;
	/** The members before the log says who they are: of a snapshot that does not say it itself. */
	founders: ConfigurationAt;
	/** Makes a new snapshot in `directory`. */
	make: () => Promise<unknown>;
	/** Runs `work` while nobody else has the files of the state open. */
	exclusively: (work: () => void) => Promise<void>;
	/** The state is another one now. */
	onReplaced: () => void;
	/** Left out: what is free says whether there is any. */
	room?: SnapshotRoom;
	/** After so many bytes, what has arrived is made durable: a restart loses no more of it. */
	keptEveryBytes?: number;
};

export type SnapshotRoom = {
	/** Whether so much can be written, also in the place of what is kept for changes that make room; it is lent until it is given back. */
	takeRoom(bytes: number): Promise<boolean>;
	giveRoomBack(): void;
};

type Receiving = { file: FileHandle; offer: Offer; sizeBytes: number; keptBytes: number };

/** CRC and reading of large files in parts, so that heartbeats get their turn. */
const partBytes = 1024 * 1024;
const defaultKeptEveryBytes = 8 * 1024 * 1024;
const receivedPattern = /^received-(\d{16}\.db)$/;

export class SnapshotExchange implements SnapshotStore {
	readonly #parts: SnapshotExchangeParts;
	/** Of the file that was looked at last: reading all of it is not free. */
	#known: { path: string; inode: number; meta: SnapshotMeta; sizeBytes: number; crc: number } | null = null;
	#making: Promise<unknown> | null = null;
	#made = 0;
	#receiving: Receiving | null = null;
	#begun = false;

	constructor(parts: SnapshotExchangeParts) {
		this.#parts = parts;
	}

	async newest(minIndex: number): Promise<StoredSnapshot | null> {
		const { directory, make } = this.#parts;
		const good = async (): Promise<SnapshotFile | undefined> =>
			(await listSnapshots(directory)).find(({ index }) => index >= minIndex && index > 0);
		const before = this.#made;
		let found = await good();
		if (found === undefined && this.#made === before) {
			this.#making ??= make().finally(() => {
				this.#making = null;
				this.#made += 1;
			});
			await this.#making;
		}
		found ??= await good();
		return found === undefined ? null : this.#opened(found.path);
	}

	async begin(offer: Offer): Promise<void> {
		this.#begun = true;
		await this.discard();
		if (!(await this.#takeRoom(offer, 0)))
			throw new AppError("no-space", "The disk of this node has no room for a snapshot.");
		const file = await fullIsNoSpace(open(this.#incoming, "wx", 0o600));
		this.#receiving = { file, offer, sizeBytes: 0, keptBytes: 0 };
	}

	/** For what arrives and for the copy that becomes the state. Tried in vain, it would take what others need meanwhile. */
	async #takeRoom({ sizeBytes }: Offer, arrivedBytes: number): Promise<boolean> {
		const bytes = 2 * sizeBytes - arrivedBytes;
		const take = async () => (await this.#parts.room?.takeRoom(bytes)) ?? this.#isFree(bytes);
		if (await take()) return true;
		return (await dropOlderSnapshots(this.#parts.directory)) && (await take());
	}

	async #isFree(bytes: number): Promise<boolean> {
		const { bavail, bsize } = await statfs(this.#parts.directory);
		return bavail * bsize >= bytes;
	}

	async write(offset: number, data: Uint8Array, crc: number): Promise<void> {
		const receiving = present(this.#receiving, "a snapshot that is being received");
		if (offset !== receiving.sizeBytes) throw new AppError("corrupt", "A part of the snapshot is missing.");
		for (let at = 0; at < data.length; ) {
			const { bytesWritten } = await fullIsNoSpace(receiving.file.write(data, at, data.length - at, offset + at));
			at += bytesWritten;
		}
		receiving.sizeBytes += data.length;
		const { keptEveryBytes = defaultKeptEveryBytes } = this.#parts;
		if (receiving.sizeBytes - receiving.keptBytes >= keptEveryBytes) await fullIsNoSpace(this.#keep(receiving, crc));
	}

	/** The bytes first: what the file beside them says is never more than there is. */
	async #keep(receiving: Receiving, crc: number): Promise<void> {
		const { offer, sizeBytes: offset } = receiving;
		await receiving.file.datasync();
		const temporary = `${this.#progress}.tmp`;
		await writeFile(temporary, encodeProgress({ offer, offset, crc }), { mode: 0o600, flush: true });
		await rename(temporary, this.#progress);
		receiving.keptBytes = offset;
	}

	async resume(index: number): Promise<Resume | null> {
		const found = decodeProgress(await readFile(this.#progress).catch(() => null));
		const file = found === null ? null : await open(this.#incoming, "r+").catch(() => null);
		if (found === null || file === null) {
			await this.discard();
			return null;
		}
		const { offer, offset } = found;
		const read = (at: number, length: number): Promise<Uint8Array> => readAt(file, at, length);
		this.#receiving = { file, offer, sizeBytes: offset, keptBytes: offset };
		const isOfUse = offer.meta.index > index && (await isAsKept(found, read)) && (await this.#takeRoom(offer, offset));
		if (!isOfUse) {
			await this.discard();
			return null;
		}
		await file.truncate(offset);
		this.#begun = true;
		return found;
	}

	async finish({ meta }: Offer): Promise<void> {
		const { directory } = this.#parts;
		const receiving = present(this.#receiving, "a snapshot that is being received");
		await fullIsNoSpace(receiving.file.sync());
		await receiving.file.close();
		this.#receiving = null;
		await fullIsNoSpace(this.#upgrade(meta));
		const path = this.#receivedPath(meta.index);
		await rename(this.#incoming, path);
		await rm(this.#progress, { force: true });
		await syncPath(directory);
		await fullIsNoSpace(this.#prepare(path));
	}

	install({ index }: SnapshotMeta): Promise<void> {
		const { exclusively, onReplaced } = this.#parts;
		return exclusively(() => {
			this.#moveIn(index);
			this.#parts.room?.giveRoomBack();
			onReplaced();
		});
	}

	async close(): Promise<void> {
		await this.#receiving?.file.close().catch(() => {});
		this.#receiving = null;
	}

	async discard(): Promise<void> {
		const { directory, statePath } = this.#parts;
		await this.close();
		for (const suffix of ["", "-wal", "-shm"]) await rm(this.#incoming + suffix, { force: true });
		await rm(this.#progress, { force: true });
		for (const name of await readdir(directory).catch(() => []))
			if (receivedPattern.test(name)) await rm(join(directory, name), { force: true });
		await rm(`${statePath}.received`, { force: true });
		this.#parts.room?.giveRoomBack();
	}

	/** Once a start has completed what was to be completed: the rest is of a snapshot that never came into force. */
	clear(): void {
		const { directory, statePath } = this.#parts;
		if (this.#begun) return;
		for (const name of readdirSync(directory))
			if (receivedPattern.test(name)) rmSync(join(directory, name), { force: true });
		rmSync(`${statePath}.received`, { force: true });
	}

	/** Also where a power cut took the state back to before what the log was cut behind: any intact snapshot that reaches it. */
	async completeInstall(index: number): Promise<SnapshotMeta> {
		const { directory, state } = this.#parts;
		const received = this.#receivedPath(index);
		if (existsSync(received)) await this.#prepareAtStart(received).then(() => this.#moveIn(index));
		else await this.#rebuild(await listSnapshots(directory), index);
		this.#parts.onReplaced();
		return metaOf(state, this.#parts.founders);
	}

	get #incoming(): string {
		return join(this.#parts.directory, "received.part");
	}

	get #progress(): string {
		return join(this.#parts.directory, "received.progress");
	}

	#receivedPath(index: number): string {
		return join(this.#parts.directory, `received-${snapshotName(index)}`);
	}

	async #opened(path: string): Promise<StoredSnapshot> {
		const file = await open(path, "r");
		try {
			const { ino, size } = await file.stat();
			if (this.#known?.path !== path || this.#known.inode !== ino) {
				const crc = await crcOf(file, size);
				this.#known = { path, inode: ino, meta: metaOfFile(path, this.#parts.founders), sizeBytes: size, crc };
			}
			const { meta, sizeBytes, crc } = this.#known;
			return {
				name: `${snapshotName(meta.index)}.${crc}.${sizeBytes}`,
				...{ meta, sizeBytes, crc },
				read: (offset, length) => readAt(file, offset, Math.min(length, sizeBytes - offset)),
				release: () => void file.close().catch(() => {}),
			};
		} catch (error) {
			await file.close();
			throw error;
		}
	}

	/** What has arrived is an intact state of this index, in the schema of this version from now on. */
	async #upgrade(meta: SnapshotMeta): Promise<void> {
		const held = await checkSnapshot(this.#incoming);
		const state = openStateFile(this.#incoming);
		try {
			const members = state.configuration ?? meta.configuration;
			const bytes = (one: ConfigurationAt) => encodeConfiguration(one.configuration);
			const same = Buffer.compare(bytes(members), bytes(meta.configuration)) === 0;
			if (held.index !== meta.index || held.term !== meta.term || !same)
				throw new AppError("corrupt", "The snapshot does not hold what the leader says that it holds.");
			if (state.configuration === null) state.transaction(() => state.setConfiguration(meta.configuration));
			state.database.run("PRAGMA wal_checkpoint(TRUNCATE)");
		} finally {
			state.close();
			for (const suffix of ["-wal", "-shm"]) await rm(this.#incoming + suffix, { force: true });
		}
		await syncPath(this.#incoming);
	}

	/** Tried in any case: a node that has no room for it does not start. */
	async #prepareAtStart(path: string): Promise<void> {
		const { room, statePath } = this.#parts;
		await rm(`${statePath}.received`, { force: true });
		await room?.takeRoom((await stat(path)).size);
		await this.#prepare(path);
		room?.giveRoomBack();
	}

	#prepare(received: string): Promise<void> {
		return copyDurably(received, `${this.#parts.statePath}.received`);
	}

	/** Renames only. */
	#moveIn(index: number): void {
		const { directory, statePath, state } = this.#parts;
		state.replace(() => {
			for (const suffix of ["-wal", "-shm", ".seal"]) rmSync(statePath + suffix, { force: true });
			renameSync(`${statePath}.received`, statePath);
			syncNow(dirname(statePath));
			renameSync(this.#receivedPath(index), join(directory, snapshotName(index)));
			syncNow(directory);
			return openDatabase(statePath);
		});
	}

	async #rebuild(snapshots: readonly SnapshotFile[], minIndex: number): Promise<void> {
		const { statePath, state } = this.#parts;
		for (const { path, index } of snapshots) {
			if (index < minIndex) break;
			try {
				await checkSnapshot(path);
			} catch (error) {
				if (isAppError(error, "corrupt")) continue;
				throw error;
			}
			await this.#prepareAtStart(path);
			state.replace(() => {
				for (const suffix of ["-wal", "-shm", ".seal"]) rmSync(statePath + suffix, { force: true });
				renameSync(`${statePath}.received`, statePath);
				syncNow(dirname(statePath));
				return openDatabase(statePath);
			});
			return;
		}
		throw new AppError(
			"corrupt",
			`The state database ${statePath} is missing or too old, and no intact snapshot reaches the log, which begins at ${minIndex + 1}. Nothing was changed. Put state.db or a file of snapshots/ back from a copy of the data folder. ${restoreAdvice}`,
		);
	}
}

export const metaOf = (state: StateDatabase, founders: ConfigurationAt): SnapshotMeta => ({
	index: state.appliedIndex,
	term: state.appliedTerm,
	configuration: state.configuration ?? founders,
});

/** Of a file that must not be changed. */
function metaOfFile(path: string, founders: ConfigurationAt): SnapshotMeta {
	const database = new Database(path, { readonly: true });
	const meta = (key: string) =>
		(database.query("SELECT value FROM meta WHERE key = ?").get(key) as { value: string | number } | null)?.value;
	try {
		const members = meta("configuration");
		const configuration = members === undefined ? founders : (JSON.parse(String(members)) as ConfigurationAt);
		return { index: Number(meta("appliedIndex")), term: Number(meta("appliedTerm")), configuration };
	} finally {
		database.close();
		// A reader makes these where there are none, and leaves them.
		for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
	}
}

async function crcOf(file: FileHandle, sizeBytes: number): Promise<number> {
	let crc: number | undefined;
	for (let offset = 0; offset < sizeBytes; offset += partBytes)
		crc = crc32c(await readAt(file, offset, Math.min(partBytes, sizeBytes - offset)), crc);
	return crc ?? 0;
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
	const data = new Uint8Array(length);
	let got = 0;
	while (got < length) {
		const { bytesRead } = await file.read(data, got, length - got, offset + got);
		if (bytesRead === 0) break;
		got += bytesRead;
	}
	return got === length ? data : data.subarray(0, got);
}

function syncNow(folder: string): void {
	const handle = openSync(folder, "r");
	try {
		fsyncSync(handle);
	} finally {
		closeSync(handle);
	}
}

async function fullIsNoSpace<T>(work: Promise<T>): Promise<T> {
	try {
		return await work;
	} catch (error) {
		const code = (error as NodeJS.ErrnoException).code;
		if (code === "ENOSPC" || code === "EDQUOT" || code === "SQLITE_FULL")
			throw new AppError("no-space", "The disk of this node is full.", { cause: error });
		throw error;
	}
}
