/** The folder of a domain on this node: made before its definition, with a part in which QEMU may make its socket. */
import { existsSync } from "node:fs";
import { chmod, chown, lstat, mkdir, rename, rm } from "node:fs/promises";
import type { Clock } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { doesNotAnswer } from "../../lib/hanging-paths.ts";
import { runOrGiveUp } from "../../lib/run-or-give-up.ts";
import { domainFiles, type Machine } from "./domain/machine.ts";
import type { QemuUser } from "./host.ts";

const copyLimitMs = 10_000;

/** Fails with `hypervisor` when something else is in the way, or the folder cannot be made. Safe to repeat. */
export async function prepareFolder(folder: string, user: QemuUser): Promise<void> {
	const { qemuFolder } = domainFiles(folder);
	try {
		// Others may pass through, because QEMU runs as somebody else, but see no names.
		await mkdir(folder, { recursive: true, mode: 0o711 });
		await mkdir(qemuFolder, { recursive: true, mode: 0o700 });
		const found = await lstat(qemuFolder);
		if (!found.isDirectory()) throw new AppError("hypervisor", `${qemuFolder} is not a folder.`);
		if (found.uid !== user.uid || found.gid !== user.gid) await chown(qemuFolder, user.uid, user.gid);
		if ((found.mode & 0o777) !== 0o700) await chmod(qemuFolder, 0o700);
	} catch (error) {
		if (error instanceof AppError) throw error;
		throw new AppError("hypervisor", `The folder ${folder} of the VM cannot be made.`, { cause: error });
	}
}

/** Fails with `unsupported` when the firmware is not installed here. */
export function checkFirmware(machine: Machine): void {
	const { firmware } = machine;
	if (firmware.kind === "bios") return;
	for (const path of [firmware.codePath, firmware.variablesTemplate])
		if (!existsSync(path)) throw new AppError("unsupported", `UEFI needs the package ovmf on this node: no ${path}.`);
}

/**
 * A domain that is adopted brings its UEFI variables along. Where they lie nobody knows: `timeout` when that does not answer.
 */
export async function takeVariables(clock: Clock, machine: Machine, currentPath: string | null): Promise<void> {
	const { firmware } = machine;
	if (firmware.kind === "bios" || currentPath === null || currentPath === firmware.nvramPath) return;
	if (existsSync(firmware.nvramPath)) return;
	const half = `${firmware.nvramPath}.new`;
	try {
		await runOrGiveUp(clock, "cp", ["--", currentPath, half], { timeoutMs: copyLimitMs });
	} catch (error) {
		await rm(half, { force: true });
		if (isAppError(error, "timeout")) throw doesNotAnswer(`The file ${currentPath} with the VM's UEFI variables`);
		// Those of a domain that never ran: QEMU makes them. Of a folder of ours that is missing cp says the same, but not of reading.
		if (isAppError(error) && /cannot (stat|open) .*: No such file or directory/.test(String(error.context.stderr)))
			return;
		throw new AppError("hypervisor", `The VM's UEFI variables (${currentPath}) cannot be copied.`, { cause: error });
	}
	await chmod(half, 0o600);
	await rename(half, firmware.nvramPath);
}
