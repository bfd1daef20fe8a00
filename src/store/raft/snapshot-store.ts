/**
 * Snapshots of the state, as the consensus needs them: the newest to send to a node that is too far behind, and one that
 * is received and becomes the state.
 *
 * A snapshot arrives in three steps, so that a crash between any two of them leaves either the old state with the old
 * log or the new one with the new:
 *
 *   finish           what has arrived is whole, checked and durable, under a name that the next start finds
 *   (the log begins anew after it: from here on it is in force)
 *   install          it becomes the state, durably
 *
 * After a crash before `install` was done, the log begins after what the state holds: then `completeInstall` is called.
 * So everything that can fail, or needs space, belongs into `finish`; an error of `install` ends the process.
 *
 * What has arrived of one before that survives a restart, too, as far as the store has kept it (snapshot-progress.ts): the
 * sender goes on there. It is thrown away when another one comes.
 */
import type { Resume } from "../../raft/snapshot-receiver.ts";
import type { Offer } from "../../raft/snapshot-stream.ts";
import type { SnapshotMeta } from "../../raft/types.ts";

/** `name`: of this very file, the same on every offer of it. `crc`: CRC-32C of the whole. */
export type StoredSnapshot = {
	name: string;
	meta: SnapshotMeta;
	sizeBytes: number;
	crc: number;
	/** Exactly so many bytes, fewer only when it cannot. */
	read(offset: number, length: number): Promise<Uint8Array>;
	/** It is not read any more. */
	release(): void;
};

export interface SnapshotStore {
	/** One that holds the log up to `minIndex` at least, made now if there is none; null when there is none for now. */
	newest(minIndex: number): Promise<StoredSnapshot | null>;
	/** Throws away what was received, and begins to receive this one. */
	begin(offer: Offer): Promise<void>;
	/** At the end of what was received, which is `offset`. `crc`: of all of it then. `no-space` when the disk is full. */
	write(offset: number, data: Uint8Array, crc: number): Promise<void>;
	/**
	 * At a start, when nothing has to be completed any more: what is there of a snapshot that holds more than `index`, and is
	 * as it arrived. Else nothing, and then nothing of it stays.
	 */
	resume(index: number): Promise<Resume | null>;
	/** `corrupt` when it is no intact snapshot, `no-space` when the disk is full. */
	finish(offer: Offer): Promise<void>;
	/** The one that was finished becomes the state. Entries handed over before, and not applied, are not applied any more. */
	install(meta: SnapshotMeta): Promise<void>;
	/** The node is ending: what is being received stays for the next start. */
	close(): Promise<void>;
	/** What was received is not needed. */
	discard(): Promise<void>;
	/** At a start: the one that was finished and is not installed yet, up to `index`. Says what the state then holds. */
	completeInstall(index: number): Promise<SnapshotMeta>;
}
