/** How long a link of Raft may be silent. Time stands still but for what a test lets pass, in which nothing is heard. */
import { afterEach, expect, test } from "bun:test";
import { ManualClock } from "../testing/manual-clock.ts";
import { type Pace, raftPace, raftPaceFor } from "./connection.ts";
import { closeAll, heartbeat, introduce, testNode, until } from "./test-peers.ts";

afterEach(closeAll);

/** Two nodes with links to each other. `silence`: it passes for the first of them without a byte being read. */
async function linked(pace?: Pace) {
	const options = () => ({ clock: new ManualClock(Date.now()), ...(pace === undefined ? {} : { raftPace: pace }) });
	const [clock, other] = [options(), options()];
	const [first, second] = [await testNode(1, clock), await testNode(2, other)];
	introduce(first, second);
	const link = ({ node }: typeof first) => node.status()[0]?.link;
	await until(() => [first, second].every((node) => link(node)?.state === "connected"), "links both ways");
	let round = 0;
	return {
		silence: (ms: number) => clock.clock.advance(ms),
		why: () => link(first)?.lastClose?.code ?? null,
		/** Over the link of each, which is never made anew: no time passes for that. */
		async talk() {
			round += 1;
			first.node.sendRaft(heartbeat(1, 2, round));
			second.node.sendRaft(heartbeat(2, 1, round));
			await Promise.all([second.heard(round), first.heard(round)]);
		},
		/** It may be connected again by now: time has passed for the first. */
		otherIsCutOff: () => until(() => link(second)?.lastClose != null, "the other node's link is cut off"),
	};
}

test("a link is cut in both directions after a second or so without a byte", async () => {
	const { silence, why, talk, otherIsCutOff } = await linked();
	await talk();
	silence(900);
	expect(why()).toBeNull();
	await talk();
	silence(1_250);
	expect(why()).toBe("timeout");
	await otherIsCutOff();
});

test("a slow tick of the consensus does not let healthy links be cut: elections take as much longer", async () => {
	const { silence, why, talk, otherIsCutOff } = await linked(raftPaceFor(250));
	silence(4_500);
	expect(why()).toBeNull();
	await talk();
	silence(6_250);
	expect(why()).toBe("timeout");
	await otherIsCutOff();
});

test("a fast tick leaves the limit as it is: a process stalls as long as it did", () => {
	expect(raftPaceFor(50)).toEqual(raftPace);
	expect(raftPaceFor(7)).toEqual(raftPace);
	expect(raftPaceFor(250)).toEqual({ ...raftPace, pingIntervalMs: 1250 });
});
