/**
 * Files of the Raft log in memory, with a disk's bad habits: what was not synced may be lost or torn in a crash, the
 * disk can be full, and operations fail when told to.
 *
 * A crash keeps, of each file, what was synced, and any part of what was written since: each sector of 512 bytes on
 * its own, in any order, and any of the sizes in between. Of the folder's changes (create, rename, remove) since
 * `syncDirectory` it keeps the first few.
 */
import { AppError } from "../lib/errors.ts";
import type { LogFile, LogFiles } from "../store/log/files.ts";

export type FileOperation = "append" | "sync" | "truncate" | "open" | "rename" | "remove" | "syncDirectory";

/** `sizes`: those that the file had since the last sync. */
type Content = { current: Bytes; durable: Bytes; sizes: number[] };
type DirectoryChange = { name: string; content: Content | null };

/** What an operation does instead of its work: fail with an error, or the process is gone in the middle of it. */
export type Fault = "io-error" | "no-space" | "crash";

const sectorBytes = 512;

/**
 * Bytes that grow at their end. A copy shares the memory until what it holds would be written over, so that a log of
 * megabytes is not copied at each write.
 */
class Bytes {
	length: number;
	#memory: Uint8Array;
	/** What may not be written over: a copy has it. */
	#shared = 0;

	constructor(bytes: Uint8Array = new Uint8Array()) {
		this.#memory = bytes;
		this.length = bytes.length;
	}

	get view(): Uint8Array {
		return this.#memory.subarray(0, this.length);
	}

	append(data: Uint8Array): void {
		const end = this.length + data.length;
		if (end > this.#memory.length || this.length < this.#shared) {
			const memory = new Uint8Array(Math.max(end, 2 * this.length));
			memory.set(this.view);
			this.#memory = memory;
			this.#shared = 0;
		}
		this.#memory.set(data, this.length);
		this.length = end;
	}

	truncate(length: number): void {
		this.length = Math.min(this.length, length);
	}

	share(): Bytes {
		this.#shared = Math.max(this.#shared, this.length);
		return new Bytes(this.view);
	}
}

export class MemoryFiles implements LogFiles {
	/** Called before each operation that changes something; counts them, too. */
	onOperation: (operation: FileOperation, count: number) => Fault | undefined = () => undefined;
	capacityBytes = Number.POSITIVE_INFINITY;
	operations = 0;
	/** Writes and syncs wait for this: a disk that hangs. */
	stalled: Promise<void> | null = null;
	#crashed = false;
	#current = new Map<string, Content>();
	#durable = new Map<string, Content>();
	#changes: DirectoryChange[] = [];

	async list(): Promise<string[]> {
		return [...this.#current.keys()];
	}

	async open(name: string, mode: "existing" | "create"): Promise<LogFile> {
		let content = this.#current.get(name);
		if (mode === "create") {
			this.before("open");
			if (content) throw new AppError("storage", `${name} exists`);
			content = { current: new Bytes(), durable: new Bytes(), sizes: [] };
			this.#change({ name, content });
		}
		if (!content) throw new AppError("storage", `${name} does not exist`);
		return new MemoryFile(this, content);
	}

	async rename(from: string, to: string): Promise<void> {
		this.before("rename");
		const content = this.#current.get(from);
		if (!content) throw new AppError("storage", `${from} does not exist`);
		this.#change({ name: to, content });
		this.#change({ name: from, content: null });
	}

	async remove(name: string): Promise<void> {
		this.before("remove");
		this.#change({ name, content: null });
	}

	async syncDirectory(): Promise<void> {
		this.before("syncDirectory");
		this.#durable = new Map(this.#current);
		this.#changes = [];
	}

	async close(): Promise<void> {}

	/** The bytes of a file, to look at or to damage. */
	bytes(name: string): Uint8Array {
		const content = this.#current.get(name);
		if (!content) throw new Error(`${name} does not exist`);
		return content.current.view;
	}

	usedBytes(): number {
		let bytes = 0;
		for (const content of this.#current.values()) bytes += content.current.length;
		return bytes;
	}

	/** What the next start finds. `random` gives numbers in [0, 1); a power cut keeps less than the end of a process. */
	afterCrash(random: () => number, kind: "power-cut" | "process-end" = "power-cut"): MemoryFiles {
		const next = new MemoryFiles();
		next.capacityBytes = this.capacityBytes;
		const names = kind === "process-end" ? this.#current : new Map(this.#durable);
		if (kind === "power-cut")
			for (const { name, content } of this.#changes.slice(0, Math.floor(random() * (this.#changes.length + 1)))) {
				if (content) names.set(name, content);
				else names.delete(name);
			}
		for (const [name, content] of names) {
			const left = kind === "process-end" ? content.current.view.slice() : torn(content, random);
			next.#current.set(name, { current: new Bytes(left), durable: new Bytes(left), sizes: [] });
		}
		next.#durable = new Map(next.#current);
		return next;
	}

	freeBytes(): number {
		return Math.max(0, this.capacityBytes - this.usedBytes());
	}

	#change(change: DirectoryChange): void {
		this.#changes.push(change);
		if (change.content) this.#current.set(change.name, change.content);
		else this.#current.delete(change.name);
	}

	/** For the files of this folder. */
	before(operation: FileOperation): void {
		if (this.#crashed) throw new AppError("internal", "the process is gone");
		this.operations += 1;
		const fault = this.onOperation(operation, this.operations);
		if (fault === "io-error") throw new AppError("storage", `injected error in ${operation}`);
		if (fault === "no-space") throw new AppError("no-space", `injected full disk in ${operation}`);
		if (fault === "crash") this.#crashed = true;
	}

	get crashed(): boolean {
		return this.#crashed;
	}

	checkAlive(): void {
		if (this.#crashed) throw new AppError("internal", "the process is gone");
	}
}

class MemoryFile implements LogFile {
	readonly #files: MemoryFiles;
	readonly #content: Content;

	constructor(files: MemoryFiles, content: Content) {
		this.#files = files;
		this.#content = content;
	}

	get sizeBytes(): number {
		return this.#content.current.length;
	}

	async append(data: Uint8Array, keepFreeBytes = 0): Promise<void> {
		if (this.#files.stalled !== null) await this.#files.stalled;
		this.#files.before("append");
		const { capacityBytes } = this.#files;
		const space = capacityBytes === Number.POSITIVE_INFINITY ? capacityBytes : this.#files.freeBytes();
		if (space < data.length + keepFreeBytes && keepFreeBytes > 0)
			throw new AppError("no-space", "The disk is nearly full.");
		const written = data.subarray(0, Math.min(data.length, space));
		this.#content.sizes.push(this.sizeBytes);
		this.#content.current.append(written);
		this.#files.checkAlive();
		if (written.length < data.length) throw new AppError("no-space", "The disk is full.");
	}

	async appendDurably(data: Uint8Array, keepFreeBytes = 0): Promise<void> {
		await this.append(data, keepFreeBytes);
		await this.sync();
	}

	async sync(): Promise<void> {
		if (this.#files.stalled !== null) await this.#files.stalled;
		this.#files.before("sync");
		this.#files.checkAlive();
		this.#content.durable = this.#content.current.share();
		this.#content.sizes = [];
	}

	async read(offset: number, length: number): Promise<Uint8Array> {
		this.#files.checkAlive();
		return this.#content.current.view.slice(offset, offset + length);
	}

	async truncate(sizeBytes: number): Promise<void> {
		this.#files.before("truncate");
		this.#content.sizes.push(this.sizeBytes);
		this.#content.current.truncate(sizeBytes);
		this.#files.checkAlive();
	}

	async close(): Promise<void> {}
}

/** What a power cut leaves of a file. */
function torn(content: Content, random: () => number): Uint8Array {
	const { sizes } = content;
	const current = content.current.view;
	const durable = content.durable.view;
	const candidates = [durable.length, current.length, ...sizes, Math.floor(random() * (current.length + 1))];
	const size = candidates[Math.floor(random() * candidates.length)] ?? durable.length;
	const result = new Uint8Array(Math.max(size, Math.min(durable.length, current.length)));
	for (let sector = 0; sector < result.length; sector += sectorBytes) {
		const end = Math.min(sector + sectorBytes, result.length);
		const source = random() < 0.5 ? current : durable;
		result.set(source.subarray(sector, Math.min(end, source.length)), Math.min(sector, result.length));
	}
	return result;
}
