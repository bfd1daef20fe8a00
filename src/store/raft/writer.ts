/** The write that the core has asked for: one at a time, reported when it is durable. */
import type { Raft } from "../../raft/raft.ts";
import type { Persist } from "../../raft/types.ts";
import type { RaftDisk } from "./disk.ts";

export type WriterParts = {
	raft: Raft;
	disk: RaftDisk;
	/** Of the hard state on disk. */
	durableTerm: number;
	/** It was reported, as durable or refused, and the core may have more to say. */
	onReported: (durable: boolean) => void;
	onFailed: (error: unknown) => void;
};

export class Writer {
	readonly #parts: WriterParts;
	#underWay: Promise<void> | null = null;
	#stopped = false;
	durableTerm: number;

	constructor(parts: WriterParts) {
		this.#parts = parts;
		this.durableTerm = parts.durableTerm;
	}

	/** Resolves when it was reported. */
	get underWay(): Promise<void> | null {
		return this.#underWay;
	}

	start(persist: Persist): void {
		this.#underWay = this.#write(persist);
	}

	/** What is under way is not reported any more. */
	stop(): void {
		this.#stopped = true;
	}

	async #write(persist: Persist): Promise<void> {
		const { raft, disk, onReported, onFailed } = this.#parts;
		const { token, hardState } = persist;
		try {
			const durable = await disk.persist(persist);
			this.#underWay = null;
			if (this.#stopped) return;
			if (durable && hardState !== null) this.durableTerm = hardState.term;
			if (durable) raft.persisted(token);
			else raft.persistRefused(token);
			onReported(durable);
		} catch (error) {
			this.#underWay = null;
			onFailed(error);
		}
	}
}
