import { describe, expect, test } from "bun:test";
import { maxVoters } from "../../src/model/member-limits.ts";
import type { ClusterMember } from "../api/types.ts";
import { adviceOn, isSpare, missingVoters, mixedVersions, outlookOf, outlookWithout } from "./outlook.ts";

const member = (name: string, changes: Partial<ClusterMember> = {}): ClusterMember => ({
	...{ nodeId: name, name, role: "follower", witness: false, peerAddresses: [], reachable: true, lagEntries: 0 },
	...{ recovering: false, receivesSnapshot: false, version: "1.0.0", features: ["cluster-1"], latencyMs: 1 },
	certificateExpiresAt: null,
	clockOffsetMs: null,
	clockOff: false,
	...changes,
});
const members = (count: number) =>
	Array.from({ length: count }, (_, at) => member(`n${at + 1}`, at === 0 ? { role: "leader" } : {}));

describe("the outlook", () => {
	test.each([
		[1, 1, 0],
		[2, 2, 0],
		[3, 2, 1],
		[4, 3, 1],
		[5, 3, 2],
	])("of %d nodes: %d have to agree, %d may fail", (count, needed, mayFail) => {
		const expected = { voters: count, needed, reachable: count, mayFail, quorum: true };
		expect(outlookOf(members(count))).toEqual(expected);
	});

	test("counts what has failed already, and no learners", () => {
		const some = [...members(2), member("n3", { reachable: false }), member("n4", { role: "learner" })];
		expect(outlookOf(some)).toEqual({ voters: 3, needed: 2, reachable: 2, mayFail: 0, quorum: true });
	});

	test("after a node has gone", () => {
		// The dead one of three: two are left, and both are needed.
		const some = [...members(2), member("n3", { reachable: false })];
		expect(outlookWithout(some, "n3")).toEqual({ voters: 2, needed: 2, reachable: 2, mayFail: 0, quorum: true });
		// A working one, while another is dead: no quorum afterwards.
		expect(outlookWithout(some, "n2")).toMatchObject({ voters: 2, needed: 2, reachable: 1, quorum: false });
	});
});

test("advice is given for numbers that surprise", () => {
	expect([1, 2, 3, 4, 5].map((count) => adviceOn(members(count)))).toEqual(["alone", "two", null, "even", null]);
	expect(adviceOn([...members(2), member("n3", { role: "learner" })])).toBeNull();
});

describe("beyond those that may vote", () => {
	const learner = member("n16", { role: "learner" });
	const full = [...members(maxVoters), learner];

	test("a member that does not vote is not on its way to it", () => {
		expect([isSpare(learner, { voterCount: maxVoters }), isSpare(learner, { voterCount: 3 })]).toEqual([true, false]);
		expect(isSpare(member("n2"), { voterCount: maxVoters })).toBe(false);
		expect(adviceOn(full)).toBe("spare");
		expect(adviceOn(members(maxVoters))).toBeNull();
	});

	test("one of them takes the place of one that goes, if it is reached, and if that one can go", () => {
		expect(outlookWithout(full, "n2")).toMatchObject({ voters: 15, needed: 8, reachable: 15 });
		expect(outlookWithout(full, "n16")).toMatchObject({ voters: 15 });
		const away = [...members(maxVoters), member("n16", { role: "learner", reachable: false })];
		expect(outlookWithout(away, "n2")).toMatchObject({ voters: 14 });
		const eight = full.map((one, at) => (at >= 8 && one !== learner ? { ...one, reachable: false } : one));
		expect(outlookWithout(eight, "n2")).toMatchObject({ voters: 14, quorum: false });
		expect(outlookWithout(eight, "n15")).toMatchObject({ voters: 15, reachable: 9, quorum: true });
	});
});

describe("versions", () => {
	test("that are the same, or not known, are nothing to tell", () => {
		expect(mixedVersions([member("a"), member("b"), member("c", { version: null, features: null })])).toBeNull();
	});

	test("that differ are told with what is held back, and by whom", () => {
		const newer = { version: "1.10.0", features: ["cluster-1", "live-migration-1"] };
		expect(mixedVersions([member("a", newer), member("b", { version: "1.9.0" }), member("c", newer)])).toEqual({
			versions: [
				{ version: "1.9.0", names: ["b"] },
				{ version: "1.10.0", names: ["a", "c"] },
			],
			heldBack: [{ feature: "live-migration-1", missingOn: ["b"] }],
		});
	});
});

test("what a quorum is missing are voters", () => {
	const some = [member("a"), member("b", { reachable: false }), member("c", { role: "learner", reachable: false })];
	expect(missingVoters({ members: some })).toEqual(["b"]);
});
