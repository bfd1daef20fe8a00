/** What logical volumes are together, and what is tidied up: by hand, and for any set of records. */
import { expect, test } from "bun:test";
import { isAppError } from "../../lib/errors.ts";
import { parseLvName } from "./names.ts";
import { PoolIndex, tidyPlan } from "./pool-index.ts";
import { type Lv, type LvRecord, parseTags } from "./records.ts";

const uuid = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, "0")}`;
const [vol, copy, image, me, other, s1, s2] = [1, 2, 3, 4, 5, 6, 7].map(uuid) as [
	string,
	string,
	string,
	string,
	string,
	string,
	string,
];
const lv = (name: string, record: Partial<LvRecord> = {}): Lv => {
	const parsed = parseLvName(name);
	if (parsed === null) throw new Error(name);
	const base = { ...parseTags(name, []), format: "qcow2" as const, sizeBytes: 1_048_576 };
	const rest = { uuid: name, lvBytes: 2_097_152, dataPercent: null, active: false, open: false };
	return { lv: name, name: parsed, ...rest, record: { ...base, ...record } };
};
const v = (n: number, id = vol) => `v-${id}-${n}`;
const index = (...lvs: Lv[]) => new PoolIndex({ lvs, damaged: new Map() });
const steps = (of: PoolIndex, node = me) =>
	tidyPlan(of, node).map((step) => `${step.kind} ${(step.kind === "remove" ? step.lv : step.disk).lv}`);
const sha256 = "a".repeat(64);

test("the highest finished disk is written to; numbers are numbers", () => {
	const of = index(lv(v(10), { on: v(9) }), lv(v(9), { on: v(2) }), lv(v(2)), lv(v(11), { half: me, on: v(10) }));
	expect(of.volume(vol)?.active.lv).toBe(v(10));
	expect(of.nextNumber(vol)).toBe(12);
	expect(of.chain(lv(v(10), { on: v(9) })).map((disk) => disk.lv)).toEqual([v(10), v(9), v(2)]);
	expect(steps(of)).toEqual([`remove ${v(11)}`]);
	expect(steps(of, other)).toEqual([]);
});

test("chains go through other volumes to an image, and who depends is known", () => {
	const base = lv(`i-${image}`, { format: "raw", fileSizeBytes: 512, sha256 });
	const of = index(base, lv(v(1), { on: `i-${image}` }), lv(v(2), { on: v(1) }), lv(v(1, copy), { on: v(1) }));
	expect(of.info(of.volume(copy) ?? (undefined as never)).backing).toEqual([
		{ kind: "volume", id: vol, format: "qcow2" },
		{ kind: "image", id: image, format: "raw" },
	]);
	expect(of.dependants("volume", vol)).toEqual([copy]);
	expect(of.dependants("image", image)).toEqual([vol]);
	expect(steps(of)).toEqual([]);
});

test("snapshots are what overlays freeze, until the overlay has gone; a new branch has the right parent", () => {
	const of = index(
		lv(v(1)),
		lv(v(2), { on: v(1), freezes: s1 }),
		lv(v(3), { on: v(2), freezes: s2 }),
		lv(v(4), { on: v(1) }),
	);
	expect(of.snapshots(of.volume(vol) ?? (undefined as never)).map(({ id, parentId }) => ({ id, parentId }))).toEqual([
		{ id: s1, parentId: null },
		{ id: s2, parentId: s1 },
	]);
	// Disk 3 was written to before the volume went back to s1: it goes, and s2 stays.
	expect(steps(of)).toEqual([`moveSnapshot ${v(3)}`, `remove ${v(3)}`]);
});

test("a thin volume has gone on from the last snapshot of the disk that it is, also when only the snapshot was made", () => {
	const raw = { format: "raw" as const };
	const last = (...lvs: Lv[]) => {
		const of = index(...lvs);
		return of.lastThinSnapshot(of.volume(vol) ?? (undefined as never));
	};
	const disk = lv(v(1), raw);
	expect(last(disk)).toBeNull();
	expect(last(disk, lv(v(2), { ...raw, snap: s1 }))).toBe(s1);
	expect(last(disk, lv(v(2), { ...raw, snap: s1 }), lv(v(3), { ...raw, snap: s2, parent: s1 }))).toBe(s2);
	// Gone back to s1 after s2 was taken; then the one that it went back to is what counts, until another is taken.
	const taken = [lv(v(2), { ...raw, snap: s1 }), lv(v(3), { ...raw, snap: s2, parent: s1 })];
	const back = lv(v(4), { ...raw, parent: s1 });
	expect(last(...taken, back)).toBe(s1);
	expect(last(...taken, back, lv(v(5), { ...raw, snap: other, parent: s1 }))).toBe(other);
});

test("a deleted volume is none, whoever deletes it; its disks go upwards, by that node only", () => {
	const of = index(lv(v(1)), lv(v(2), { on: v(1), gone: me }));
	expect(of.volume(vol)).toBeNull();
	expect(steps(of)).toEqual([`remove ${v(1)}`, `remove ${v(2)}`]);
	expect(steps(of, other)).toEqual([]);
});

test("a missing or circular chain is an error, not a hang", () => {
	const code = (of: PoolIndex) => {
		try {
			of.info(of.volume(vol) ?? (undefined as never));
		} catch (error) {
			return isAppError(error) ? error.code : error;
		}
		return "fine";
	};
	expect(code(index(lv(v(1), { on: v(1, copy) })))).toBe("corrupt");
	expect(code(index(lv(v(1), { on: v(1) })))).toBe("corrupt");
	expect(code(index(lv(v(1), { on: `i-${image}` }), lv(`i-${image}`, { half: other })))).toBe("corrupt");
});

test("while a record cannot be read, nothing is taken for useless", () => {
	const lvs = [lv(v(1)), lv(v(2))];
	expect(steps(new PoolIndex({ lvs, damaged: new Map() }))).toEqual([`remove ${v(1)}`]);
	expect(steps(new PoolIndex({ lvs, damaged: new Map([[v(3), new Error("x") as never]]) }))).toEqual([]);
});

test("whatever the records are, tidying up never takes what a volume or a snapshot rests on", () => {
	let seed = 1;
	const random = (n: number) => {
		seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
		return Math.floor((seed / 2_147_483_648) * n);
	};
	for (let round = 0; round < 3000; round++) {
		const lvs: Lv[] = [];
		for (let at = 0; at < 2 + random(6); at++) {
			const earlier = lvs[random(lvs.length + 1)];
			const id = random(3) === 0 ? copy : vol;
			const number = at + 1;
			lvs.push(
				lv(v(number, id), {
					on: earlier && earlier.record.half === null ? earlier.lv : null,
					half: random(5) === 0 ? ([me, other][random(2)] ?? null) : null,
					freezes: random(3) === 0 ? uuid(100 + at) : null,
				}),
			);
		}
		const of = index(...lvs);
		const gone = new Set(tidyPlan(of, me).flatMap((step) => (step.kind === "remove" ? [step.lv.lv] : [])));
		for (const id of [vol, copy]) {
			const volume = of.volume(id);
			if (volume === null) continue;
			for (const disk of of.chain(volume.active)) expect(gone.has(disk.lv)).toBe(false);
			for (const { disk } of of.snapshots(volume))
				for (const layer of of.chain(disk)) expect(gone.has(layer.lv)).toBe(false);
		}
		for (const one of lvs) if (one.record.half === other) expect(gone.has(one.lv)).toBe(false);
	}
});
