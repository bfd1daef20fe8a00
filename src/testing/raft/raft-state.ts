/**
 * For tests: a state and its snapshots in the files of the log, so that a crash reaches them, too. The state is the list of
 * what was applied; it is durable when `checkpoint` says so.
 */
import { present } from "../../lib/assert.ts";
import { decodeConfiguration } from "../../raft/configuration.ts";
import type { Resume } from "../../raft/snapshot-receiver.ts";
import type { Offer } from "../../raft/snapshot-stream.ts";
import type { ConfigurationAt, Entry, SnapshotMeta } from "../../raft/types.ts";
import { crc32c } from "../../store/log/crc32c.ts";
import type { LogFile, LogFiles } from "../../store/log/files.ts";
import { decodeProgress, encodeProgress, isAsKept } from "../../store/raft/snapshot-progress.ts";
import type { SnapshotStore, StoredSnapshot } from "../../store/raft/snapshot-store.ts";

const stateName = "state";
const temporaryName = "state.tmp";
const incomingName = "incoming";
const partialName = "incoming.part";
const progressName = "incoming.progress";
/** What has arrived is made durable after so many bytes. */
const keptEveryBytes = 200;

type Stored = { meta: SnapshotMeta; values: string[] };

export class TestState implements SnapshotStore {
	values: string[] = [];
	/** What it holds; and what of it is durable. */
	meta: SnapshotMeta;
	durable: SnapshotMeta;
	installs = 0;
	readonly #files: LogFiles;
	#partial: LogFile | null = null;
	#offer: Offer | null = null;
	#kept = 0;
	/** How much of a snapshot was there at the start, each time that some was. */
	readonly resumed: number[] = [];

	private constructor(files: LogFiles, initial: ConfigurationAt) {
		this.#files = files;
		this.meta = { index: 0, term: 0, configuration: initial };
		this.durable = this.meta;
	}

	static async open(files: LogFiles, initial: ConfigurationAt): Promise<TestState> {
		const state = new TestState(files, initial);
		if ((await files.list()).includes(stateName)) await state.#load();
		return state;
	}

	apply(entries: readonly Entry[]): void {
		for (const { index, term, kind, data } of entries) {
			let { configuration } = this.meta;
			if (kind === "configuration")
				configuration = { index, configuration: present(decodeConfiguration(data), "a configuration") };
			else if (data.length > 0) this.values.push(Buffer.from(data).toString());
			this.meta = { index, term, configuration };
		}
	}

	async checkpoint(): Promise<number> {
		const { meta, values } = this;
		await this.#remove(temporaryName);
		const file = await this.#files.open(temporaryName, "create");
		await file.append(Buffer.from(JSON.stringify({ meta, values } satisfies Stored)));
		await file.sync();
		await file.close();
		await this.#files.rename(temporaryName, stateName);
		await this.#files.syncDirectory();
		this.durable = meta;
		return meta.index;
	}

	async newest(minIndex: number): Promise<StoredSnapshot | null> {
		if (this.durable.index < Math.max(minIndex, 1)) await this.checkpoint();
		if (this.durable.index === 0) return null;
		const file = await this.#files.open(stateName, "existing");
		const bytes = await file.read(0, file.sizeBytes);
		const { meta } = parse(bytes);
		return {
			name: `${meta.index}-${meta.term}`,
			meta,
			sizeBytes: bytes.length,
			crc: crc32c(bytes),
			read: (offset, length) => file.read(offset, length),
			release: () => void file.close(),
		};
	}

	async begin(offer: Offer): Promise<void> {
		await this.discard();
		this.#partial = await this.#files.open(partialName, "create");
		this.#offer = offer;
		this.#kept = 0;
	}

	async write(_: number, data: Uint8Array, crc: number): Promise<void> {
		const partial = present(this.#partial, "a snapshot that is being received");
		await partial.append(data);
		const offset = partial.sizeBytes;
		if (offset - this.#kept < keptEveryBytes) return;
		await partial.sync();
		await this.#remove(`${progressName}.tmp`);
		const file = await this.#files.open(`${progressName}.tmp`, "create");
		await file.append(encodeProgress({ offer: present(this.#offer, "its offer"), offset, crc }));
		await file.sync();
		await file.close();
		await this.#files.rename(`${progressName}.tmp`, progressName);
		await this.#files.syncDirectory();
		this.#kept = offset;
	}

	async resume(index: number): Promise<Resume | null> {
		const names = await this.#files.list();
		if (!names.includes(partialName) || !names.includes(progressName)) {
			await this.discard();
			return null;
		}
		const file = await this.#files.open(progressName, "existing");
		const found = decodeProgress(await file.read(0, file.sizeBytes));
		await file.close();
		const partial = await this.#files.open(partialName, "existing");
		this.#partial = partial;
		const read = (offset: number, length: number): Promise<Uint8Array> => partial.read(offset, length);
		if (found === null || found.offer.meta.index <= index || !(await isAsKept(found, read))) {
			await this.discard();
			return null;
		}
		await partial.truncate(found.offset);
		this.#offer = found.offer;
		this.#kept = found.offset;
		this.resumed.push(found.offset);
		return found;
	}

	async finish(_: Offer): Promise<void> {
		await this.#partial?.sync();
		this.#partial = null;
		await this.#remove(progressName);
		await this.#files.rename(partialName, incomingName);
		await this.#files.syncDirectory();
	}

	async install(_: SnapshotMeta): Promise<void> {
		await this.#files.rename(incomingName, stateName);
		await this.#files.syncDirectory();
		this.installs += 1;
		await this.#load();
	}

	async completeInstall(index: number): Promise<SnapshotMeta> {
		if ((await this.#files.list()).includes(incomingName)) await this.install(this.meta);
		if (this.meta.index < index) throw new Error(`no snapshot reaches ${index}`);
		return this.meta;
	}

	async close(): Promise<void> {
		await this.#partial?.close();
		this.#partial = null;
	}

	async discard(): Promise<void> {
		await this.close();
		await this.#remove(progressName);
		await this.#remove(partialName);
		await this.#remove(incomingName);
	}

	async #load(): Promise<void> {
		const file = await this.#files.open(stateName, "existing");
		const { meta, values } = parse(await file.read(0, file.sizeBytes));
		await file.close();
		this.meta = meta;
		this.durable = meta;
		this.values = values;
	}

	async #remove(name: string): Promise<void> {
		if ((await this.#files.list()).includes(name)) await this.#files.remove(name);
	}
}

const parse = (bytes: Uint8Array): Stored => JSON.parse(Buffer.from(bytes).toString()) as Stored;
