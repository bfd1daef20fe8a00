/** A group whose LUN is away is taken from the kernel from the top, and only when nobody has anything of it open. */
import { expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { fails } from "../conformance.ts";
import type { boundedRun } from "./bounded-run.ts";
import { leasesName, parseMapped, removeMapped } from "./mapped-devices.ts";

const group = "lqx-22222222-2222-4222-8222-222222222222";
const own = "lqx--22222222--2222--4222--8222--222222222222";
/** A thin pool with a volume of it, as LVM stacks them. */
const thin = [
	`${own}-thin-tpool dm-2 2`,
	`${own}-thin_tdata dm-1 1`,
	`${own}-thin_tmeta dm-0 1`,
	`${own}-thin dm-3 0`,
	`${own}-v--1--1 dm-4 0`,
];
const holders: Record<string, string[]> = { "dm-0": ["dm-2"], "dm-1": ["dm-2"], "dm-2": ["dm-3", "dm-4"] };

function removing(lines: string[], more: Record<string, string[]> = {}, busy?: string) {
	const removed: string[] = [];
	const run = (async (_program: string, args: string[]) => {
		if (args[0] === "info") return { stdout: `${lines.join("\n")}\n` };
		const name = args.at(-1) ?? "";
		if (name === busy)
			throw new AppError("internal", "dmsetup failed.", { context: { stderr: "Device or resource busy" } });
		removed.push(name.replace(`${own}-`, ""));
		return { stdout: "" };
	}) as unknown as typeof boundedRun;
	const sysfs = {
		holders: async (device: string) => more[device] ?? holders[device] ?? [],
		mapperNames: async () => lines.map((line) => line.split(" ")[0] ?? ""),
	};
	return { removed, done: removeMapped(group, { sysfs, run }) };
}

test("only what is of the group is looked at, by its whole name", () => {
	const text = ["No devices found", "lqx--22222222-thin dm-7 0", `${own}x-thin dm-8 0`, `${own}-v--1--1 dm-4 1`, ""];
	expect(parseMapped(text.join("\n"), group)).toEqual([{ name: `${own}-v--1--1`, device: "dm-4", opens: 1 }]);
});

test("idle devices go, what is on top first", async () => {
	const { removed, done } = removing(thin);
	await done;
	expect(removed).toEqual(["thin", "v--1--1", "thin-tpool", "thin_tdata", "thin_tmeta"]);
});

test("nothing goes while one is open, or somebody else's device is stacked on one", async () => {
	const open = removing(thin.map((line) => line.replace("dm-4 0", "dm-4 1")));
	await fails("in-use", open.done);
	const stacked = removing(
		thin.map((line) => line.replace("dm-4 0", "dm-4 1")),
		{ "dm-4": ["dm-9"] },
	);
	await fails("in-use", stacked.done);
	expect([open.removed, stacked.removed]).toEqual([[], []]);
	// Opened since it was looked at.
	await fails("in-use", removing(thin, {}, `${own}-v--1--1`).done);
});

test("leases, which sanlock has open, neither keep the rest nor go", async () => {
	const { removed, done } = removing([`${leasesName(group)} dm-5 1`, `${own}-v--1--1 dm-4 0`]);
	await done;
	expect(removed).toEqual(["v--1--1"]);
});

test("where nothing of the group is active, dmsetup is not asked", async () => {
	const run = (() => Promise.reject(new Error("asked"))) as unknown as typeof boundedRun;
	await removeMapped(group, { sysfs: { holders: async () => [], mapperNames: async () => ["other-thin"] }, run });
});
