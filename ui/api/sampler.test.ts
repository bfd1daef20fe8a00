import { expect, test } from "bun:test";
import { Sampler } from "./sampler.ts";

type Sample = { sampledAt: string; value: number };
const at = (second: number): Sample => ({ sampledAt: new Date(second * 1000).toISOString(), value: second });
const settle = () => new Promise((resolve) => setImmediate(resolve));

function make() {
	const timers: (() => void)[] = [];
	const world = { nowMs: 0, hidden: false, asked: [] as (string | undefined)[], newest: null as Sample | null };
	const node: Sample[] = [];
	const sampler = new Sampler<Sample>(
		{
			async history(since) {
				world.asked.push(since);
				return node.filter(({ sampledAt }) => since === undefined || sampledAt > since);
			},
			async newest() {
				if (!world.newest) throw new Error("not there");
				return world.newest;
			},
		},
		{
			hidden: () => world.hidden,
			nowMs: () => world.nowMs,
			schedule(run) {
				timers.push(run);
				return { cancel: () => void timers.splice(timers.indexOf(run), 1) };
			},
		},
	);
	const pass = async (ms: number) => {
		world.nowMs += ms;
		timers.shift()?.();
		await settle();
	};
	const values = () => sampler.samples.value.map(({ value }) => value);
	return { sampler, world, node, timers, pass, values };
}

test("begins with what the node kept, then reads only the newest", async () => {
	const { sampler, world, node, pass, values } = make();
	node.push(at(10), at(20));
	sampler.watch();
	await settle();
	expect(values()).toEqual([10, 20]);
	expect(sampler.loaded.value).toBe(true);
	world.newest = at(20);
	await pass(5000);
	expect(values()).toEqual([10, 20]);
	world.newest = at(25);
	await pass(5000);
	expect(values()).toEqual([10, 20, 25]);
	expect(world.asked).toEqual([undefined]);
});

test("a hole is filled from the node: after being hidden, and after coming back", async () => {
	const { sampler, world, node, timers, pass, values } = make();
	node.push(at(10));
	const stop = sampler.watch();
	await settle();
	world.hidden = true;
	await pass(60_000);
	world.hidden = false;
	node.push(at(20), at(30));
	await pass(5000);
	expect(world.asked).toEqual([undefined, at(10).sampledAt]);
	expect(values()).toEqual([10, 20, 30]);
	stop();
	expect(timers).toEqual([]);
	node.push(at(40));
	world.nowMs += 60_000;
	sampler.watch();
	await settle();
	expect(values()).toEqual([10, 20, 30, 40]);
	// One loop only, however often one came and went.
	expect(timers.length).toBe(1);
});

test("what cannot be had now is not there, however much was measured before", async () => {
	const { sampler, world, node, pass, values } = make();
	node.push(at(10));
	world.newest = at(12);
	sampler.watch();
	await settle();
	expect(sampler.current.value).toEqual(at(12));
	world.newest = null;
	await pass(5000);
	expect([sampler.current.value, values()]).toEqual([null, [10, 12]]);
	world.newest = at(22);
	await pass(5000);
	expect([sampler.current.value, values()]).toEqual([at(22), [10, 12, 22]]);
});

test("leaving while an answer is on its way, and coming back, does not make two loops", async () => {
	const { sampler, timers } = make();
	sampler.watch()();
	sampler.watch();
	await settle();
	expect(timers.length).toBe(1);
});

test("keeps an hour", async () => {
	const { sampler, node, values } = make();
	for (let second = 0; second <= 4000; second += 10) node.push(at(second + 1));
	await sampler.look();
	expect(values()[0]).toBe(411);
	expect(values().length).toBe(360);
});

test("begins anew when the node's clock was set back", async () => {
	const { sampler, world, node, pass, values } = make();
	node.push(at(1000));
	sampler.watch();
	await settle();
	world.newest = at(500);
	node.splice(0, 1, at(490), at(500));
	await pass(5000);
	await pass(5000);
	expect(values()).toEqual([490, 500]);
});
