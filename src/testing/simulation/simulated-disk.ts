/**
 * A node's disk under the daemon's own log: files that survive the process, with what a disk does to them. What was not
 * synced may be lost or torn, sector by sector, when the process ends; the folder's changes since the last sync of it are
 * kept up to some point. It reads along what becomes durable, so that a checker knows better than the node.
 *
 * How far damage goes: never the last durable write of the log. Nothing on the disk tells that one from a write that was
 * torn, except that no sector of it is empty; a log cannot know about a write that has vanished.
 */

import type { ConfigurationAt, HardState, SnapshotMeta } from "../../raft/types.ts";
import { decodeSegmentHeader, headerBytesOf, recordAt, recordHeaderAt } from "../../store/log/record.ts";
import { type SegmentName, segmentsOf } from "../../store/log/segment.ts";
import type { NodeRecord } from "./checker.ts";
import type { Machine } from "./machine.ts";
import type { NodeDisk, Snapshot } from "./node-disk.ts";
import type { StateKind } from "./plan.ts";
import type { Random } from "./random.ts";
import { RegisterMachine } from "./register-machine.ts";
import type { Arriving } from "./simulated-snapshots.ts";
import { StoreMachine } from "./store-machine.ts";

export const sectorBytes = 512;

export class Content {
	data = new Uint8Array(1024);
	size = 0;
	/** Up to here it is durable as it is. */
	stable = 0;
	/** What is durable after `stable`, where it was cut and that is not durable. */
	tail: Uint8Array | null = null;
	/** Where the last durable write began. */
	lastWrite = 0;
	#segment: SegmentName | null | undefined = undefined;

	/** Which segment of the log it is by its name, which no segment ever changes; null for another file. */
	segmentOf(name: string): SegmentName | null {
		if (this.#segment === undefined) this.#segment = segmentsOf([name])[0] ?? null;
		return this.#segment;
	}

	copy(): Content {
		const copy = new Content();
		copy.data = this.data.slice();
		copy.size = this.size;
		copy.stable = this.stable;
		copy.lastWrite = this.lastWrite;
		return copy;
	}

	append(bytes: Uint8Array): void {
		const size = this.size + bytes.length;
		if (size > this.data.length) {
			const grown = new Uint8Array(Math.max(size, this.data.length * 2));
			grown.set(this.data.subarray(0, this.size));
			this.data = grown;
		}
		this.data.set(bytes, this.size);
		this.size = size;
	}

	truncate(size: number): void {
		if (size >= this.size) return;
		if (size < this.stable) {
			this.tail ??= this.data.slice(size, this.stable);
			this.stable = size;
		}
		this.data.fill(0, size, this.size);
		this.size = size;
	}

	/** What is after `size` is gone, durably. */
	lose(size: number): void {
		this.data.fill(0, size);
		this.size = size;
		this.stable = size;
		this.tail = null;
	}

	sync(): void {
		// Of a tail that was cut off, or of nothing, it is no write that could be the last.
		this.lastWrite = this.size > this.stable ? this.stable : Math.min(this.lastWrite, this.size);
		this.stable = this.size;
		this.tail = null;
	}

	/** What the end of the power leaves. */
	tear(random: Random): void {
		const durable = this.stable + (this.tail?.length ?? 0);
		const sizes = [durable, this.size, this.stable + random.below(Math.max(1, this.size - this.stable + 1))];
		const size = Math.max(this.stable, random.pick(sizes) as number);
		const left = new Uint8Array(Math.max(1024, size));
		left.set(this.data.subarray(0, this.stable));
		for (let start = this.stable; start < size; ) {
			const end = Math.min(size, start - (start % sectorBytes) + sectorBytes);
			const from = random.chance(0.5) ? this.data.subarray(0, this.size) : null;
			for (let at = start; at < end; at++)
				left[at] = from === null ? (this.tail?.[at - this.stable] ?? 0) : (from[at] ?? 0);
			start = end;
		}
		this.data = left;
		this.size = size;
	}
}

/** All of a disk as it once was. */
export type OldDisk = {
	files: Map<string, Content>;
	/** Of its entries, by index, as far as they are known. */
	terms: (number | undefined)[];
	hardState: HardState;
	lastIndex: number;
	beginsAfter: number;
	state: Snapshot;
	durableState: Snapshot | null;
	snapshot: Snapshot | null;
	received: Snapshot | null;
};

export class SimulatedDisk implements NodeDisk {
	names = new Map<string, Content>();
	#durableNames = new Map<string, Content>();
	#changes: { name: string; content: Content | null }[] = [];
	/** As the durable file says. */
	hardState: HardState = { term: 0, vote: null, recoveries: 0, recovering: false };
	#hardStateFile: Content | null = null;
	lastIndex = 0;
	/** Where the log was last begun anew. */
	#beginsAfter = 0;
	readonly machine: Machine;
	/** What the machine holds, as a snapshot would say it. */
	base: SnapshotMeta;
	snapshot: Snapshot | null = null;
	received: Snapshot | null = null;
	/** A snapshot on its way, as far as it has come. */
	arriving: Arriving | null = null;
	#durableState: Snapshot | null = null;
	damaged = false;
	voteDamaged = false;
	readonly #initial: ConfigurationAt;
	readonly #record: NodeRecord;

	constructor(record: NodeRecord, initial: ConfigurationAt, state: StateKind) {
		this.machine = state === "sqlite" ? new StoreMachine() : new RegisterMachine();
		this.#record = record;
		this.#initial = initial;
		this.base = { index: 0, term: 0, configuration: initial };
	}

	/** After a crash, when all that is there is durable. */
	copy(): OldDisk {
		return {
			files: new Map([...this.#durableNames].map(([name, content]) => [name, content.copy()])),
			terms: this.#record.durableTerms.slice(0, this.lastIndex + 1),
			hardState: this.hardState,
			lastIndex: this.lastIndex,
			beginsAfter: this.#beginsAfter,
			state: { meta: this.base, data: this.machine.save() },
			durableState: this.#durableState,
			snapshot: this.snapshot,
			received: this.received,
		};
	}

	/** While there is no process: what was there at another time is there again. */
	putBack(old: OldDisk): void {
		this.#durableNames = new Map([...old.files].map(([name, content]) => [name, content.copy()]));
		this.names = new Map(this.#durableNames);
		this.#changes = [];
		this.hardState = old.hardState;
		this.#hardStateFile = this.#durableNames.get("hard-state") ?? null;
		this.lastIndex = old.lastIndex;
		this.#beginsAfter = old.beginsAfter;
		this.machine.restore(old.state.data);
		this.base = old.state.meta;
		this.#durableState = old.durableState;
		this.snapshot = old.snapshot;
		this.received = old.received;
		this.arriving = null;
		this.damaged = false;
	}

	change(name: string, content: Content | null): void {
		this.#changes.push({ name, content });
		if (content === null) this.names.delete(name);
		else this.names.set(name, content);
	}

	syncDirectory(): void {
		for (const { name, content } of this.#changes) {
			if (content === null) this.#durableNames.delete(name);
			else this.#durableNames.set(name, content);
			if (content !== null && this.#durableNames.get(name) === content) this.#appeared(name, content);
		}
		this.#changes = [];
		this.#readHardState();
	}

	sync(name: string, content: Content): void {
		const from = content.stable;
		content.sync();
		this.#readRecords(name, content, from, false);
	}

	#readHardState(): void {
		const file = this.#durableNames.get("hard-state");
		if (file === undefined || file === this.#hardStateFile) return;
		this.#hardStateFile = file;
		const text = new TextDecoder().decode(file.data.subarray(0, file.size));
		const recovering = this.hardState.recovering;
		this.hardState = JSON.parse(text.slice(0, text.lastIndexOf("}") + 1)) as HardState;
		if (!recovering || this.hardState.recovering) return;
		this.#holdsUpTo(this.#beginsAfter);
		for (const { name } of segmentsOf([...this.#durableNames.keys()])) {
			const content = this.#durableNames.get(name);
			if (content !== undefined) this.#readRecords(name, content, 0, true);
		}
	}

	/** A segment whose name is durable: what it cuts off is gone. */
	#appeared(name: string, content: Content): void {
		const segment = content.segmentOf(name);
		const header = segment === null ? null : decodeSegmentHeader(content.data.subarray(0, content.stable));
		if (segment === null || header === null) return;
		if (header.generation > 0) this.lastIndex = Math.min(this.lastIndex, segment.firstIndex - 1);
		if (!header.anew) return;
		this.#beginsAfter = segment.firstIndex - 1;
		this.lastIndex = segment.firstIndex - 1;
		if (!this.hardState.recovering) this.#holdsUpTo(this.lastIndex);
	}

	/** What the log begins after is in the snapshot. */
	#holdsUpTo(index: number): void {
		this.#record.heldUpTo = Math.max(this.#record.heldUpTo, index);
	}

	#readRecords(name: string, content: Content, from: number, torn: boolean): void {
		const segment = content.segmentOf(name);
		if (segment === null) return;
		const { data, stable } = content;
		for (let offset = Math.max(from, headerBytesOf(segment.generation)); offset < stable; ) {
			const header = recordHeaderAt(data, offset);
			// What was just synced is whole; what a crash or damage left is not always.
			if (header === null || header.end > stable || (torn && recordAt(data, offset) === null)) return;
			this.lastIndex = header.index;
			if (!this.hardState.recovering) this.#record.durableTerms[header.index] = header.term;
			offset = header.end;
		}
	}

	/** `power`: what was not durable may be lost; else only the process is gone. */
	crash(random: Random, power: boolean): void {
		this.#changes.length = power ? random.below(this.#changes.length + 1) : this.#changes.length;
		const changes = this.#changes;
		for (const { name, content } of changes) {
			if (content === null) this.#durableNames.delete(name);
			else this.#durableNames.set(name, content);
		}
		this.#changes = [];
		this.names = new Map(this.#durableNames);
		if (this.arriving?.crash(random, power) === false) this.arriving = null;
		for (const [name, content] of this.names) {
			const from = content.stable;
			if (power) content.tear(random);
			// What is there at the next start is there for good.
			const { lastWrite } = content;
			content.sync();
			// A torn tail is no write that anybody could miss: the one before it is the last.
			content.lastWrite =
				content.size > from && recordAt(content.data.subarray(0, content.size), from) !== null ? from : lastWrite;
			this.#readRecords(name, content, from, true);
		}
		for (const { name, content } of changes)
			if (content !== null && this.#durableNames.get(name) === content) this.#appeared(name, content);
		this.#readHardState();
	}

	/** Of the machine as it is. */
	takeSnapshot(meta: SnapshotMeta): void {
		this.snapshot = { meta, data: this.machine.save() };
	}

	install(snapshot: Snapshot): void {
		this.snapshot = snapshot;
		this.received = null;
		this.machine.restore(snapshot.data);
		this.base = snapshot.meta;
	}

	/** The log is about to begin anew after it. */
	makeStateDurable(): void {
		this.#durableState = { meta: this.base, data: this.machine.save() };
	}

	/** Back to what was made durable last, by a snapshot or by itself. Not between the two steps of an installation. */
	forgetState(): void {
		const { snapshot } = this;
		const durable = this.#durableState;
		const newest = (durable?.meta.index ?? 0) > (snapshot?.meta.index ?? 0) ? durable : snapshot;
		if (this.#beginsAfter > (newest?.meta.index ?? 0)) return;
		this.machine.restore(newest?.data ?? null);
		this.base = newest?.meta ?? { index: 0, term: 0, configuration: this.#initial };
	}

	/** By a process that has looked at all of it. */
	opened(lastIndex: number): void {
		this.lastIndex = lastIndex;
		this.damaged = false;
	}

	damageVote(random: Random): boolean {
		const file = this.#durableNames.get("hard-state");
		if (file === undefined || file.size === 0) return false;
		const before = file.data.slice(0, file.size);
		const which = random.below(3);
		if (which === 0) file.data[random.below(file.size)] = random.below(256);
		if (which === 1) file.data.fill(0, 0, file.size);
		if (which === 2) file.lose(random.below(file.size));
		this.voteDamaged ||= file.size < before.length || before.some((byte, at) => byte !== file.data[at]);
		return this.voteDamaged;
	}

	/** A sector of the log is not what was written: see the head of this file. */
	damage(random: Random): boolean {
		const segments = segmentsOf([...this.#durableNames.keys()]);
		const last = segments.at(-1);
		const segment = random.pick(segments);
		const content = segment === undefined ? undefined : this.#durableNames.get(segment.name);
		if (segment === undefined || content === undefined) return false;
		const most = segment === last ? Math.min(content.lastWrite, content.size) : content.size;
		if (most <= headerBytesOf(segment.generation)) return false;
		const start = Math.floor(random.below(most) / sectorBytes) * sectorBytes;
		const end = Math.min(start + sectorBytes, most);
		const which = random.below(3);
		// A bit or some, a sector that was never written, and one that was written to the wrong place.
		if (which === 0) for (let at = start; at < end; at++) if (random.chance(0.05)) content.data[at] = random.below(256);
		if (which === 1) content.data.fill(0, start, end);
		if (which === 2) {
			const other = Math.floor(random.below(content.size) / sectorBytes) * sectorBytes;
			content.data.copyWithin(start, other, Math.min(other + end - start, content.size));
		}
		this.damaged = true;
		return true;
	}
}
