import { expect, test } from "bun:test";
import type { ClusterMember } from "../../api/types.ts";
import { leaderObstacle, leaveObstacle, removeObstacle } from "./member-obstacles.ts";

const member = (nodeId: string, changes: Partial<ClusterMember> = {}): ClusterMember => ({
	...{ nodeId, name: nodeId, role: "follower", witness: false, peerAddresses: [], reachable: true, lagEntries: 0 },
	...{ recovering: false, receivesSnapshot: false, version: "1.0.0", features: ["cluster-1"], latencyMs: 1 },
	certificateExpiresAt: null,
	clockOffsetMs: null,
	clockOff: false,
	...changes,
});
const dead = member("dead", { reachable: false });
const members = [member("here"), member("there"), dead];

test("who can lead votes, is reached, and has everything", () => {
	const status = { leaderNodeId: "here" };
	expect(leaderObstacle(member("there"), status)).toBeNull();
	expect(leaderObstacle(member("here"), status)).toBe("It leads already.");
	expect(leaderObstacle({ ...member("there"), witness: true }, status)).toBe("It is a witness: it only votes.");
	expect(leaderObstacle(dead, status)).toBe("It is not reached.");
	expect(leaderObstacle(member("new", { role: "learner" }), status)).toBe("It does not vote.");
	expect(leaderObstacle(member("hurt", { recovering: true }), status)).toContain("before it has everything again");
	expect(leaderObstacle(member("there"), { leaderNodeId: null })).toBe("There is no leader now.");
});

test("a node that works leaves, one that is gone is removed, the last one stays", () => {
	const status = { nodeId: "here", members };
	expect(leaveObstacle(member("there"), status)).toBeNull();
	expect(leaveObstacle(dead, status)).toContain("is removed");
	expect(leaveObstacle(member("here"), { members: [member("here")] })).toBe("It is the only node.");
	expect(removeObstacle(dead, status, "not-ready")).toBeNull();
	for (const phase of ["ready", "not-ready", undefined] as const)
		expect(removeObstacle(member("there"), status, phase)).toContain("let it leave, or switch it off");
	expect(removeObstacle(member("here"), status, "ready")).toContain("it leaves by itself");
	const alone = { nodeId: "here", members: [member("here")] };
	expect(removeObstacle(member("here"), alone, "ready")).toBe("It is the only node.");
});

test("a node that does not get to the end of joining is removed, whether it is reached or not", () => {
	const status = { nodeId: "here", members };
	for (const reachable of [true, false])
		expect(removeObstacle(member("new", { role: "learner", reachable }), status, "joining")).toBeNull();
	expect(removeObstacle(member("here"), status, "joining")).toContain("it leaves by itself");
});
