/** What the simulation asks of a node's process, and what the process gets from it. */
import type { Message } from "../../raft/messages.ts";
import type { ReceiverMessage, SenderMessage } from "../../raft/snapshot-stream.ts";
import type { Change, ConfigurationAt, EntryKind, NodeId, Status } from "../../raft/types.ts";
import type { RegisterMachine } from "./register-machine.ts";

export type StreamMessage = SenderMessage | ReceiverMessage;
/** "committed": it is applied here. "unknown": it may be, some day. "refused": it never will be. */
export type ProposalOutcome = "committed" | "unknown" | "refused";

export interface ProcessHost {
	send(message: Message): void;
	sendStream(to: NodeId, message: StreamMessage): void;
	/** Does not run when the process has ended by then. */
	later(delayMs: number, run: () => void): void;
	/** How long the next write takes; the end of the process in the middle of it; an error of the disk; no room. */
	writeMs(): number;
	writeFault(of: "file" | "folder"): "crash" | "error" | null;
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
	applied(machine: RegisterMachine, index: number, term: number, kind: EntryKind, data: Uint8Array): void;
	/** `before`: how far the state was. */
	installed(machine: RegisterMachine, before: number): void;
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
	propose(data: Uint8Array, done: (outcome: ProposalOutcome) => void): void;
	/** Done with the machine when it may be read, with null when nobody can confirm it. */
	read(done: (machine: RegisterMachine | null, index: number) => void): void;
	/** After any of the above: proposals and reads of one burst go together. */
	flush(): void;
	/** `refused` when it was not taken, or is not known to be done. */
	change(change: Change, refused: (why: string) => void): void;
	transfer(to: NodeId | null): void;
	status(): Status;
	/** Whom it takes for the leader. */
	readonly leader: NodeId | null;
	termAt(index: number): number | null;
	configuration(): ConfigurationAt;
	readonly machine: RegisterMachine;
}
