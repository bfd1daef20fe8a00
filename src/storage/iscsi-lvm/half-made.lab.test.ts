/** What one node of a group has begun to make, another one leaves alone: on LVM's real metadata, see testing/loop-pool.ts. */
import { expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { fails, newId, pattern } from "../conformance.ts";
import type { CreateSource } from "../driver.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import type { IscsiLvmDriver } from "./driver.ts";
import { loopPool } from "./testing/loop-pool.ts";

const [first, second] = [newId(), newId()];
const empty: CreateSource = { kind: "empty" };
const make = (driver: IscsiLvmDriver, id: string) =>
	driver.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: empty });

/** Stands still at a step until `go` is called; `there` is when it has come to it. */
const gate = (at: string) => {
	const [there, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
	const onStep = async (step: string) => {
		if (step !== at) return;
		there.resolve();
		await go.promise;
	};
	return { onStep, there: there.promise, go: go.resolve };
};

test("two nodes make a volume of one name at once: the second takes nothing away from the first", async () => {
	await using pool = await loopPool();
	const id = newId();
	const [early, late] = [gate("fill a disk"), gate("make a logical volume")];
	const one = pool.driver({ nodeId: first, onStep: early.onStep });
	const two = pool.driver({ nodeId: second, onStep: late.onStep });
	for (const driver of [one, two]) await driver.activate();
	// It has looked, and there was none.
	const makingTwo = make(two, id);
	await late.there;
	const makingOne = make(one, id);
	await early.there;
	late.go();
	const said = await fails("in-use", makingTwo);
	expect(said).toContain(first);
	expect(said).toContain(`v-${id}-1 by hand`);
	expect(await pool.lvNames()).toEqual([`v-${id}-1`]);
	early.go();
	expect((await makingOne).sizeBytes).toBe(4 * MiB);
	await one.openVolume(id);
	await writeDisk(one, id, 0, pattern(65_536));
	await one.closeVolume(id);
	await one.deleteVolume(id);
}, 60_000);

test("what a node has left unfinished is refused elsewhere, and gone when that node has started again", async () => {
	await using pool = await loopPool();
	const id = newId();
	const cut = gate("finish a disk");
	const one = pool.driver({ nodeId: first, onStep: cut.onStep });
	await one.activate();
	void make(one, id);
	await cut.there;
	const two = pool.driver({ nodeId: second });
	await two.activate();
	for (const refused of [make(two, id), two.deleteVolume(id)])
		expect(await fails("in-use", refused)).toContain(`Node ${first} is making the logical volume v-${id}-1`);
	expect(await pool.lvNames()).toEqual([`v-${id}-1`]);
	await pool.driver({ nodeId: first }).activate();
	expect(await pool.lvNames()).toEqual([]);
	expect((await make(two, id)).sizeBytes).toBe(4 * MiB);
}, 60_000);
