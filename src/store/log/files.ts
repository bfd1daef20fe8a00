/**
 * The files that the Raft log needs, and no more: real ones (disk-files.ts), or those of a simulator that loses what
 * was not synced and fails when told to (testing/memory-files.ts). All names are in one folder.
 *
 * Errors: `no-space` when the disk is full or nearly so (a part of an append may have been written); anything else is
 * `storage`, as is any error of `sync` and `syncDirectory`. Whoever gets one of those must assume that what was not synced
 * before is lost, and stop.
 */

import type { Urgency } from "../disk-reserve.ts";

export interface LogFile {
	readonly sizeBytes: number;
	/**
	 * Writes at the end. Not durable before `sync`. `keepFreeBytes`: `no-space`, with nothing written, when fewer bytes
	 * of the disk would stay free (default 0). What is held for the log (../ballast-file.ts) counts as free; for "growing" only
	 * while the disk is not full, and what the file system keeps for root does not.
	 */
	append(data: Uint8Array, keepFreeBytes?: number, urgency?: Urgency): Promise<void>;
	/** `append` and `sync` in one; `no-space` is only ever the append's. */
	appendDurably(data: Uint8Array, keepFreeBytes?: number): Promise<void>;
	/** fdatasync: data and size are durable. */
	sync(): Promise<void>;
	/** Fewer bytes than asked for only at the end of the file. */
	read(offset: number, length: number): Promise<Uint8Array>;
	/** Not durable before `sync`. */
	truncate(sizeBytes: number): Promise<void>;
	close(): Promise<void>;
}

export interface LogFiles {
	list(): Promise<string[]>;
	/** An existing file, or a new one with `create`, which fails when there is one. */
	open(name: string, mode: "existing" | "create"): Promise<LogFile>;
	/** Replaces the target. Durable after `syncDirectory`, as `create` and `remove` are. */
	rename(from: string, to: string): Promise<void>;
	remove(name: string): Promise<void>;
	syncDirectory(): Promise<void>;
	close(): Promise<void>;
}
