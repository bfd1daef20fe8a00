/** Which lock a logical volume has on this node, whatever uses it one after another. */
import { expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { Activation, type Mode } from "./activation.ts";

const [vm, copy] = ["vm", "copy"];
function begin(hasLocks = true) {
	const locks = new Map<string, Mode>();
	const asked: string[] = [];
	let refuse = "";
	const group = {
		hasLocks,
		async activate(lv: string, mode: Mode) {
			asked.push(`${lv} ${mode}`);
			if (refuse === lv) throw new AppError("in-use", "Another node has this volume open.");
			locks.set(lv, mode);
		},
		async deactivate(lv: string) {
			asked.push(`${lv} off`);
			locks.delete(lv);
		},
	};
	const activation = new Activation(group, silentLogger);
	return { activation, asked, locks, refuse: (lv: string) => (refuse = lv) };
}
const disk = { lv: "v-1", mode: "exclusive" } as const;
const layer = { lv: "v-1", mode: "shared" } as const;
const overlay = { lv: "v-2", mode: "exclusive" } as const;

test("what was written to and is a layer by now can be lowered, and not before", async () => {
	const { activation, asked, locks } = begin();
	await activation.pin(vm, [disk]);
	expect(activation.lowerable()).toEqual([]);
	// A snapshot is taken while the VM runs.
	await activation.use([disk], async () => {
		await activation.use([overlay], async () => {});
		expect(activation.lowerable()).toEqual([]);
	});
	await activation.pin(vm, [overlay, layer]);
	expect(activation.lowerable()).toEqual(["v-1"]);
	// Not by itself: QEMU may not have gone over yet.
	expect(locks.get("v-1")).toBe("exclusive");
	await activation.lower("v-1");
	expect([locks.get("v-1"), locks.get("v-2")]).toEqual(["shared", "exclusive"]);
	expect(activation.lowerable()).toEqual([]);
	expect(asked).not.toContain("v-1 off");
});

test("a layer that is the disk again is exclusive again, without being let go of", async () => {
	const { activation, asked, locks } = begin();
	await activation.pin(vm, [disk]);
	await activation.pin(vm, [overlay, layer]);
	await activation.lower("v-1");
	await activation.unpin(vm, new Set(["v-1"]));
	await activation.pin(vm, [disk]);
	expect(locks).toEqual(new Map([["v-1", "exclusive"]]));
	expect(activation.lowerable()).toEqual([]);
	expect(asked).not.toContain("v-1 off");
});

test("while anybody here writes to it, it stays as it is", async () => {
	const { activation, locks } = begin();
	await activation.pin(vm, [overlay, layer]);
	await activation.use([{ lv: "v-1", mode: "exclusive" }], async () => {
		expect(activation.lowerable()).toEqual([]);
		await activation.lower("v-1");
		expect(locks.get("v-1")).toBe("exclusive");
	});
	expect(activation.lowerable()).toEqual(["v-1"]);
});

test("found active by a new process: the disk stays exclusive, layers are made sure of once", async () => {
	const { activation, asked } = begin();
	activation.pinFound(vm, [overlay, layer]);
	activation.pinFound(copy, [{ lv: "c-1", mode: "exclusive" }, layer]);
	expect(activation.lowerable()).toEqual(["v-1"]);
	await activation.lower("v-1");
	expect(activation.lowerable()).toEqual([]);
	expect(asked).toEqual(["v-1 shared"]);
});

test("a volume that could not be opened again is held as before", async () => {
	const { activation, locks, refuse } = begin();
	await activation.pin(vm, [disk]);
	refuse("v-2");
	expect(await activation.pin(vm, [overlay, layer]).catch((error: AppError) => error.code)).toBe("in-use");
	expect(locks).toEqual(new Map([["v-1", "exclusive"]]));
	expect(activation.lowerable()).toEqual([]);
});

test("a group without locks has nothing to lower", async () => {
	const { activation } = begin(false);
	await activation.pin(vm, [disk]);
	await activation.pin(vm, [overlay, layer]);
	expect(activation.lowerable()).toEqual([]);
});
