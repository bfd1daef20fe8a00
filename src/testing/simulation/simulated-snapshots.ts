/**
 * Snapshots on a simulated disk. What arrives is in a file that a crash leaves as it was last made durable, with anything or
 * nothing after that, and now and then with a byte in it that is another; a restart goes on with it by the daemon's own
 * rules (store/raft/snapshot-progress.ts).
 */
import { AppError } from "../../lib/errors.ts";
import type { MutantName } from "../../raft/mutants.ts";
import type { Resume } from "../../raft/snapshot-receiver.ts";
import type { Offer } from "../../raft/snapshot-stream.ts";
import type { NodeId, SnapshotMeta } from "../../raft/types.ts";
import { crc32c } from "../../store/log/crc32c.ts";
import { decodeProgress, encodeProgress, isAsKept } from "../../store/raft/snapshot-progress.ts";
import type { SnapshotStore, StoredSnapshot } from "../../store/raft/snapshot-store.ts";
import type { ProcessHost } from "./process.ts";
import type { Random } from "./random.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";
import type { SimulatedFiles } from "./simulated-files.ts";

/** A file that arrives, and the one beside it that says how far. */
export class Arriving {
	readonly offer: Offer;
	data: Uint8Array;
	size = 0;
	kept = 0;
	progress: Uint8Array | null = null;

	constructor(offer: Offer) {
		this.offer = offer;
		this.data = new Uint8Array(offer.sizeBytes);
	}

	/** A file grows when something is written after its end. */
	put(offset: number, data: Uint8Array): void {
		const end = offset + data.length;
		if (end > this.data.length) {
			const grown = new Uint8Array(end);
			grown.set(this.data);
			this.data = grown;
		}
		this.data.set(data, offset);
	}

	/** False when nothing of it is left. */
	crash(random: Random, power: boolean): boolean {
		if (this.progress === null) return false;
		if (!power) return true;
		for (let at = this.kept; at < this.size; at++) if (random.chance(0.5)) this.data[at] = 0;
		this.size = random.between(this.kept, this.size);
		if (random.chance(0.5)) {
			this.data = this.data.slice();
			for (let bytes = 0; bytes < 4; bytes++) this.data[random.below(Math.max(1, this.kept))] = random.below(256);
		}
		return true;
	}
}

export type SimulatedSnapshotsOptions = {
	id: NodeId;
	host: ProcessHost;
	disk: SimulatedDisk;
	files: SimulatedFiles;
	alive: () => boolean;
	/** After so many bytes, what has arrived is made durable. */
	keptEveryBytes: number;
	mutant: MutantName | null;
	/** What a snapshot of the state as it is would be; null when there is nothing in it. */
	meta: () => SnapshotMeta | null;
	/** This node's term. */
	term: () => number;
	/** The state is another one now; `before`: how far it had been. */
	installed: (before: number) => void;
};

export class SimulatedSnapshots implements SnapshotStore {
	readonly #options: SimulatedSnapshotsOptions;
	/** Terms of the sender and of this node when the last snapshot had arrived. */
	#arrived = { term: 0, ownTerm: 0 };

	constructor(options: SimulatedSnapshotsOptions) {
		this.#options = options;
	}

	async newest(minIndex: number): Promise<StoredSnapshot | null> {
		const { disk, id, files, meta } = this.#options;
		if (disk.snapshot === null || disk.snapshot.meta.index < minIndex) {
			const now = meta();
			if (now === null || now.index === 0) return null;
			disk.takeSnapshot(now);
		}
		const { snapshot } = disk;
		if (snapshot === null) return null;
		const { data } = snapshot;
		const crc = crc32c(data);
		const name = `${id}-${snapshot.meta.index}.${crc}`;
		this.#options.host.snapshotOffered(name, data);
		return {
			name,
			meta: snapshot.meta,
			sizeBytes: data.length,
			crc,
			read: async (offset, length) => {
				files.failIfUnreadable();
				return data.subarray(offset, offset + length);
			},
			release: () => {},
		};
	}

	async begin(offer: Offer): Promise<void> {
		const { disk, alive } = this.#options;
		if (!alive()) return;
		disk.received = null;
		disk.arriving = new Arriving(offer);
	}

	async write(offset: number, data: Uint8Array, crc: number): Promise<void> {
		const { disk, host, files, alive, keptEveryBytes } = this.#options;
		const { arriving } = disk;
		if (!alive() || arriving === null) return;
		if (host.isFull() && files.options.fits()) throw new AppError("no-space", "The disk is full.");
		host.snapshotWritten(arriving.offer.snapshot, offset, data);
		arriving.put(offset, data);
		arriving.size = offset + data.length;
		const { size } = arriving;
		if (size - arriving.kept < keptEveryBytes) return;
		await files.write("file", () => {
			arriving.kept = size;
			arriving.progress = encodeProgress({ offer: arriving.offer, offset: size, crc });
		});
	}

	async resume(index: number): Promise<Resume | null> {
		const { disk, files, mutant, host } = this.#options;
		const { arriving } = disk;
		const found = arriving === null ? null : decodeProgress(arriving.progress);
		if (arriving === null || found === null || found.offer.meta.index <= index) {
			disk.arriving = null;
			return null;
		}
		files.failIfUnreadable();
		const read = async (offset: number, length: number): Promise<Uint8Array> =>
			arriving.data.slice(offset, Math.min(arriving.size, offset + length));
		if (!(await isAsKept(found, read, mutant))) {
			disk.arriving = null;
			return null;
		}
		arriving.size = found.offset;
		host.resumed(found.offset);
		return found;
	}

	/** It is larger than other writes. */
	finish({ meta, term }: Offer): Promise<void> {
		const { disk, host } = this.#options;
		const { arriving } = disk;
		return new Promise((resolve) => {
			host.later(5 * host.writeMs(), () => {
				disk.received = { meta, data: arriving?.data ?? new Uint8Array(0) };
				disk.arriving = null;
				this.#arrived = { term, ownTerm: this.#options.term() };
				resolve();
			});
		});
	}

	async install(meta: SnapshotMeta): Promise<void> {
		const { host, alive } = this.#options;
		if (!alive()) return;
		try {
			host.installing(this.#arrived.term, this.#arrived.ownTerm);
		} catch (error) {
			host.found(error);
		}
		this.#install(meta.index);
	}

	async close(): Promise<void> {}

	async discard(): Promise<void> {
		const { disk, alive } = this.#options;
		if (!alive()) return;
		disk.received = null;
		disk.arriving = null;
	}

	async completeInstall(index: number): Promise<SnapshotMeta> {
		this.#install(index);
		return this.#options.disk.base;
	}

	#install(index: number): void {
		const { disk, installed } = this.#options;
		const { received } = disk;
		if (received === null || received.meta.index !== index) return;
		const before = disk.machine.index;
		disk.install(received);
		installed(before);
	}
}
