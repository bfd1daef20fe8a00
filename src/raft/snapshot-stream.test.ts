/** Snapshots arrive whole, or not at all: over lost connections, restarts, damaged chunks and newer snapshots. */
import { describe, expect, test } from "bun:test";
import { crc32c } from "../store/log/crc32c.ts";
import type { MutantName } from "./mutants.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";
import { isValidReceiverMessage, isValidSenderMessage, type Offer, type SenderMessage } from "./snapshot-stream.ts";
import { randomNumbers } from "./test-random.ts";

const configuration = { index: 1, configuration: { voters: ["a", "b"], witnesses: [], learners: [], removed: [] } };

function snapshotOf(name: string, sizeBytes: number, index: number): { data: Uint8Array; offer: Offer } {
	const data = Uint8Array.from({ length: sizeBytes }, (_, at) => (at * 31 + index) % 251);
	const meta = { index, term: 1, configuration };
	const header = { clusterId: "cluster", from: "a", to: "b", term: 1, snapshot: name };
	return { data, offer: { type: "offer", ...header, meta, sizeBytes, crc: crc32c(data) } };
}

/** A stream between the two, the receiver's file, and faults. */
class Transfer {
	readonly sender: SnapshotSender;
	receiver: SnapshotReceiver;
	file: number[] = [];
	finished: Offer[] = [];
	readonly #data: Uint8Array;
	readonly #mutant: MutantName | undefined;
	#toReceiver: SenderMessage[] = [];

	constructor({ data, offer }: { data: Uint8Array; offer: Offer }, mutant?: MutantName) {
		this.#data = data;
		this.#mutant = mutant;
		this.sender = new SnapshotSender({ offer, crc32c, chunkBytes: 10, chunksUnderWay: 3 });
		this.receiver = this.#newReceiver();
		this.sender.connected();
	}

	#newReceiver(resume?: SnapshotReceiver["state"]): SnapshotReceiver {
		return new SnapshotReceiver({
			clusterId: "cluster",
			nodeId: "b",
			crc32c,
			...(resume ? { resume } : {}),
			...(this.#mutant ? { mutant: this.#mutant } : {}),
		});
	}

	restartReceiver(): void {
		const state = this.receiver.state;
		if (state !== null) this.file.length = state.offset;
		this.receiver = this.#newReceiver(state);
		this.reconnect();
	}

	reconnect(): void {
		this.sender.disconnected();
		this.#toReceiver = [];
		this.receiver.takeMessages();
		this.sender.connected();
	}

	/** One step of everything; `damage` changes what passes. */
	turn(damage: (message: SenderMessage) => SenderMessage | null = (message) => message): void {
		for (const read of this.sender.takeReads())
			this.sender.dataRead(read, this.#data.slice(read.offset, read.offset + read.length));
		this.#toReceiver.push(...this.sender.takeMessages());
		const message = this.#toReceiver.shift();
		const passed = message === undefined ? null : damage(message);
		if (passed !== null) this.receiver.step(passed);
		this.act();
		for (const answer of this.receiver.takeMessages()) this.sender.step(answer);
	}

	act(): void {
		for (const action of this.receiver.takeActions()) {
			if (action.type === "begin" || action.type === "discard") this.file = [];
			if (action.type === "write") {
				expect(action.offset).toBe(this.file.length);
				this.file.push(...action.data);
				this.receiver.written(this.file.length);
			}
			if (action.type === "finish") {
				this.finished.push(action.offer);
				this.receiver.finished("installed");
			}
		}
		const more = this.receiver.takeActions();
		if (more.length > 0) expect(more.map(({ type }) => type)).toEqual([more[0]?.type ?? "finish"]);
		for (const action of more) {
			if (action.type === "discard") this.file = [];
			if (action.type !== "finish") continue;
			this.finished.push(action.offer);
			this.receiver.finished("installed");
		}
	}

	run(damage?: (message: SenderMessage) => SenderMessage | null): void {
		for (let turn = 0; turn < 500 && this.sender.result === null; turn++) this.turn(damage);
	}
}

const flipped = (message: SenderMessage): SenderMessage =>
	message.type === "chunk"
		? { ...message, data: message.data.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) }
		: message;

test("a snapshot arrives as it was", () => {
	for (const size of [0, 1, 9, 10, 11, 100, 1234]) {
		const snapshot = snapshotOf("s", size, 7);
		const transfer = new Transfer(snapshot);
		transfer.run();
		expect(transfer.sender.result).toEqual({ index: 7, reason: "installed" });
		expect(transfer.file).toEqual([...snapshot.data]);
		expect(transfer.finished).toHaveLength(1);
	}
});

describe("a lost connection", () => {
	test("it goes on where it was, also after a restart of the receiver", () => {
		for (const again of ["reconnect", "restartReceiver"] as const) {
			const snapshot = snapshotOf("s", 200, 7);
			const transfer = new Transfer(snapshot);
			for (let turn = 0; turn < 9; turn++) transfer.turn();
			const had = transfer.file.length;
			expect(had).toBeGreaterThan(30);
			transfer[again]();
			const offsets: number[] = [];
			transfer.run((message) => {
				if (message.type === "chunk") offsets.push(message.offset);
				return message;
			});
			expect(offsets[0]).toBe(had);
			expect(transfer.file).toEqual([...snapshot.data]);
		}
	});
});

describe("what was there before a restart", () => {
	const left = (offset: number): SnapshotReceiver => {
		const { data, offer } = snapshotOf("s", 50, 7);
		const resume = { offer, offset, crc: crc32c(data.subarray(0, offset)) };
		return new SnapshotReceiver({ clusterId: "cluster", nodeId: "b", crc32c, resume });
	};

	test("in whole: nothing of it is sent again", () => {
		const receiver = left(50);
		receiver.step({ ...snapshotOf("s", 50, 7).offer, from: "c", term: 3 });
		expect(receiver.takeActions()).toMatchObject([{ type: "finish", offer: { from: "c", term: 3 } }]);
		expect(receiver.takeMessages()).toEqual([{ type: "want", snapshot: "s", offset: 50 }]);
	});

	test("does not keep another one waiting, however old that is", () => {
		const receiver = left(20);
		const other = snapshotOf("other", 40, 3).offer;
		receiver.step(other);
		expect(receiver.takeActions()).toEqual([{ type: "begin", offer: other }]);
		expect(receiver.takeMessages()).toEqual([{ type: "want", snapshot: "other", offset: 0 }]);
	});

	test("is thrown away when all of it came otherwise, and who sends it hears so", () => {
		const receiver = left(20);
		receiver.overtaken();
		expect(receiver.takeActions()).toEqual([{ type: "discard" }]);
		expect(receiver.takeMessages()).toEqual([{ type: "done", snapshot: "s", reason: "have" }]);
		expect(receiver.state).toBeNull();
	});
});

describe("faults", () => {
	test("damaged, lost, repeated chunks and lost connections at random: whole, or not at all", () => {
		for (let seed = 1; seed <= 200; seed++) {
			const random = randomNumbers(seed);
			const snapshot = snapshotOf("s", Math.floor(random() * 300), 7);
			const transfer = new Transfer(snapshot);
			for (let turn = 0; turn < 2000 && transfer.sender.result === null; turn++) {
				const chance = random();
				if (chance < 0.02) transfer.reconnect();
				else if (chance < 0.03) transfer.restartReceiver();
				else if (turn % 50 === 49) transfer.reconnect();
				transfer.turn((message) => {
					const fault = random();
					if (message.type === "chunk" && fault < 0.05) return null;
					if (message.type === "chunk" && fault < 0.1) transfer.receiver.step(message);
					return fault > 0.9 ? flipped(message) : message;
				});
			}
			expect(transfer.sender.result).toEqual({ index: 7, reason: "installed" });
			expect(transfer.file).toEqual([...snapshot.data]);
		}
	});

	test("a file that is not what was offered is thrown away", () => {
		const { data, offer } = snapshotOf("s", 50, 7);
		const transfer = new Transfer({ data, offer: { ...offer, crc: 1 } });
		transfer.run();
		expect(transfer.sender.result).toEqual({ index: null, reason: "damaged" });
		expect(transfer.file).toEqual([]);
		expect(transfer.finished).toEqual([]);
	});

	test("a full disk gives up, and another offer begins anew", () => {
		const snapshot = snapshotOf("s", 100, 7);
		const transfer = new Transfer(snapshot);
		for (let turn = 0; turn < 5; turn++) transfer.turn();
		transfer.receiver.noSpace();
		transfer.run();
		expect(transfer.sender.result).toEqual({ index: null, reason: "no-space" });
		expect(transfer.receiver.state).toBeNull();
	});

	test("what is of another cluster, another node or nonsense has no effect", () => {
		const { offer } = snapshotOf("s", 100, 7);
		const receiver = new SnapshotReceiver({ clusterId: "cluster", nodeId: "b", crc32c });
		const bad: unknown[] = [
			{ ...offer, clusterId: "other" },
			{ ...offer, to: "c" },
			{ ...offer, sizeBytes: -1 },
			{ ...offer, sizeBytes: 2 ** 60 },
			{ ...offer, term: 2 ** 32 },
			{ ...offer, meta: null },
			{ ...offer, meta: { ...offer.meta, configuration: { index: 1, configuration: { voters: [] } } } },
			{ type: "chunk", snapshot: "s", offset: 0, data: new Uint8Array(3), crc: 0 },
			{ type: "chunk", snapshot: "s", offset: Number.NaN, data: new Uint8Array(3), crc: 0 },
			{ type: "chunk", snapshot: "s", offset: 0, data: "text", crc: 0 },
			null,
			{},
			{ type: "else", snapshot: "s" },
		];
		for (const message of bad) receiver.step(message as SenderMessage);
		expect(receiver.takeActions()).toEqual([]);
		expect(receiver.takeMessages()).toEqual([]);
		expect(isValidSenderMessage(offer)).toBe(true);
		expect(isValidReceiverMessage({ type: "want", snapshot: "s", offset: -1 })).toBe(false);
	});
});

describe("two snapshots", () => {
	test("the one of a later leader replaces that of an earlier one, however long; not the other way round", () => {
		const transfer = new Transfer(snapshotOf("of-the-deposed", 100, 533));
		for (let turn = 0; turn < 5; turn++) transfer.turn();
		const later = { ...snapshotOf("of-the-leader", 40, 499).offer, term: 2 };
		transfer.receiver.step(later);
		expect(transfer.receiver.takeMessages()).toEqual([
			{ type: "done", snapshot: "of-the-deposed", reason: "replaced" },
			{ type: "want", snapshot: "of-the-leader", offset: 0 },
		]);
		transfer.receiver.step(snapshotOf("late", 100, 534).offer);
		expect(transfer.receiver.takeMessages()).toEqual([{ type: "done", snapshot: "late", reason: "busy" }]);
	});

	test("a newer one replaces an older one; an older one waits", () => {
		const transfer = new Transfer(snapshotOf("old", 100, 7));
		for (let turn = 0; turn < 5; turn++) transfer.turn();
		const older = snapshotOf("older", 40, 5).offer;
		transfer.receiver.step(older);
		expect(transfer.receiver.takeMessages()).toEqual([{ type: "done", snapshot: "older", reason: "busy" }]);
		const newer = snapshotOf("new", 40, 9).offer;
		transfer.receiver.step(newer);
		expect(transfer.receiver.takeMessages()).toEqual([
			{ type: "done", snapshot: "old", reason: "replaced" },
			{ type: "want", snapshot: "new", offset: 0 },
		]);
		transfer.act();
		transfer.receiver.step({
			type: "chunk",
			snapshot: "old",
			offset: 0,
			data: new Uint8Array(4),
			crc: crc32c(new Uint8Array(4)),
		});
		expect(transfer.receiver.takeActions()).toEqual([]);
	});
});

/** What each mutant makes of a transfer that goes well, or badly, without it. */
describe("mutants", () => {
	const cases: [MutantName, (message: SenderMessage, turn: number) => SenderMessage | null][] = [
		["chunk-crc-ignored", (message, turn) => (turn % 4 === 2 ? flipped(message) : message)],
		["chunk-offset-ignored", (message, turn) => (message.type === "chunk" && turn % 4 === 2 ? null : message)],
	];
	for (const [mutant, damage] of cases)
		test(mutant, () => {
			for (const planted of [undefined, mutant]) {
				const snapshot = snapshotOf("s", 100, 7);
				const transfer = new Transfer(snapshot, planted);
				for (let turn = 0; turn < 300 && transfer.sender.result === null; turn++) {
					transfer.turn((message) => damage(message, turn));
					if (turn % 60 === 59) transfer.reconnect();
				}
				const whole = Buffer.from(transfer.file).equals(Buffer.from(snapshot.data)) && transfer.sender.result !== null;
				expect(whole).toBe(planted === undefined);
			}
		});

	test("chunk-of-other-snapshot", () => {
		for (const mutant of [undefined, "chunk-of-other-snapshot"] as const) {
			const transfer = new Transfer(snapshotOf("old", 100, 7), mutant);
			for (let turn = 0; turn < 5; turn++) transfer.turn();
			transfer.receiver.step(snapshotOf("new", 100, 9).offer);
			const offset = transfer.receiver.state?.offset ?? 0;
			expect(offset > 0).toBe(mutant !== undefined);
		}
	});
});
