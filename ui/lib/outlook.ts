/** What a quorum needs and how many more nodes may fail: now, and after a change of the members. Pure. */
import { maxVoters } from "../../src/model/member-limits.ts";
import type { ClusterMember, ClusterStatus } from "../api/types.ts";

export type Outlook = {
	/** Members that vote. */
	voters: number;
	/** How many of them have to agree. */
	needed: number;
	reachable: number;
	/** How many more may fail. */
	mayFail: number;
	quorum: boolean;
};

type Member = Pick<ClusterMember, "nodeId" | "role" | "reachable">;

export const isVoter = ({ role }: Pick<ClusterMember, "role">): boolean => role !== "learner";

/** It does not vote because as many as may do: nothing is wrong with it, and nothing has to be waited for. */
export const isSpare = (
	{ role }: Pick<ClusterMember, "role">,
	{ voterCount }: Pick<ClusterStatus, "voterCount">,
): boolean => role === "learner" && voterCount >= maxVoters;

export function outlookOf(members: readonly Member[]): Outlook {
	const voters = members.filter(isVoter);
	const needed = Math.floor(voters.length / 2) + 1;
	const reachable = voters.filter((member) => member.reachable).length;
	return {
		...{ voters: voters.length, needed, reachable },
		mayFail: Math.max(0, reachable - needed),
		quorum: reachable >= needed,
	};
}

/** When this node is no member any more. It goes first, if there is a quorum then; one of those beyond the limit votes in its place. */
export function outlookWithout(members: readonly Member[], nodeId: string): Outlook {
	const others = members.filter((member) => member.nodeId !== nodeId);
	const after = outlookOf(others);
	const next = others.find((member) => !isVoter(member) && member.reachable);
	const isReplaced = outlookOf(members).voters === maxVoters && after.voters < maxVoters && after.quorum;
	if (!isReplaced || next === undefined) return after;
	return outlookOf(others.map((member) => (member === next ? { ...member, role: "follower" } : member)));
}

export type Advice = "alone" | "two" | "even" | "spare" | null;

/** What an administrator may not expect of this number of voters. Learners vote soon: with one on the way it says nothing. */
export function adviceOn(members: readonly Member[]): Advice {
	const { voters } = outlookOf(members);
	if (members.length > voters) return voters >= maxVoters ? "spare" : null;
	if (voters === 1) return "alone";
	if (voters === 2) return "two";
	return voters % 2 === 0 ? "even" : null;
}

type Versioned = Pick<ClusterMember, "nodeId" | "name" | "version" | "features">;
export type MixedVersions = {
	/** Oldest first, with the names of the nodes that have it. */
	versions: { version: string; names: string[] }[];
	/** What some have and others lack, so that nobody may use it yet, with the names of those that lack it. */
	heldBack: { feature: string; missingOn: string[] }[];
};

/** Null while all members that are known run the same. */
export function mixedVersions(members: readonly Versioned[]): MixedVersions | null {
	const byVersion = new Map<string, string[]>();
	for (const { version, name } of members) {
		if (version !== null) byVersion.set(version, [...(byVersion.get(version) ?? []), name]);
	}
	const known = members.filter(({ features }) => features !== null);
	const all = [...new Set(known.flatMap(({ features }) => features ?? []))].sort();
	const heldBack = all
		.map((feature) => ({
			feature,
			missingOn: known.filter(({ features }) => !features?.includes(feature)).map(({ name }) => name),
		}))
		.filter(({ missingOn }) => missingOn.length > 0);
	if (byVersion.size < 2 && heldBack.length === 0) return null;
	const versions = [...byVersion].map(([version, names]) => ({ version, names }));
	return { versions: versions.sort((a, b) => compareVersions(a.version, b.version)), heldBack };
}

const compareVersions = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });

/** Voters that are not reached, by name: what a quorum is missing. */
export const missingVoters = ({ members }: Pick<ClusterStatus, "members">): string[] =>
	members.filter((member) => isVoter(member) && !member.reachable).map(({ name }) => name);
