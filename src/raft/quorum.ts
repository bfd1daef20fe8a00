/** Majorities. An empty set of voters agrees to everything (thesis, 4.3; the cases of etcd's quorum package). */

/** Of each voter's index (0: nothing known), the highest that a majority has reached. Sorts `indexes`. */
export function quorumIndex(indexes: number[]): number {
	const count = indexes.length;
	if (count === 0) return Number.POSITIVE_INFINITY;
	// Insertion sort, descending: there are a few voters, and this runs for every acknowledgement.
	for (let at = 1; at < count; at++) {
		const value = indexes[at] as number;
		let to = at - 1;
		while (to >= 0 && (indexes[to] as number) < value) {
			indexes[to + 1] = indexes[to] as number;
			to -= 1;
		}
		indexes[to + 1] = value;
	}
	return indexes[majority(count) - 1] as number;
}

export const majority = (voters: number): number => Math.floor(voters / 2) + 1;

export type VoteResult = "won" | "lost" | "pending";

export function voteResult(voters: number, granted: number, refused: number): VoteResult {
	if (voters === 0 || granted >= majority(voters)) return "won";
	return voters - refused < majority(voters) ? "lost" : "pending";
}
