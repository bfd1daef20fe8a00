/**
 * A regular file of this node that a person named, open for reading. It may lie on a file system whose server goes away, so the daemon
 * reads it by way of another process (worker/host-file.ts); a storage worker, which is one, reads its files itself.
 */
import type { LongOptions } from "./driver.ts";
import type { ImageBytes } from "./inspect/image-rules.ts";
import type { OpenedHostFile } from "./local/host-file.ts";

export interface HostFileReader extends AsyncDisposable, OpenedHostFile {
	/** By which other programs open this very file, whatever gets its name meanwhile. */
	readonly programPath: string;
	/** From `position`, at most `maxBytes`; empty at the end. */
	read(position: number, maxBytes: number): Promise<Uint8Array>;
	stat(): Promise<{ sizeBytes: number; changedMs: number }>;
	/** The first `sizeBytes` bytes into the file `path`, which is there and empty; on the disk then. Their SHA-256, in hex. */
	copyTo(path: string, options: LongOptions): Promise<string>;
	/** Of the first `sizeBytes` bytes, in hex. */
	sha256(options: LongOptions): Promise<string>;
	/** What image-rules.ts judges. */
	imageBytes(): Promise<ImageBytes>;
}
