/** Says whom this node follows, when it is another one than before. */
import type { NodeId } from "../../raft/types.ts";

export class LeaderNews {
	readonly #onLeader: ((leader: NodeId | null) => void) | undefined;
	#told: NodeId | null = null;

	constructor(onLeader: ((leader: NodeId | null) => void) | undefined) {
		this.#onLeader = onLeader;
	}

	tell(leader: NodeId | null): void {
		if (leader === this.#told) return;
		this.#told = leader;
		this.#onLeader?.(leader);
	}
}
