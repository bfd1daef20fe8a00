/**
 * A regular file of this node that a person named, open for reading. It may lie on a file system whose server goes away, so the daemon
 * reads it by way of another process (worker/host-file.ts); a storage worker, which is one, reads its files itself.
 */
import type { LongOptions } from "./driver.ts";
import type { ImageBytes } from "./inspect/image-rules.ts";
import type { OpenedHostFile } from "./local/host-file.ts";

/**
 * What tells that a file was written to. Whose file it is can set the time of its content back; that of its status is the kernel's, and goes
 * with every write and every such setting. Neither is finer than some milliseconds.
 */
export type HostFileState = { sizeBytes: number; changedMs: number; statusChangedMs: number };

export const sameState = (one: HostFileState, other: HostFileState): boolean =>
	one.sizeBytes === other.sizeBytes &&
	one.changedMs === other.changedMs &&
	one.statusChangedMs === other.statusChangedMs;

export interface HostFileReader extends AsyncDisposable, OpenedHostFile {
	/** By which other programs open this very file, whatever gets its name meanwhile. */
	readonly programPath: string;
	/** From `position`, at most `maxBytes`; empty at the end. */
	read(position: number, maxBytes: number): Promise<Uint8Array>;
	stat(): Promise<HostFileState>;
	/** The first `sizeBytes` bytes into the file `path`, which is there and empty; on the disk then. Their SHA-256, in hex. */
	copyTo(path: string, options: LongOptions): Promise<string>;
	/** Of the first `sizeBytes` bytes, in hex. */
	sha256(options: LongOptions): Promise<string>;
	/** What image-rules.ts judges. */
	imageBytes(): Promise<ImageBytes>;
}
