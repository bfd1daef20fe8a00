/** What takes as long as a disk is large tells how far it is, ends when it is told to, and leaves nothing half done: on LVM's real metadata. */
import { expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { fails, newId } from "../conformance.ts";
import type { CreateSource, LongOptions } from "../driver.ts";
import type { IscsiLvmDriver } from "./driver.ts";
import { type LoopPool, loopPool } from "./testing/loop-pool.ts";

const empty: CreateSource = { kind: "empty" };
const small = 4 * MiB;
/** Several steps of overwriting. */
const large = 600 * MiB;
const make = (driver: IscsiLvmDriver, id: string, sizeBytes: number, options: LongOptions = {}) =>
	driver.createVolume(id, { format: "raw", sizeBytes, source: empty, ...options });

/** What is told of progress; aborts as soon as it gets to `at`. */
function watched(at = Number.POSITIVE_INFINITY) {
	const ratios: number[] = [];
	const abort = new AbortController();
	const progress = (ratio: number | null) => {
		ratios.push(ratio ?? Number.NaN);
		if ((ratio ?? 0) >= at) abort.abort();
	};
	return { ratios, options: { signal: abort.signal, progress } };
}

const expectToTheEnd = (ratios: number[]) => {
	expect(ratios.length).toBeGreaterThan(2);
	expect(ratios).toEqual([...ratios].sort((a, b) => a - b));
	expect(ratios.at(-1)).toBeCloseTo(1);
};

const lvBytes = async (pool: LoopPool, id: string) =>
	(await pool.lvs()).filter(({ lv }) => lv.includes(id)).map(({ lvBytes: bytes }) => bytes);

/** A driver whose process ends at this step. */
async function endedAt(pool: LoopPool, step: string, work: (driver: IscsiLvmDriver) => Promise<unknown>, more = {}) {
	const there = Promise.withResolvers<void>();
	const onStep = async (name: string) => {
		if (name !== step) return;
		there.resolve();
		await new Promise(() => {});
	};
	const driver = pool.driver({ ...more, onStep });
	await driver.activate();
	void work(driver);
	await there.promise;
}

test("a raw volume that is made, also of a smaller one; called off, nothing is left", async () => {
	await using pool = await loopPool(4096 * MiB);
	const driver = pool.driver();
	await driver.activate();
	const [id, copy] = [newId(), newId()];
	const called = watched(0.2);
	await fails("canceled", make(driver, id, large, called.options));
	expect(await pool.lvNames()).toEqual([]);
	const first = watched();
	await make(driver, id, large, first.options);
	expectToTheEnd(first.ratios);
	const second = watched();
	const source = { kind: "volume", id, fullCopy: true } as const;
	await driver.createVolume(copy, { format: "raw", sizeBytes: 3 * large, source, ...second.options });
	expectToTheEnd(second.ratios);
	// A third is copied, the rest overwritten.
	expect(second.ratios.filter((ratio) => ratio > 0.34 && ratio < 0.99).length).toBeGreaterThan(2);
}, 60_000);

test.each([false, true])(
	"growth, also of a disk that is open: %p; called off, it has its old size, and its space is free",
	async (isOpen) => {
		await using pool = await loopPool(2048 * MiB);
		const driver = pool.driver();
		await driver.activate();
		const id = newId();
		await make(driver, id, small);
		if (isOpen) await driver.openVolume(id);
		const grow = (bytes: number, options: LongOptions) =>
			isOpen ? driver.growOpenVolume(id, bytes, options) : driver.resizeVolume(id, bytes, options);
		const { availableBytes } = await driver.check();
		await fails("canceled", grow(large, watched(0.2).options));
		expect(await lvBytes(pool, id)).toEqual([small]);
		expect((await driver.getVolume(id))?.sizeBytes).toBe(small);
		expect((await driver.check()).availableBytes).toBe(availableBytes);
		const whole = watched();
		expect((await grow(large, whole.options)).sizeBytes).toBe(large);
		expectToTheEnd(whole.ratios);
	},
	60_000,
);

test("growth that the process did not survive is undone by the next start, or by whoever opens the volume", async () => {
	await using pool = await loopPool(2048 * MiB);
	const id = newId();
	const first = pool.driver();
	await first.activate();
	await make(first, id, small);
	const half = [{ lv: `v-${id}-1`, lvBytes: large, zeroFrom: small }];
	const found = async () =>
		(await pool.lvs()).map(({ lv, lvBytes: bytes, record }) => ({ lv, lvBytes: bytes, zeroFrom: record.zeroFrom }));
	const whole = [{ lv: `v-${id}-1`, lvBytes: small, zeroFrom: null }];
	const cut = () => endedAt(pool, "overwrite the new part of a disk", (driver) => driver.resizeVolume(id, large));
	await cut();
	expect(await found()).toEqual(half);
	const next = pool.driver();
	await next.activate();
	for (const open of await next.openVolumes()) await next.closeVolume(open);
	expect(await found()).toEqual(whole);

	await cut();
	const other = pool.driver();
	// It was activated before, and finds it like this later.
	await next.openVolume(id);
	expect(await found()).toEqual(whole);
	await next.closeVolume(id);
	await other.activate();
	expect((await other.resizeVolume(id, large)).sizeBytes).toBe(large);
}, 60_000);

const wiping = { wipeOnDelete: true };

/** A large volume whose deletion was called off while it was overwritten. */
async function halfWiped(pool: LoopPool) {
	const id = newId();
	const first = pool.driver(wiping);
	await first.activate();
	await make(first, id, large);
	await fails("canceled", first.deleteVolume(id, watched(0.2).options));
	return { id, first };
}

test("a deletion with overwriting that is ended goes on later: the pool is usable meanwhile, and whoever asks waits for it", async () => {
	await using pool = await loopPool(2048 * MiB);
	const { id, first } = await halfWiped(pool);
	expect(await first.getVolume(id)).toBeNull();
	expect(await pool.lvNames()).toEqual([`v-${id}-1`]);

	// The next one stands still in the middle of it.
	const [there, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
	const onStep = async (step: string) => {
		if (step !== "overwrite a disk") return;
		there.resolve();
		await go.promise;
	};
	const second = pool.driver({ ...wiping, onStep });
	await second.activate();
	await there.promise;
	const other = newId();
	await make(second, other, small);
	expect(await fails("in-use", second.remove({ ifIdle: true }))).toContain("overwritten");
	const rest = watched();
	const deleting = second.deleteVolume(id, rest.options);
	const anew = make(second, id, small, watched().options);
	go.resolve();
	await deleting;
	expectToTheEnd(rest.ratios);
	expect((await anew).sizeBytes).toBe(small);
	expect(await pool.lvNames()).toEqual([`v-${id}-1`, `v-${other}-1`].sort());
}, 60_000);

test("a pool that is removed is overwritten first, as far as that was not done yet; told to end, it goes on the next time", async () => {
	await using pool = await loopPool(2048 * MiB);
	const { id } = await halfWiped(pool);
	const second = pool.driver(wiping);
	await second.activate();
	await fails("canceled", second.remove(watched(0.2).options));
	expect(await pool.lvNames()).toEqual([`v-${id}-1`]);
	const rest = watched();
	await pool.driver(wiping).remove(rest.options);
	expectToTheEnd(rest.ratios);
	expect((await pool.driver().probe()).usedBytes).toBe(0);
}, 60_000);

test("what is left to be overwritten goes by itself, and never takes another disk of the same name", async () => {
	await using pool = await loopPool(2048 * MiB);
	const [one, two] = [newId(), newId()].sort() as [string, string];
	const wiping = { wipeOnDelete: true };
	const first = pool.driver(wiping);
	await first.activate();
	for (const id of [one, two]) {
		await make(first, id, large);
		await fails("canceled", first.deleteVolume(id, watched(0.2).options));
	}
	const [there, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
	let steps = 0;
	const onStep = async (step: string) => {
		if (step !== "overwrite a disk" || steps++ > 0) return;
		there.resolve();
		await go.promise;
	};
	const second = pool.driver({ ...wiping, onStep });
	await second.activate();
	await there.promise;
	// In front of the queue, which has the old disk of this name behind the first one.
	await make(second, two, small);
	go.resolve();
	await waitUntil("the first one to go", 20_000, async () => !(await pool.lvNames()).includes(`v-${one}-1`));
	await second.deactivate();
	await second.activate();
	expect((await second.getVolume(two))?.sizeBytes).toBe(small);
	expect(await pool.lvNames()).toEqual([`v-${two}-1`]);
}, 60_000);

test("copies of one volume wait for each other for longer than others would; told to end, they do", async () => {
	await using pool = await loopPool();
	const [there, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
	let holds = false;
	const onStep = async (step: string) => {
		if (!holds || step !== "fill a disk") return;
		holds = false;
		there.resolve();
		await go.promise;
	};
	const driver = pool.driver({ lockWaitMs: 20, onStep });
	await driver.activate();
	const id = newId();
	await driver.createVolume(id, { format: "qcow2", sizeBytes: small, source: empty });
	const copy = (options: LongOptions = {}) =>
		driver.createVolume(newId(), {
			format: "qcow2",
			sizeBytes: small,
			source: { kind: "volume", id, fullCopy: false },
			...options,
		});
	holds = true;
	const first = copy();
	await there.promise;
	const said = Promise.withResolvers<string>();
	const progress = (_ratio: number | null, text?: string) => text && said.resolve(text);
	const patient = [1, 2].map(() => copy({ signal: new AbortController().signal, progress }));
	const abort = new AbortController();
	const called = fails("canceled", copy({ signal: abort.signal }));
	expect(await said.promise).toContain(`volume ${id} is busy`);
	expect(await fails("in-use", copy())).toContain(`volume ${id} is busy`);
	abort.abort();
	await called;
	go.resolve();
	for (const made of await Promise.all([first, ...patient])) expect(made.backing.map((one) => one.id)).toEqual([id]);
	expect(await driver.listVolumes()).toHaveLength(4);
}, 60_000);
