/**
 * What device-mapper has of a volume group, as the kernel lists it. Of a group whose LUN is away nothing else can be asked: each command of
 * LVM would wait for the LUN.
 */
import { AppError } from "../../lib/errors.ts";
import { boundedRun, stderrOf } from "./bounded-run.ts";
import { mapperName } from "./names.ts";
import { Sysfs } from "./sysfs.ts";

const limitMs = 20_000;

export type MappedDevice = {
	name: string;
	/** "dm-3". */
	device: string;
	/** How often it is open; by each device that is stacked on it once. */
	opens: number;
};

type Parts = { sysfs: Pick<Sysfs, "holders" | "mapperNames">; run: typeof boundedRun };
const hostParts = (): Parts => ({ sysfs: new Sysfs(), run: boundedRun });

/** The leases of a shared group, which sanlock has open as long as the node takes part in its locks. */
export const leasesName = (group: string): string => mapperName(group, "lvmlock");

/** Those of the group, of what `dmsetup info` lists as "NAME DEVICE OPENS". Pure. */
export function parseMapped(text: string, group: string): MappedDevice[] {
	return text.split("\n").flatMap((line) => {
		const [name = "", device = "", opens = ""] = line.trim().split(" ");
		if (!name.startsWith(mapperName(group, "")) || !/^[0-9]+$/.test(opens)) return [];
		return [{ name, device, opens: Number(opens) }];
	});
}

/**
 * Takes the group's devices from the kernel, but for its leases. `in-use` while a process has one open, or something else is stacked on it:
 * nothing is changed then.
 */
export async function removeMapped(group: string, { sysfs, run }: Parts = hostParts()): Promise<void> {
	// Where the kernel has no device-mapper, there is nobody to ask.
	if (!(await sysfs.mapperNames()).some((name) => name.startsWith(mapperName(group, "")))) return;
	const columns = ["--noheadings", "--separator", " ", "-o", "name,blkdevname,open"];
	const { stdout } = await run("dmsetup", ["info", "-c", ...columns], { timeoutMs: limitMs });
	const left = new Map<string, MappedDevice & { holders: string[] }>();
	for (const one of parseMapped(stdout, group))
		if (one.name !== leasesName(group)) left.set(one.device, { ...one, holders: await sysfs.holders(one.device) });
	for (const { opens, holders } of left.values())
		if (opens > holders.length || holders.some((holder) => !left.has(holder))) throw inUse();
	while (left.size > 0) {
		const top = [...left.values()].find(({ holders }) => !holders.some((holder) => left.has(holder)));
		if (!top) throw new AppError("storage", "What is stacked on the LUN is not understood.");
		await removeOne(top.name, run);
		left.delete(top.device);
	}
}

const inUse = (cause?: unknown) =>
	new AppError("in-use", "A process on this node has disks of the pool open.", cause === undefined ? {} : { cause });

async function removeOne(name: string, run: Parts["run"]): Promise<void> {
	try {
		await run("dmsetup", ["remove", "--retry", "--", name], { timeoutMs: limitMs });
	} catch (error) {
		throw /busy/i.test(stderrOf(error)) ? inUse(error) : error;
	}
}

/** Of a shared group that was not finished they would hold the LUN. Not there is what is usual; in use is told by what follows. */
export async function removeLeases(group: string): Promise<void> {
	await boundedRun("dmsetup", ["remove", "--retry", "--", leasesName(group)], { timeoutMs: limitMs }).catch(() => {});
}
