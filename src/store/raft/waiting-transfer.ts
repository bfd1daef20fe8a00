/** Whoever asked that leadership be handed over waits here until it was, or was not. */
import { AppError } from "../../lib/errors.ts";
import type { NodeId, Status } from "../../raft/types.ts";
import { notLeading } from "./refusals.ts";

export class WaitingTransfer {
	#waiting: { since: number; resolve: (leader: NodeId) => void; reject: (error: AppError) => void } | null = null;

	get some(): boolean {
		return this.#waiting !== null;
	}

	/** One at a time: the core refuses a second. */
	add(tick: number): Promise<NodeId> {
		this.reject(new AppError("wrong-state", "Leadership is being handed over to another node."));
		const { promise, resolve, reject } = Promise.withResolvers<NodeId>();
		this.#waiting = { since: tick, resolve, reject };
		return promise;
	}

	/** Every tick. */
	watch({ role, leader, transferringTo }: Status, tick: number, maxTicks: number): void {
		const waiting = this.#waiting;
		if (waiting === null) return;
		if (role !== "leader" && leader !== null) {
			this.#waiting = null;
			waiting.resolve(leader);
		} else if (role === "leader" && transferringTo === null)
			this.reject(new AppError("timeout", "The other node did not take over in time; this one goes on leading."));
		else if (tick - waiting.since > maxTicks) this.reject(notLeading(null));
	}

	reject(error: AppError): void {
		const waiting = this.#waiting;
		this.#waiting = null;
		waiting?.reject(error);
	}
}
