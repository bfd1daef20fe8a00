/**
 * A thin pool that the kernel has given up: its metadata could not be written while its LUN was away, say. It stays so until nothing of it is
 * active any more, whatever the LUN does.
 */
import { AppError } from "../../lib/errors.ts";
import type { Lvm, LvmCall } from "./lvm.ts";
import { firstValue } from "./lvm-report.ts";
import { thinPoolName } from "./names.ts";

type Of = { lvm: Pick<Lvm, "report">; group: string; call: LvmCall };

export const thinHealthField = "lv_health_status";
const hasFailed = (health: string): boolean => health === "failed" || health === "metadata_read_only";

const saysFailed = (report: string): boolean => hasFailed(firstValue(report, "lv", thinHealthField) ?? "");

async function isFailed({ lvm, group, call }: Of): Promise<boolean> {
	return saysFailed(await lvm.report("lvs", thinHealthField, [`${group}/${thinPoolName}`], call));
}

/** `report`: of the thin pool, with `thinHealthField`. Pure. */
export function requireThinPoolWorks(report: string): void {
	if (saysFailed(report)) throw failed();
}

/** `restart` takes it from the kernel and gives it back; only called while nobody uses it. True when that was done. */
export async function reviveThinPool(
	of: Of,
	{ isUsed, restart }: { isUsed: () => Promise<boolean>; restart: () => Promise<void> },
): Promise<boolean> {
	if (!(await isFailed(of))) return false;
	if (await isUsed()) throw failed();
	await restart();
	return true;
}

const failed = (): AppError =>
	new AppError(
		"storage",
		"The thin pool has stopped working since its LUN was away. It is started again by itself once the VMs that use it are off: stop them.",
	);
