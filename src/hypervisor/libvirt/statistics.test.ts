import { expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { testUuid } from "../test-domain.ts";
import { statsGroups } from "./rpc/flags.ts";
import type { DomainStatsRecord } from "./rpc/types.ts";
import { Statistics } from "./statistics.ts";

const record = (number: number, stats: Record<string, number> = {}): DomainStatsRecord => ({
	domain: { name: `vm-${number}`, uuid: testUuid(number), id: number },
	stats: { "state.state": 1, "state.reason": 1, "block.count": 1, "block.0.rd.bytes": 512, ...stats },
});
const taken = (number: number): DomainStatsRecord => {
	const { "block.0.rd.bytes": _, ...stats } = record(number).stats;
	return { ...record(number), stats };
};

type Answer = { groups: number; resolve(records: DomainStatsRecord[]): void; reject(error: unknown): void };

/** Statistics whose calls are answered by the test. */
function world() {
	const clock = new ManualClock(0);
	const calls: Answer[] = [];
	const statistics = new Statistics(
		{
			connectGetAllDomainStats: (groups) => {
				const { promise, resolve, reject } = Promise.withResolvers<DomainStatsRecord[]>();
				calls.push({ groups, resolve, reject });
				return promise;
			},
			domainGetInfo: async ({ uuid }) => {
				if (uuid === testUuid(7)) throw new AppError("not-found", "It has ended.");
				return { state: "running", vcpus: 2, cpuTimeNs: 5_000, memoryBytes: 64, maxMemoryBytes: 64 };
			},
		},
		clock,
	);
	const turns = async () => {
		for (let count = 0; count < 10; count++) await Promise.resolve();
	};
	const pass = async (ms: number) => {
		await turns();
		clock.advance(ms);
		await turns();
	};
	return { statistics, calls, pass, turns };
}
const numbers = (figures: { id: string }[]): number[] => figures.map(({ id }) => Number(id.slice(-2)));

test("one hanging VM costs the others two seconds once, and nothing afterwards", async () => {
	const { statistics, calls, pass, turns } = world();
	const first = statistics.read();
	await pass(1_999);
	expect(calls.length).toBe(1);
	await pass(1);
	expect(calls.length).toBe(2);
	calls[1]?.resolve([record(1), taken(2), record(3)]);
	expect(numbers(await first)).toEqual([1, 3]);
	const second = statistics.read();
	calls[2]?.resolve([record(1), taken(2), record(3)]);
	expect(numbers(await second)).toEqual([1, 3]);
	// It goes on: its old answer is nobody's, the next reading has all.
	calls[0]?.resolve([record(9)]);
	await turns();
	const third = statistics.read();
	calls[3]?.resolve([record(1), record(2), record(3)]);
	expect(numbers(await third)).toEqual([1, 2, 3]);
});

test("a VM that is busy for a moment is left out, so that its counters do not seem to begin anew", async () => {
	const { statistics, calls } = world();
	const reading = statistics.read();
	calls[0]?.resolve([taken(1), record(2, { "block.count": 2 }), record(3, { "block.count": 0 })]);
	expect(numbers(await reading)).toEqual([2, 3]);
});

test("with more VMs hanging than calls may be left behind, the figures from outside go on for all", async () => {
	const { statistics, calls, pass, turns } = world();
	const all = [1, 2, 3, 4, 5, 6].map((number) => record(number, { "vcpu.current": 2 }));
	const before = statistics.read();
	calls[0]?.resolve(all);
	await before;
	// One call after the other finds the next VM that hangs.
	const reading = statistics.read();
	for (let count = 0; count < 4; count++) await pass(2_180);
	const outside = { "state.state": 1, "state.reason": 1, "net.count": 1, "net.0.rx.bytes": 7 };
	const answer = [1, 2, 3, 4, 5, 6, 7].map((number) => ({ ...record(number), stats: outside }));
	const asksQemu = statsGroups.cpuTotal | statsGroups.balloon | statsGroups.vcpu | statsGroups.block;
	expect(calls.map(({ groups }) => (groups & asksQemu) !== 0)).toEqual([true, true, true, true, true, false]);
	calls[5]?.resolve(answer);
	const figures = await reading;
	// The seventh has ended meanwhile.
	expect(numbers(figures)).toEqual([1, 2, 3, 4, 5, 6]);
	const known = { vcpus: 2, cpuTimeNs: 5_000, netReceivedBytes: 7, memoryUsedBytes: null };
	expect(figures[0]).toMatchObject({ ...known, diskReadBytes: null, diskWriteBytes: null });
	// Nothing more is left behind, however often it is asked.
	for (let round = 6; round < 12; round++) {
		const again = statistics.read();
		expect(calls).toHaveLength(round + 1);
		expect((calls[round]?.groups ?? 0) & asksQemu).toBe(0);
		calls[round]?.resolve(answer);
		expect(numbers(await again)).toHaveLength(6);
	}
	calls[2]?.reject(new AppError("unavailable", "gone"));
	await turns();
	const last = statistics.read();
	calls[12]?.resolve(all);
	expect((await last)[0]).toMatchObject({ diskReadBytes: 512 });
});

test("many VMs have more time; a failure is told at once", async () => {
	const { statistics, calls, pass } = world();
	const first = statistics.read();
	calls[0]?.resolve(Array.from({ length: 100 }, (_, index) => record(index)));
	await first;
	const second = statistics.read();
	await pass(4_999);
	expect(calls.length).toBe(2);
	calls[1]?.reject(new AppError("unavailable", "libvirt is away"));
	await expect(second).rejects.toMatchObject({ code: "unavailable" });
});
