/**
 * What must hold whatever happens, checked as events come. It sees every message that is sent, every write that became
 * durable and every entry that is applied, on all nodes, which no node ever does.
 *
 *   election safety       one leader a term
 *   durability            what a node says that it has, its disk has
 *   votes                 a node votes once a term, and never for an earlier term than before
 *   log matching          entries of the same index and term are the same, and come after the same log
 *   leader completeness   no leader has another entry where one of an earlier term was committed
 *   commit rule           what a leader calls committed was made durable by a majority that counts
 *   state machine safety  all nodes apply the same entries in the same order and come to the same state
 *   members               change by one voter at a time, once the change before is committed
 */
import { decodeConfiguration } from "../../raft/configuration.ts";
import type { Append, Message } from "../../raft/messages.ts";
import { majority } from "../../raft/quorum.ts";
import type { Configuration, Entry, EntryKind, HardState, NodeId } from "../../raft/types.ts";
import { Exchanges } from "./exchanges.ts";
import type { SimulatedProcess } from "./process.ts";
import { hashEntry } from "./register-machine.ts";
import { unsafe } from "./violation.ts";

type KnownEntry = { data: Uint8Array; previousTerm: number };
type Applied = { term: number; data: Uint8Array; hash: number; stateHash: number | null };
/** Offers that may still be under way. */
const keptSnapshots = 64;
type TermOfLeader = { leader: NodeId; lastConfiguration: number };

/** What is known of one node, whichever lives it had. */
export class NodeRecord {
	readonly id: NodeId;
	readonly votes = new Map<number, NodeId>();
	lastVotedTerm = 0;
	/** By index: the term of the entry that was last made durable, when it counted. All up to `heldUpTo` is held. */
	readonly durableTerms: number[] = [];
	heldUpTo = 0;
	/** False when durability is not observed. */
	observed = true;

	constructor(id: NodeId) {
		this.id = id;
	}

	holds(index: number, term: number): boolean {
		return !this.observed || index <= this.heldUpTo || this.durableTerms[index] === term;
	}
}

/** What is on a node's disk for good. */
export type Durable = { readonly hardState: HardState; readonly lastIndex: number };

export class Checker {
	readonly records = new Map<NodeId, NodeRecord>();
	/** By index. */
	readonly applied: (Applied | undefined)[] = [];
	readonly exchanges = new Exchanges();
	maxApplied = 0;
	maxTerm = 0;
	maxClaimed = 0;
	readonly #terms = new Map<number, TermOfLeader>();
	readonly #snapshots = new Map<string, Uint8Array>();
	readonly #entries = new Map<number, KnownEntry>();
	readonly #everVoter = new Set<NodeId>();
	readonly removed = new Set<NodeId>();
	/** The last one that is known to be committed. */
	committedConfiguration: Configuration;
	committedConfigurationIndex = 0;

	constructor(initial: Configuration) {
		this.committedConfiguration = initial;
		for (const id of initial.voters) this.#everVoter.add(id);
	}

	record(id: NodeId): NodeRecord {
		let record = this.records.get(id);
		if (record === undefined) {
			record = new NodeRecord(id);
			this.records.set(id, record);
		}
		return record;
	}

	sent(message: Message, process: SimulatedProcess, durable: Durable): void {
		const { hardState } = durable;
		if (bindsToTerm(message) && hardState.term < message.term)
			unsafe(
				`durability: ${message.from} says ${message.type} of term ${message.term}; its disk has ${hardState.term}`,
			);
		switch (message.type) {
			case "append-answer":
				if (message.accepted && durable.lastIndex < message.index)
					unsafe(`durability: ${message.from} acknowledges ${message.index}; its disk has ${durable.lastIndex}`);
				break;
			case "append":
				this.#leads(message.term, message.from);
				this.#append(message, process);
				break;
			case "heartbeat":
				this.#leads(message.term, message.from);
				this.#claimed(message.commit, message.from, null, process);
				if (message.recovered !== null) this.#recovers(message, message.recovered.index, process);
				break;
			case "vote":
				if (!this.#everVoter.has(message.from)) unsafe(`members: ${message.from} campaigns and never was a voter`);
				this.#voted(message.from, message.term, message.from, process, hardState);
				break;
			case "vote-answer":
				if (message.granted) this.#voted(message.from, message.term, message.to, process, hardState);
				break;
			default:
		}
	}

	#voted(id: NodeId, term: number, candidate: NodeId, process: SimulatedProcess, durable: HardState): void {
		if (durable.term === term && durable.vote !== candidate)
			unsafe(`durability: ${id} votes for ${candidate} in term ${term}; its disk has ${durable.vote}`);
		const record = this.record(id);
		const before = record.votes.get(term);
		if (before === candidate) return;
		if (before !== undefined) unsafe(`votes: ${id} votes for ${candidate} in term ${term} after ${before}`);
		if (term < record.lastVotedTerm) unsafe(`votes: ${id} votes in term ${term} after ${record.lastVotedTerm}`);
		record.votes.set(term, candidate);
		record.lastVotedTerm = term;
		if (process.vitals.recovering) unsafe(`votes: ${id} votes while its log is damaged`);
	}

	/** The rule of raft/recovery.ts. */
	#recovers({ from, to, term }: Message, index: number, process: SimulatedProcess): void {
		if (this.exchanges.electedBy(from, term, to))
			unsafe(`recovery: ${from} lets ${to} recover, whose vote made it the leader of term ${term}`);
		if (process.termAt(process.vitals.commitIndex) !== term)
			unsafe(`recovery: ${from} lets ${to} recover before it knows what is committed`);
		const { voters } = process.configuration().configuration;
		const indexTerm = process.termAt(index);
		if (indexTerm === null) return;
		const held = voters.filter((voter) => voter !== to && this.record(voter).holds(index, indexTerm)).length;
		if (held < majority(voters.length))
			unsafe(`recovery: ${from} lets ${to} recover at ${index}, which ${held} of ${voters.length} others hold`);
	}

	#leads(term: number, id: NodeId): void {
		const known = this.#terms.get(term);
		if (known === undefined) {
			this.#terms.set(term, { leader: id, lastConfiguration: 0 });
			if (term > this.maxTerm) this.maxTerm = term;
		} else if (known.leader !== id) unsafe(`election safety: ${known.leader} and ${id} lead term ${term}`);
	}

	/** As far as anybody has heard of it. */
	leaderOf(term: number): NodeId | null {
		return this.#terms.get(term)?.leader ?? null;
	}

	#append(message: Append, process: SimulatedProcess): void {
		let { previousTerm } = message;
		for (const entry of message.entries) {
			this.#entry(entry, previousTerm, message, process);
			previousTerm = entry.term;
		}
		this.#claimed(message.commit, message.from, message.term, process);
	}

	#entry(entry: Entry, previousTerm: number, message: Append, process: SimulatedProcess): void {
		const key = entry.index * 2 ** 20 + entry.term;
		const known = this.#entries.get(key);
		if (known !== undefined) {
			if (known.previousTerm !== previousTerm || (known.data !== entry.data && !isSame(known.data, entry.data)))
				unsafe(`log matching: two entries ${entry.index} of term ${entry.term}`);
			return;
		}
		this.#entries.set(key, { data: entry.data, previousTerm });
		const applied = this.applied[entry.index];
		if (applied !== undefined && applied.term < entry.term)
			unsafe(
				`leader completeness: ${message.from} has entry ${entry.index} of term ${entry.term}; that of ${applied.term} was applied`,
			);
		if (entry.kind === "configuration" && entry.term === message.term) this.#proposed(entry, message, process);
	}

	/** A snapshot's name says what is in it. */
	offered(snapshot: string, data: Uint8Array): void {
		if (this.#snapshots.has(snapshot)) return;
		this.#snapshots.set(snapshot, data);
		const oldest = this.#snapshots.keys().next().value;
		if (this.#snapshots.size > keptSnapshots && oldest !== undefined) this.#snapshots.delete(oldest);
	}

	/** What is written of one that arrives is what its sender has there. */
	writtenOf(id: NodeId, snapshot: string, offset: number, data: Uint8Array): void {
		const whole = this.#snapshots.get(snapshot);
		if (whole !== undefined && !isSame(whole.subarray(offset, offset + data.length), data))
			unsafe(`snapshots: ${id} writes to ${snapshot} at ${offset} what is not of it`);
	}

	/** A change of the members, by the leader of this term. */
	#proposed(entry: Entry, message: Append, process: SimulatedProcess): void {
		const term = this.#terms.get(entry.term);
		if (term === undefined) return;
		if (process.termAt(message.commit) !== entry.term)
			unsafe(`members: change ${entry.index} before an entry of term ${entry.term} was committed`);
		if (term.lastConfiguration > message.commit)
			unsafe(`members: change ${entry.index} while ${term.lastConfiguration} is not committed`);
		term.lastConfiguration = entry.index;
		for (const id of decodeConfiguration(entry.data)?.voters ?? []) this.#everVoter.add(id);
	}

	/** Of a leader: it is on a majority, whatever its messages say. `term` null: it may be less than what it knows. */
	#claimed(index: number, id: NodeId, term: number | null, process: SimulatedProcess): void {
		if (index <= this.maxClaimed) return;
		this.maxClaimed = index;
		// What nobody knew to be committed before is committed by an entry of the leader's own term.
		if (term !== null && index > this.maxApplied && process.termAt(index) !== term)
			unsafe(`commit rule: ${id} calls ${index} of an earlier term committed in term ${term}`);
		this.checkHeld(index, id, process);
	}

	checkHeld(index: number, id: NodeId, process: SimulatedProcess): void {
		const term = process.termAt(index);
		if (term === null) return;
		const { voters } = process.configuration().configuration;
		const held = this.#holders(index, term, voters);
		if (held < majority(voters.length))
			unsafe(`commit rule: ${id} calls ${index} of term ${term} committed; ${held} of ${voters.length} voters hold it`);
	}

	#holders(index: number, term: number, voters: readonly NodeId[]): number {
		let held = 0;
		for (const voter of voters) if (this.record(voter).holds(index, term)) held += 1;
		return held;
	}

	/**
	 * A leader has applied what nobody had. It can be committed by a change of the members that is not durable anywhere yet: every majority
	 * before the change shares a node with every one after it. When that change is lost, the members before it count again, and it is they
	 * of whom the next claim would be asked. So it counts as claimed now, when those that count now hold it; else the claim comes later.
	 */
	appliedByLeader(index: number, term: number, process: SimulatedProcess): void {
		if (index <= this.maxClaimed) return;
		const { voters } = process.configuration().configuration;
		if (this.#holders(index, term, voters) >= majority(voters.length)) this.maxClaimed = index;
	}

	/** In the order in which a node applies; with the state's hash after it. Returns the hash of the entry. */
	entryHash(index: number, term: number, data: Uint8Array): number {
		const known = this.applied[index];
		return known !== undefined && known.data === data && known.term === term ? known.hash : hashEntry(term, data);
	}

	apply(
		id: NodeId,
		index: number,
		term: number,
		kind: EntryKind,
		data: Uint8Array,
		hash: number,
		/** Null: in the midst of a group. */
		stateHash: number | null,
	): void {
		const known = this.applied[index];
		if (known !== undefined) {
			if (known.term !== term || known.hash !== hash || (known.data !== data && !isSame(known.data, data)))
				unsafe(
					`state machine safety: ${id} applies ${index} of term ${term}; another of term ${known.term} was applied`,
				);
			known.stateHash ??= stateHash;
			this.#compareState(id, known, index, stateHash);
			return;
		}
		this.applied[index] = { term, data, hash, stateHash };
		if (index > this.maxApplied) this.maxApplied = index;
		if (kind === "configuration") this.#committed(index, data);
	}

	#committed(index: number, data: Uint8Array): void {
		const after = decodeConfiguration(data);
		if (after === null || index <= this.committedConfigurationIndex) return;
		const before = this.committedConfiguration;
		const added = after.voters.filter((id) => !before.voters.includes(id)).length;
		const gone = before.voters.filter((id) => !after.voters.includes(id)).length;
		if (added + gone > 1) unsafe(`members: ${added} voters came and ${gone} went with entry ${index}`);
		this.committedConfiguration = after;
		this.committedConfigurationIndex = index;
		for (const id of after.removed) this.removed.add(id);
	}

	installed(id: NodeId, index: number, stateHash: number): void {
		const known = this.applied[index];
		if (known === undefined) unsafe(`state machine safety: ${id} has a snapshot up to ${index}, which nobody applied`);
		else this.#compareState(id, known, index, stateHash);
	}

	#compareState(id: NodeId, known: Applied, index: number, stateHash: number | null): void {
		if (stateHash !== null && known.stateHash !== null && known.stateHash !== stateHash)
			unsafe(`state machine safety: the state of ${id} at ${index} is another`);
	}
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
	if (a.length !== b.length) return false;
	for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
	return true;
}

/** Says that this node takes part in this term; a pre-vote only asks, and so does a read. */
function bindsToTerm({ type }: Message): boolean {
	return (
		type === "vote" ||
		type === "vote-answer" ||
		type === "append" ||
		type === "append-answer" ||
		type === "heartbeat" ||
		type === "heartbeat-answer" ||
		type === "campaign-now"
	);
}
