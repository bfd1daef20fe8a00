/** A store as it is without a quorum: the copy can be read, nothing is confirmed, nothing is taken. */
import { notLeading, unconfirmedRead } from "../../store/raft/refusals.ts";
import type { Store } from "../../store/store.ts";

/** What is returned brings the quorum back. */
export function loseQuorum(store: Store): () => void {
	const { propose, readIndex, status } = store;
	store.propose = () => Promise.reject(notLeading(null));
	store.readIndex = () => Promise.reject(unconfirmedRead());
	store.status = () => ({ ...status.call(store), leader: null, quorum: false });
	return () => Object.assign(store, { propose, readIndex, status });
}
