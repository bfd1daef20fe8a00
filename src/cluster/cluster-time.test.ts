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
	/** How long the host slept, and when the others were asked last; null: just now. */
	const host: { sleptMs: number; askedAtMs: number | null } = { sleptMs: 0, askedAtMs: null };
	const linkClock = (aheadMs: number) => {
		// What was answered before it slept knows nothing of that.
		const [sentAtMs, sleptMs] = host.askedAtMs === null ? [clock.monotonicMs(), host.sleptMs] : [host.askedAtMs, 0];
		return { wallAtZeroMs: rightAtZeroMs + sleptMs + aheadMs, errorMs: 1, sentAtMs };
	};
	const status = () =>
		others.map((aheadMs, at) => ({
			nodeId: at === 0 ? second : third,
			link: { clock: aheadMs === null ? null : linkClock(aheadMs) },
		}));
	const time = new ClusterTime(clock, { ...silentLogger, info: note, warn: note }, () => host.sleptMs);
	time.usePeers(own, { status });
	/** How far what it takes for the time is ahead of the right one, after a moment. */
	const aheadMs = () => {
		clock.advance(250);
		return time.nowMs() - (rightAtZeroMs + host.sleptMs + clock.monotonicMs());
	};
	const sleep = (ms: number) => {
		host.askedAtMs = clock.monotonicMs();
		host.sleptMs += ms;
		clock.jump(ms);
	};
	return { clock, time, host, others, said, aheadMs, sleep };
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
	/** Its clock was set to so much ahead while the others agreed, and nobody is heard any more. */
	const cutOff = (ownAheadMs: number) => {
		const cut = node(0, 0);
		cut.clock.jump(ownAheadMs);
		expect(cut.aheadMs()).toBe(0);
		cut.others.fill(null);
		return cut;
	};
	const bases = ({ time }: ReturnType<typeof node>) => [time.verdict().basis, ...time.verdict().off];

	test.each([-hourMs, hourMs])("a clock that was %d ms ahead then is known to be wrong, and is said to be", (offMs) => {
		const cut = cutOff(offMs);
		expect(cut.aheadMs()).toBe(0);
		cut.clock.advance(10 * hourMs);
		expect(cut.aheadMs()).toBe(0);
		expect(bases(cut)).toEqual(["kept", own]);
		expect(cut.time.verdict().aheadMs).toEqual(new Map([[own, offMs]]));
	});

	test.each([-hourMs, hourMs, hourMs / 2, 2 * hourMs])("set since, by %d ms, it is believed", (setByMs) => {
		const cut = cutOff(-hourMs);
		cut.aheadMs();
		cut.clock.jump(setByMs);
		expect(cut.aheadMs()).toBe(setByMs - hourMs);
		// Also when it is set back.
		cut.clock.jump(-setByMs);
		expect(cut.aheadMs()).toBe(-hourMs);
		expect(bases(cut)).toEqual(["none"]);
	});

	test.each([-hourMs, hourMs])("one that was right then is believed, also when it is set by %d ms", (setByMs) => {
		const cut = cutOff(0);
		cut.aheadMs();
		cut.clock.jump(setByMs);
		expect(cut.aheadMs()).toBe(setByMs);
		expect(bases(cut)).toEqual(["none"]);
	});

	test("all were wrong, and two are set right while the third is off", () => {
		const cut = node(hourMs, hourMs);
		cut.clock.jump(hourMs);
		expect(cut.aheadMs()).toBe(hourMs);
		cut.others.fill(null);
		expect(cut.aheadMs()).toBe(hourMs);
		cut.clock.jump(-hourMs);
		cut.others[0] = 0;
		expect(cut.aheadMs()).toBe(0);
		cut.clock.advance(30 * 24 * hourMs);
		expect(cut.aheadMs()).toBe(0);
		expect(bases(cut)).toEqual(["none"]);
	});

	test("one other that goes by the time of then bears it out; one that goes by this node's does not", () => {
		const cut = cutOff(-hourMs);
		cut.others[0] = 0;
		expect(cut.aheadMs()).toBe(0);
		expect(bases(cut)).toEqual(["kept", own]);
		cut.others[0] = -hourMs;
		expect(cut.aheadMs()).toBe(-hourMs);
		// Which is not forgotten when it is gone.
		cut.others[0] = null;
		expect(cut.aheadMs()).toBe(-hourMs);
		expect(bases(cut)).toEqual(["none"]);
	});

	test("nor does one that says a third time", () => {
		const cut = cutOff(-hourMs);
		cut.others[0] = 2 * hourMs;
		expect(cut.aheadMs()).toBe(-hourMs);
		expect(bases(cut)).toEqual(["none", own, second]);
	});

	test("when so many members are left that there is no majority to come back, its own clock is the time", () => {
		const cut = cutOff(-hourMs);
		expect(cut.aheadMs()).toBe(0);
		cut.others.pop();
		expect(cut.aheadMs()).toBe(-hourMs);
		expect(bases(cut)).toEqual(["none"]);
	});

	test("a majority that is heard again is what it goes by", () => {
		const cut = cutOff(-hourMs);
		cut.aheadMs();
		cut.others.fill(5_000);
		expect(cut.aheadMs()).toBe(5_000);
		expect(bases(cut)).toEqual(["majority", own]);
	});
});

describe("a clock that is just at the limit", () => {
	/** By how much each measurement is wrong, within its error. */
	const jittersMs = [0, 3, -3, 2, -2, 1, -1, 0];

	test("is off or right once, and what it takes for the time goes with that", () => {
		const { clock, time, others, said } = node(0, 0);
		const seen: string[] = [];
		/** The own clock drifts from so many milliseconds ahead to so many. */
		const drift = (fromMs: number, toMs: number) => {
			const step = Math.sign(toMs - fromMs);
			for (let offMs = fromMs; offMs !== toMs; offMs += step) {
				clock.jump(step);
				for (const jitterMs of jittersMs) {
					others.fill(jitterMs);
					clock.advance(250);
					const isOff = time.verdict().off.includes(own);
					const goesBy = Math.abs(time.nowMs() - clock.nowMs()) > 100 ? "theirs" : "its own";
					const now = `${isOff ? "off" : "right"}, ${goesBy}`;
					if (seen.at(-1) !== now) seen.push(now);
					time.sayWhatIsOff(() => "this");
				}
			}
		};
		drift(0, 990);
		drift(990, 1_010);
		drift(1_010, 990);
		drift(990, 1_010);
		expect(seen).toEqual(["right, its own", "off, theirs"]);
		drift(1_010, 490);
		drift(490, 510);
		expect(seen).toEqual(["right, its own", "off, theirs", "right, its own"]);
		expect(said).toHaveLength(2);
	});
});

describe("a host that slept, whose monotonic clock stood still meanwhile", () => {
	test("does not go by what it heard before, and says nothing of it", () => {
		const { time, host, said, aheadMs, sleep } = node(0, 0);
		const say = () => time.sayWhatIsOff(() => "this");
		aheadMs();
		say();
		sleep(hourMs);
		expect([time.verdict().off, aheadMs()]).toEqual([[], 0]);
		say();
		// They have been asked anew.
		host.askedAtMs = null;
		expect([aheadMs(), time.verdict().basis]).toEqual([0, "majority"]);
		say();
		expect(said).toEqual([]);
	});

	test("nor when nobody is heard any more", () => {
		const { others, aheadMs, sleep } = node(0, 0);
		aheadMs();
		sleep(hourMs);
		aheadMs();
		others.fill(null);
		expect(aheadMs()).toBe(0);
	});

	test("and whose own clock was off goes on by the time of before, until the others are heard", () => {
		const { clock, time, host, aheadMs, sleep } = node(0, 0);
		clock.jump(-2 * hourMs);
		expect(aheadMs()).toBe(0);
		sleep(hourMs);
		expect([aheadMs(), time.verdict().basis]).toEqual([0, "kept"]);
		host.askedAtMs = null;
		expect([aheadMs(), time.verdict().basis]).toEqual([0, "majority"]);
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
	const { clock, time, others, said } = node(0, 0);
	const say = () => {
		clock.advance(250);
		time.sayWhatIsOff((id) => `n${id.slice(-1)}`);
	};
	say();
	others[1] = 12_345;
	say();
	others[1] = 13_345;
	say();
	expect(said).toEqual([[expect.stringContaining("are off"), { aheadBySeconds: { n3: 12.345 } }]]);
	// Nobody hears it: that does not make it right.
	others[1] = null;
	say();
	others[1] = 13_345;
	say();
	expect(said).toHaveLength(1);
	others[1] = 0;
	say();
	say();
	expect(said.slice(1)).toEqual([["the clocks of all members agree again", {}]]);
});

test("that one clock of two is off is said without saying which; and that it goes on by the time of before, too", () => {
	const two = node(-hourMs);
	two.clock.advance(250);
	two.time.sayWhatIsOff((id) => `n${id.slice(-1)}`);
	expect(two.said).toEqual([[expect.stringContaining("which is right is not known"), expect.anything()]]);

	const { clock, time, others, said } = node(0, 0);
	const say = () => {
		clock.advance(250);
		time.sayWhatIsOff((id) => `n${id.slice(-1)}`);
	};
	clock.jump(-hourMs);
	say();
	others.fill(null);
	say();
	say();
	clock.jump(hourMs);
	say();
	const aheadBySeconds = { n1: -3_600 };
	expect(said).toEqual([
		[expect.stringContaining("are off"), { aheadBySeconds }],
		[expect.stringContaining("goes on by the time of then"), { aheadBySeconds }],
		[expect.stringContaining("goes by its own clock again"), {}],
	]);
});
