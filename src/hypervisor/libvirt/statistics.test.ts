import { expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { testUuid } from "../test-domain.ts";
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

type Answer = { resolve(records: DomainStatsRecord[]): void; reject(error: unknown): void };

/** Statistics whose calls are answered by the test. */
function world() {
	const clock = new ManualClock(0);
	const calls: Answer[] = [];
	const statistics = new Statistics(
		{
			connectGetAllDomainStats: () => {
				const { promise, resolve, reject } = Promise.withResolvers<DomainStatsRecord[]>();
				calls.push({ resolve, reject });
				return promise;
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

test("at most four calls are left behind; figures come back with the first that ends", async () => {
	const { statistics, calls, pass, turns } = world();
	const reading = statistics.read().catch((error: AppError) => error);
	for (let count = 0; count < 6; count++) await pass(2_000);
	expect(await reading).toMatchObject({ code: "timeout" });
	expect(calls.length).toBe(4);
	await expect(statistics.read()).rejects.toMatchObject({ code: "timeout" });
	expect(calls.length).toBe(4);
	calls[2]?.reject(new AppError("unavailable", "gone"));
	await turns();
	const again = statistics.read();
	expect(calls.length).toBe(5);
	calls[4]?.resolve([record(1)]);
	expect(numbers(await again)).toEqual([1]);
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
