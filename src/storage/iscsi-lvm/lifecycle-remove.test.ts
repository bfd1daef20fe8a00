/** Who takes a shared group away, and when: LVM and sanlock are played here; the real ones are in shared.long.test.ts. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { IscsiContext } from "./context.ts";
import type { VolumeGroup } from "./group.ts";
import { removeGroup } from "./lifecycle-remove.ts";
import type { Group } from "./lvm-report.ts";

let folder: string;
let calls: string[];
/** Nodes that take part beside this one, by the seconds that have passed. */
let others: (passedMs: number) => number;
let left: number;
/** Logical volumes of somebody else. */
let foreign: string[];
let passedMs: number;
/** Why LVM finds no group of the pool. */
let refusal: AppError | null;

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-remove-"));
	await writeFile(join(folder, "lun"), "");
	await truncate(join(folder, "lun"), 4 * MiB);
	[calls, left, passedMs] = [[], 0, 0];
	others = () => 0;
	foreign = [];
	refusal = null;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const volume = {
	lv: "v-1-1",
	name: { kind: "volume", id: "1", number: 1 },
	record: { half: null, gone: null, snap: null },
};
const ended = new Error("The process ends here.");
async function remove(othersLeaveMs?: number, signal = new AbortController().signal): Promise<string> {
	const clock: Clock = {
		nowMs: () => passedMs,
		monotonicMs: () => passedMs,
		schedule(delayMs, callback) {
			passedMs += delayMs;
			setImmediate(callback);
			return { cancel() {} };
		},
	};
	const found: Group = { ...({} as Group), lockType: "sanlock" };
	const group: Partial<VolumeGroup> = {
		async find() {
			if (refusal !== null) throw refusal;
			return found;
		},
		startLocks: async () => void calls.push("take part"),
		lvs: async () => ({ lvs: Array.from({ length: left }, () => volume), damaged: new Map() }) as never,
		anyLvs: async () => [...(left > 0 ? ["v-1-1"] : []), "lvmlock", ...foreign].map((lv) => ({ lv })) as never,
		deactivateAll: async () => {},
		disown: async () => void calls.push("disown"),
		deviceUuid: async () => "0000-1",
		remove: async () => void calls.push("remove"),
		async requireAlone() {
			if (others(passedMs) > 0) throw new AppError("in-use", "Other nodes still take part.");
		},
	};
	const context: Partial<IscsiContext> = {
		group: group as VolumeGroup,
		clock,
		staging: { context: { folder: { root: join(folder, "staging") } } } as IscsiContext["staging"],
		// What comes after is on a device (lifecycle-remove.lab.test.ts).
		step: (name) => {
			if (name === "overwrite what LVM has left") throw ended;
		},
	};
	const connection = { current: async () => ({ device: join(folder, "lun"), sizeBytes: 4 * MiB }) };
	return removeGroup(context as IscsiContext, connection, { poolId: "pool", othersLeaveMs, signal });
}

test("alone, a node takes the group away at once", async () => {
	await expect(remove()).rejects.toBe(ended);
	expect([calls, passedMs]).toEqual([["take part", "remove"], 0]);
});

test("others are waited for: those that leave, and one that is dead until sanlock takes it for that", async () => {
	// Two leave in a few seconds; the third one has lost its power.
	others = (ms) => (ms < 5000 ? 3 : ms < 140_000 ? 1 : 0);
	await expect(remove()).rejects.toBe(ended);
	expect(calls).toEqual(["take part", "remove"]);
	expect(passedMs).toBeGreaterThanOrEqual(140_000);
	expect(passedMs).toBeLessThan(145_000);
});

test("one that stays keeps the group: nothing is changed, and that is said", async () => {
	others = () => 1;
	await expect(remove()).rejects.toMatchObject({ code: "in-use" });
	expect(calls).toEqual(["take part"]);
	expect(passedMs).toBeGreaterThanOrEqual(180_000);
	passedMs = 0;
	await expect(remove(3000)).rejects.toMatchObject({ code: "in-use" });
	expect(passedMs).toBe(3000);
});

test("what others have left unfinished counts only once they are out; what stays then is kept, and the group nobody's", async () => {
	left = 1;
	others = (ms) => (ms < 2000 ? 1 : 0);
	await remove();
	expect([calls, passedMs]).toEqual([["take part", "disown"], 2000]);
});

test("a group in which somebody else has made a logical volume stays, and is nobody's", async () => {
	foreign = ["backup"];
	await remove();
	expect(calls).toEqual(["take part", "disown"]);
});

test("what is somebody else's is left alone, and told from an empty LUN", async () => {
	refusal = new AppError("wrong-state", "Another volume group.", { context: { isOthers: true } });
	expect(await remove()).toBe("removed");
	await writeFile(join(folder, "lun"), "something");
	await truncate(join(folder, "lun"), 4 * MiB);
	expect([await remove(), calls]).toEqual(["others", []]);
});

test("a group of this pool that cannot be removed is not gone", async () => {
	refusal = new AppError("wrong-state", "The volume group on the LUN belongs to another node.");
	await expect(remove()).rejects.toBe(refusal);
});

test("told to end, it waits for no other node", async () => {
	others = () => 1;
	const abort = new AbortController();
	abort.abort(new AppError("canceled", "Enough."));
	await expect(remove(180_000, abort.signal)).rejects.toMatchObject({ code: "canceled" });
	expect(passedMs).toBeLessThan(2000);
});
