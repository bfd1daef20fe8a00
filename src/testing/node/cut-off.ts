/** What a node is given that hears of no majority: nothing that it proposes is taken, and nobody says that its copy is the newest. */
import type { NodeDeps } from "../../node/node.ts";
import { notLeading, unconfirmedRead } from "../../store/raft/refusals.ts";
import type { Proposer, Store } from "../../store/store.ts";
import type { NodeWorld } from "./node-world.ts";

export class Cut {
	isCut: boolean;
	readonly #store: Store;
	readonly #proposer: Proposer;

	constructor(world: NodeWorld, isCut: boolean) {
		this.isCut = isCut;
		const { store } = world;
		const refused = () => Promise.reject(notLeading(null));
		this.#store = new Proxy(store, {
			get: (target, key) => {
				if (key === "readIndex" && this.isCut) return () => Promise.reject(unconfirmedRead());
				if (key === "status" && this.isCut) return () => ({ ...target.status(), leader: null, quorum: false });
				const value: unknown = Reflect.get(target, key, target);
				return typeof value === "function" ? value.bind(target) : value;
			},
		});
		this.#proposer = {
			propose: (body) => (this.isCut ? refused() : world.propose(body)),
			proposeSystem: (body) => (this.isCut ? refused() : world.propose(body)),
		};
	}

	/** For NodeWorld.boot. */
	get deps(): Pick<NodeDeps, "store" | "proposer"> {
		return { store: this.#store, proposer: this.#proposer };
	}
}
