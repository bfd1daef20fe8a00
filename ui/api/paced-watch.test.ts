/** Who looks gets what is new as often as they want it, and nobody what nobody reads any more. */
import { expect, test } from "bun:test";
import { PacedWatch } from "./paced-watch.ts";

function make() {
	const page = { hidden: false, reads: 0, timers: new Set<{ ms: number; run: () => void }>() };
	const watch = new PacedWatch({
		read: () => {
			page.reads += 1;
		},
		hidden: () => page.hidden,
		every(ms, run) {
			const timer = { ms, run };
			page.timers.add(timer);
			return { cancel: () => void page.timers.delete(timer) };
		},
	});
	const paces = () => [...page.timers].map(({ ms }) => ms);
	const pass = () => {
		for (const { run } of page.timers) run();
	};
	return { watch, page, paces, pass };
}

test("the one who wants it most often sets the pace, and others go on when that one goes", () => {
	const { watch, page, paces, pass } = make();
	const frame = watch.watch(15_000);
	expect([page.reads, paces()]).toEqual([1, [15_000]]);
	const table = watch.watch(3_000);
	expect([page.reads, paces()]).toEqual([2, [3_000]]);
	const card = watch.watch(3_000);
	expect([page.reads, paces()]).toEqual([3, [3_000]]);
	table();
	expect(paces()).toEqual([3_000]);
	card();
	expect(paces()).toEqual([15_000]);
	pass();
	expect(page.reads).toBe(4);
	frame();
	// Called twice, as effects may.
	frame();
	expect(paces()).toEqual([]);
});

test("a page that is hidden reads nothing, and at once when it is shown, if anybody looks", () => {
	const { watch, page, pass } = make();
	watch.shown();
	expect(page.reads).toBe(0);
	watch.watch(3_000);
	page.hidden = true;
	pass();
	expect(page.reads).toBe(1);
	page.hidden = false;
	watch.shown();
	expect(page.reads).toBe(2);
});
