/** The time of a node whose clock is off is that of the others, as far as it hears them. */
import { describe, expect, test } from "bun:test";
import { type LogFields, silentLogger } from "../lib/log.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { ClusterTime } from "./cluster-time.ts";

const [own, second, third] = [fixtureId(1), fixtureId(2), fixtureId(3)] as const;
const hourMs = 3_600_000;

/** A node, what is the right time, and others whose clocks are ahead of that by so much. */
function node(...othersAheadMs: (number | null)[]) {
	const clock = new ManualClock();
	const rightAtZeroMs = clock.nowMs();
	const said: [string, LogFields][] = [];
	const note = (message: string, fields: LogFields = {}) => void said.push([message, fields]);
	const others = othersAheadMs;
	const status = () =>
		others.map((aheadMs, at) => ({
			nodeId: at === 0 ? second : third,
			link: { clock: aheadMs === null ? null : { wallAtZeroMs: rightAtZeroMs + aheadMs, errorMs: 1 } },
		}));
	const time = new ClusterTime(clock, { ...silentLogger, info: note, warn: note });
	time.usePeers(own, { status });
	/** How far what it takes for the time is ahead of the right one, after a moment. */
	const aheadMs = () => {
		clock.advance(250);
		return time.nowMs() - (rightAtZeroMs + clock.monotonicMs());
	};
	return { clock, time, others, said, aheadMs };
}

describe("with two others that agree", () => {
	test("a clock that is right is its own", () => {
		expect(node(3, -4).aheadMs()).toBe(0);
	});

	test.each([-20 * 365 * 24 * hourMs, -hourMs, -2_000, 2_000, hourMs, 20 * 365 * 24 * hourMs])(
		"one that is %d ms ahead is not: the time is theirs",
		(offMs) => {
			const { clock, aheadMs } = node(0, 5);
			clock.jump(offMs);
			expect(aheadMs()).toBeWithin(-1, 6);
		},
	);

	test("it may be set while the node runs, at any time", () => {
		const { clock, time, aheadMs } = node(0, 0);
		aheadMs();
		const beforeMs = time.nowMs();
		clock.jump(-hourMs);
		expect(time.nowMs()).toBe(beforeMs);
		clock.jump(2 * hourMs);
		expect(time.nowMs()).toBe(beforeMs);
	});

	test("the wrong clock of one of them changes nothing here", () => {
		expect(node(hourMs, 0).aheadMs()).toBe(0);
	});
});

describe("without a majority that agrees", () => {
	test.each([
		["alone", []],
		["with one other", [hourMs]],
		["with two that differ from it and from each other", [hourMs, -hourMs]],
		["with others that do not say the time", [null, null]],
	])("%s, its own clock is the time", (_, others) => {
		const { clock, aheadMs } = node(...others);
		clock.jump(-5_000);
		expect(aheadMs()).toBe(-5_000);
	});

	test("before the links are up, too", () => {
		const clock = new ManualClock();
		expect(new ClusterTime(clock, silentLogger).nowMs()).toBe(clock.nowMs());
	});
});

describe("cut off, after there was a majority", () => {
	const cutOff = ({ others }: ReturnType<typeof node>) => others.fill(null);

	test("a clock that is behind does not bring back what was over", () => {
		const cut = node(0, 0);
		cut.clock.jump(-hourMs);
		expect(cut.aheadMs()).toBe(0);
		cutOff(cut);
		expect(cut.aheadMs()).toBe(0);
		cut.clock.advance(10 * hourMs);
		expect(cut.aheadMs()).toBe(0);
		// It was set right meanwhile.
		cut.clock.jump(hourMs);
		expect(cut.aheadMs()).toBe(0);
	});

	test("one that is ahead is believed: nobody contradicts it any more", () => {
		const cut = node(0, 0);
		cut.aheadMs();
		cutOff(cut);
		cut.clock.jump(hourMs);
		expect(cut.aheadMs()).toBe(hourMs);
	});
});

test("timers and the monotonic clock are those of the host", () => {
	const { clock, time } = node(hourMs, hourMs);
	let ran = 0;
	time.schedule(1_000, () => {
		ran += 1;
	});
	clock.advance(1_000);
	expect([ran, time.monotonicMs()]).toEqual([1, 1_000]);
});

test("whose clock is off is said once in the log, and when it is right again", () => {
	const { time, others, said } = node(0, 0);
	const say = () => time.sayWhatIsOff((id) => `n${id.slice(-1)}`);
	say();
	others[1] = 12_345;
	say();
	others[1] = 13_345;
	say();
	expect(said).toEqual([[expect.stringContaining("are off"), { aheadBySeconds: { n3: 12.345 } }]]);
	others[1] = 0;
	say();
	say();
	expect(said.slice(1)).toEqual([["the clocks of all members agree again", {}]]);
});
