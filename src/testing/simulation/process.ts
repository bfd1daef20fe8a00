/** What the simulation asks of a node's process, and what the process gets from it. */
import type { Message } from "../../raft/messages.ts";
import type { ReceiverMessage, SenderMessage } from "../../raft/snapshot-stream.ts";
import type { Change, ConfigurationAt, Entry, NodeId, Status, Vitals } from "../../raft/types.ts";
import type { Urgency } from "../../store/disk-reserve.ts";
import type { Forward } from "../../store/raft/transport.ts";
import type { Machine, Operation, Request } from "./machine.ts";
import { unsafe } from "./violation.ts";

export type StreamMessage = SenderMessage | ReceiverMessage;
/** "committed": it is applied here. "unknown": it may be, some day. "refused": it never will be. */
export type ProposalOutcome = "committed" | "unknown" | "refused";

/** `swapped`: of one that is committed; null when nobody knows any more. */
export type Proposed = (outcome: ProposalOutcome, swapped: boolean | null) => void;
/** With the machine when it may be read, with null when nobody can confirm it. */
export type ReadDone = (machine: Machine | null, index: number) => void;

export interface ProcessHost {
	send(message: Message): void;
	sendStream(to: NodeId, message: StreamMessage): void;
	/** A proposal on its way to the leader, and its answer. */
	forward: Forward;
	/** Wall clock: like `nowMs`, but it jumps. */
	wallMs(): number;
	/** Does not run when the process has ended by then. */
	later(delayMs: number, run: () => void): void;
	/** How long the next write takes; the end of the process in the middle of it; an error of the disk; no room. */
	writeMs(): number;
	writeFault(of: "file" | "folder"): "crash" | "error" | null;
	/** The disk says that it cannot read. */
	readFault(): boolean;
	/** So much of a snapshot was there at a start, and is gone on with. */
	resumed(bytes: number): void;
	/** How long a read takes: most are answered from memory, at once. */
	readMs(): number;
	isFull(): boolean;
	nowMs(): number;
	/** A tick of this node's clock is over. */
	ticked(): void;
	/** What the code under test might catch. */
	found(error: unknown): void;
	/** The process ends by itself, as on an error of its disk. */
	ended(why: string): void;
	/** `isLast`: the state is that of this entry; those before it in a group are told when all of it is in the state. */
	applied(machine: Machine, entry: Entry, isLast: boolean): void;
	/** `before`: how far the state was. */
	installed(machine: Machine, before: number): void;
	/** A snapshot is there to be sent; a part of one that arrives is written. */
	snapshotOffered(name: string, data: Uint8Array): void;
	snapshotWritten(name: string, offset: number, data: Uint8Array): void;
	/** Events so far. */
	step(): number;
	/** A read that came at the step `since` was confirmed. */
	readConfirmed(since: number): void;
	/** A snapshot of a leader of this term is to be installed on a node of `ownTerm`. */
	installing(term: number, ownTerm: number): void;
}

export interface SimulatedProcess {
	tick(): void;
	receive(message: Message): void;
	receiveStream(from: NodeId, message: StreamMessage): void;
	/** The link to it was ended by its side. */
	peerGone(id: NodeId): void;
	propose(request: Request, done: Proposed): void;
	/** As another node has forwarded it. Null in the light form: the core alone does not forward. */
	readonly forwarded: ((data: Uint8Array, urgency: Urgency) => Promise<void>) | null;
	read(done: ReadDone): void;
	/** After any of the above: proposals and reads of one burst go together. */
	flush(): void;
	/** `refused` when it was not taken, or is not known to be done. */
	change(change: Change, refused: (why: string) => void): void;
	transfer(to: NodeId | null): void;
	status(): Status;
	readonly vitals: Vitals;
	/** Whom it takes for the leader. */
	readonly leader: NodeId | null;
	readonly term: number;
	readonly leads: boolean;
	termAt(index: number): number | null;
	configuration(): ConfigurationAt;
	readonly machine: Machine;
}

/** The light state knows what came of it when it is committed: it was applied before. */
export function answerWith(machine: Machine, operation: Operation, outcome: ProposalOutcome, done: Proposed): void {
	if (outcome !== "committed") {
		done(outcome, null);
		return;
	}
	const result = machine.resultOf(operation);
	if (result === "missing")
		unsafe(`acknowledged never lost: ${operation.client}/${operation.sequence} is acknowledged and not applied`);
	done(outcome, result === "expired" ? null : result);
}
