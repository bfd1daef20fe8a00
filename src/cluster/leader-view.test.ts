/** What a follower says of the others: what the leader knows, the first time that it is asked too. */
import { expect, test } from "bun:test";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { LeaderViews } from "./leader-view.ts";
import { encodeJson } from "./methods.ts";

const [own, leader] = [fixtureId(1), fixtureId(2)];
const view = { nodeId: leader, peers: [], lastIndex: 7, configuration: { voters: [own, leader] } };
const details = { nodeId: own, role: "follower", leader } as unknown as ReturnType<RaftConsensus["details"]>;

function follower(answer: () => Promise<Uint8Array>) {
	const clock = new ManualClock();
	const seen = { calls: 0 };
	const peers = {
		call: () => {
			seen.calls += 1;
			return answer();
		},
	};
	return { clock, peers, seen, views: new LeaderViews({ details: () => details }, clock) };
}

test("the first answer has the leader's view, and so has one that comes long after", async () => {
	const { clock, peers, seen, views } = follower(async () => encodeJson(view));
	for (const calls of [1, 2]) {
		await views.refresh(peers);
		expect(seen.calls).toBe(calls);
		expect(views.get(null)).toMatchObject({ nodeId: leader, lastIndex: 7 });
		clock.advance(60_000);
		expect(views.get(null)).toBeNull();
	}
});

test("a leader that hangs is not waited for, nor asked twice at once", async () => {
	const { clock, peers, seen, views } = follower(() => new Promise(() => {}));
	const both = Promise.all([views.refresh(peers), views.refresh(peers)]);
	clock.advance(300);
	await both;
	expect([views.get(null), seen.calls]).toEqual([null, 1]);
});

test("one that fails is asked again the next time", async () => {
	const { peers, seen, views } = follower(() => Promise.reject(new Error("it does not lead")));
	await views.refresh(peers);
	await views.refresh(peers);
	expect([views.get(null), seen.calls]).toEqual([null, 2]);
});
