/** The files of one process: the log's file interface on a simulated disk, which takes its time, fails and fills up. */
import { AppError } from "../../lib/errors.ts";
import type { LogFile, LogFiles } from "../../store/log/files.ts";
import type { ProcessHost } from "./process.ts";
import { Content, type SimulatedDisk } from "./simulated-disk.ts";

const done = Promise.resolve();
/** The process is gone: nobody waits for this any more. */
const never = new Promise<never>(() => {});

const unreadable = (): AppError => new AppError("storage", "injected error of a read");

export type FilesOptions = {
	disk: SimulatedDisk;
	host: ProcessHost;
	/** False when the process has ended. */
	alive: () => boolean;
	/** In a full disk a small file may fit where much does not. */
	fits: () => boolean;
	/** For mutants: a sync that does nothing and says that it is done. */
	syncs: boolean;
};

export class SimulatedFiles implements LogFiles {
	readonly options: FilesOptions;

	constructor(options: FilesOptions) {
		this.options = options;
	}

	/** For what is read at once. */
	failIfUnreadable(): void {
		if (this.options.host.readFault()) throw unreadable();
	}

	list(): Promise<string[]> {
		if (!this.options.alive()) return never;
		if (this.options.host.readFault()) return Promise.reject(unreadable());
		return Promise.resolve([...this.options.disk.names.keys()]);
	}

	open(name: string, mode: "existing" | "create"): Promise<LogFile> {
		const { disk } = this.options;
		if (!this.options.alive()) return never;
		let content = disk.names.get(name);
		if (mode === "create") {
			if (content !== undefined) return Promise.reject(new AppError("storage", `${name} exists`));
			content = new Content();
			disk.change(name, content);
		}
		if (content === undefined) return Promise.reject(new AppError("storage", `${name} does not exist`));
		return Promise.resolve(new SimulatedFile(this, name, content));
	}

	rename(from: string, to: string): Promise<void> {
		const { disk } = this.options;
		if (!this.options.alive()) return never;
		const content = disk.names.get(from);
		if (content === undefined) return Promise.reject(new AppError("storage", `${from} does not exist`));
		disk.change(to, content);
		disk.change(from, null);
		return done;
	}

	remove(name: string): Promise<void> {
		if (!this.options.alive()) return never;
		this.options.disk.change(name, null);
		return done;
	}

	syncDirectory(): Promise<void> {
		return this.write("folder", () => this.options.disk.syncDirectory());
	}

	close(): Promise<void> {
		return done;
	}

	/** What takes time: it is done, or the process ends in it, or the disk says that it could not. */
	write(of: "file" | "folder", work: () => void): Promise<void> {
		const { host, alive, syncs } = this.options;
		if (!alive()) return never;
		const fault = host.writeFault(of);
		return new Promise((resolve, reject) => {
			host.later(host.writeMs(), () => {
				if (fault === "crash") host.ended("crash in a write");
				else if (fault === "error") reject(new AppError("storage", "injected error of the disk"));
				else {
					if (syncs) work();
					resolve();
				}
			});
		});
	}
}

class SimulatedFile implements LogFile {
	readonly #files: SimulatedFiles;
	readonly #name: string;
	readonly #content: Content;

	constructor(files: SimulatedFiles, name: string, content: Content) {
		this.#files = files;
		this.#name = name;
		this.#content = content;
	}

	get sizeBytes(): number {
		return this.#content.size;
	}

	append(data: Uint8Array, keepFreeBytes = 0): Promise<void> {
		const { host, alive, fits } = this.#files.options;
		if (!alive()) return never;
		if (host.isFull() && !(keepFreeBytes === 0 && fits())) {
			if (keepFreeBytes === 0) this.#content.append(data.subarray(0, data.length >> 1));
			return Promise.reject(new AppError("no-space", "The disk is full."));
		}
		this.#content.append(data);
		return done;
	}

	appendDurably(data: Uint8Array, keepFreeBytes = 0): Promise<void> {
		const { host, alive } = this.#files.options;
		if (!alive()) return never;
		if (host.isFull()) return this.append(data, keepFreeBytes).then(() => this.sync());
		this.#content.append(data);
		return this.sync();
	}

	sync(): Promise<void> {
		return this.#files.write("file", () => this.#files.options.disk.sync(this.#name, this.#content));
	}

	read(offset: number, length: number): Promise<Uint8Array> {
		const { host, alive } = this.#files.options;
		if (!alive()) return never;
		const { data, size } = this.#content;
		const found = data.slice(offset, Math.min(size, offset + length));
		const fails = host.readFault();
		const ms = host.readMs();
		if (ms === 0) return fails ? Promise.reject(unreadable()) : Promise.resolve(found);
		return new Promise((resolve, reject) => {
			host.later(ms, () => (fails ? reject(unreadable()) : resolve(found)));
		});
	}

	truncate(sizeBytes: number): Promise<void> {
		if (!this.#files.options.alive()) return never;
		this.#content.truncate(sizeBytes);
		return done;
	}

	close(): Promise<void> {
		return done;
	}
}
