/**
 * The only user of `lvm`. Each command is told by itself which devices it may look at (--devices) and everything else that it needs
 * (--config, and a folder of settings of our own), so /etc/lvm is neither changed nor asked, and the groups of others are neither seen
 * nor held up.
 *
 * No event activates our groups, and no other command of the host does by mistake: a private group has the system id of its
 * node, which plain LVM on that host does not claim, and a shared one needs lvmlockd, which plain LVM there does not use.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { delay, systemClock } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { boundedRun, stderrOf } from "./bounded-run.ts";
import { isReadable } from "./device-io.ts";

export type LvmOptions = {
	nodeId: string;
	/** For sanlock: of this node in a shared group; null in a private one. */
	hostId: number | null;
	/** Where LVM finds its own settings instead of /etc/lvm: made here. Null: those of the host. */
	folder: string | null;
	/** More for each command; for tests. */
	extra?: readonly string[];
	/** Default 30 s. */
	timeoutMs?: number;
};

/** `graceMs`: as of boundedRun. */
export type LvmCall = { devices: readonly string[]; timeoutMs?: number; graceMs?: number; stdin?: string };

const defaultLimitMs = 30_000;
/** Another node holds the group's lock while it changes something: for a moment. */
const lockedTries = 8;

export class Lvm {
	readonly #options: LvmOptions;
	#last: Promise<unknown> = Promise.resolve();
	#settings: Promise<Record<string, string>> | null = null;

	constructor(options: LvmOptions) {
		this.#options = options;
	}

	/** Standard output. Changes of one node come one after another: LVM would have them wait for each other anyway. */
	change(args: readonly string[], call: LvmCall): Promise<string> {
		const result = this.#last.then(() => this.#run(args, call));
		this.#last = result.catch(() => {});
		return result;
	}

	report(command: "lvs" | "vgs" | "pvs", fields: string, operands: readonly string[], call: LvmCall): Promise<string> {
		const format = ["--reportformat", "json", "--units", "b", "--nosuffix", "--binary", "-o", fields];
		return this.#run([command, ...format, ...operands], call);
	}

	/** The environment that says where. What cannot be written only makes LVM slower. */
	async #environment(): Promise<Record<string, string>> {
		const { folder } = this.#options;
		const quiet = { LVM_SUPPRESS_FD_WARNINGS: "1" };
		if (folder === null) return quiet;
		try {
			await mkdir(folder, { recursive: true, mode: 0o700 });
			await writeFile(join(folder, "lvm.conf"), settings);
			return { ...quiet, LVM_SYSTEM_DIR: folder };
		} catch {
			// Tried again by the next command.
			this.#settings = null;
			return quiet;
		}
	}

	async #run([command = "", ...args]: readonly string[], call: LvmCall): Promise<string> {
		const devices = call.devices.flatMap((device) => ["--devices", device]);
		const { hostId, extra = [] } = this.#options;
		// LVM's global lock is for devices without a group, which only we and only one node ever touch. With sanlock it is in one of
		// all shared groups, and everybody would depend on that one's LUN.
		const locks = hostId === null || args.includes("--lockopt") ? [] : ["--lockopt", "skipgl"];
		const all = [command, ...devices, "--config", lvmConfig(this.#options), ...locks, ...extra, ...args];
		this.#settings ??= this.#environment();
		const environment = await this.#settings;
		for (let attempt = 1; ; attempt++) {
			try {
				const { stdout } = await boundedRun("lvm", all, {
					timeoutMs: call.timeoutMs ?? this.#options.timeoutMs ?? defaultLimitMs,
					...(call.graceMs === undefined ? {} : { graceMs: call.graceMs }),
					environment,
					maxOutputBytes: 64 * 1024 * 1024,
				});
				return stdout;
			} catch (error) {
				const known = await explained(lvmError(error), call.devices);
				if (!known.context.heldForAMoment || attempt === lockedTries) throw known;
				await delay(systemClock, 100 * attempt);
			}
		}
	}
}

/**
 * What has no effect on the command line. Asynchronous IO is for many devices, and a command sees one LUN here; the kernel takes 15 to
 * 35 ms to end it, which is most of the time of a command.
 */
const settings = "global { use_aio = 0 }\n";

/** For leases of logical volumes, 1 MiB each, made one by one: LVM takes so much at first, and again whenever they are used up. */
const leaseMiB = 64;

/** What all commands get as --config. */
export function lvmConfig({ nodeId, hostId }: Pick<LvmOptions, "nodeId" | "hostId">): string {
	return [
		'devices/global_filter=["a|.*|"]',
		"devices/issue_discards=1",
		// Ours are on LUNs: a group inside of a guest's disk is none of the host's.
		"devices/scan_lvs=0",
		// For thin pools that are made: lvcreate takes no --errorwhenfull for them.
		"activation/error_when_full=1",
		"backup/backup=0",
		"backup/archive=0",
		'global/system_id_source="lvmlocal"',
		`local/system_id="${systemId(nodeId)}"`,
		...(hostId === null
			? ["global/use_lvmlockd=0"]
			: ["global/use_lvmlockd=1", `local/host_id=${hostId}`, `global/sanlock_lv_extend=${leaseMiB}`]),
	].join(" ");
}

/** LVM's system id of a node. */
export const systemId = (nodeId: string): string => `lqx-${nodeId}`;

const unreadable = "The LUN cannot be read or written: its target reports errors of the device.";

const rules: { says: RegExp; code: AppError["code"]; message: string; moment?: true; noGroup?: true }[] = [
	{
		says: /LV locked by other host|LV is already locked with incompatible mode|LV already locked/i,
		code: "in-use",
		message: "Another node has this volume open.",
	},
	{
		says: /lock failed: held by other host|lock skipped: held by other host|VG .* lock failed: .*(?:EAGAIN|-11)/i,
		code: "in-use",
		message: "Another node is changing the volume group.",
		moment: true,
	},
	{
		says: /insufficient (?:free space|suitable|available)|has insufficient free space|no free extents|Insufficient.*extents|free space .* not enough|cannot create new .*: pool .* is full|free space in thin pool .* reached threshold/i,
		code: "no-space",
		message: "There is no space left in the storage pool.",
	},
	{
		says: /is in use\b|in use\.|is used by another device|contains a filesystem in use|Device or resource busy/i,
		code: "in-use",
		message: "A process on this node has this volume open.",
	},
	{
		says: /already exists in volume group/i,
		code: "already-exists",
		message: "A logical volume of this name exists already.",
	},
	{
		says: /Failed to find logical volume|One or more specified logical volume\(s\) not found/i,
		code: "not-found",
		message: "The logical volume is not there.",
	},
	{
		says: /lvmlockd process is not running|lockspace is (?:not started|inactive)|lock manager .* is not running|lock start|lockd .* not found|storage failed for sanlock/i,
		code: "unavailable",
		message: "The lock manager of the shared volume group (lvmlockd, sanlock) does not work on this node.",
	},
	{
		says: /Cannot access VG .* with system ID/i,
		code: "wrong-state",
		message: "The volume group belongs to another node.",
	},
	{
		// Before what LVM makes of it: that nothing is there.
		says: /Error (?:reading|writing) device|Input\/output error|(?:read|write) failed/i,
		code: "storage",
		message: unreadable,
	},
	{
		says: /Volume group "[^"]*" not found|Cannot process volume group/i,
		code: "storage",
		message: "The volume group is not on the LUN.",
		noGroup: true,
	},
];

const readLimitMs = 3000;

/** Where LVM could not read the device, its reports fail without a word (2.03.31), or say that no group is there. */
async function explained(error: AppError, devices: readonly string[]): Promise<AppError> {
	const { exitCode, noGroup } = error.context;
	const isSilent = error.code === "storage" && exitCode !== undefined && wordsOf(error).length === 0;
	if (!isSilent && noGroup !== true) return error;
	for (const device of devices)
		if (!(await isReadable(device, readLimitMs))) {
			const { noGroup: _none, ...context } = error.context;
			return new AppError("storage", unreadable, { context, cause: error });
		}
	return error;
}

const wordsOf = (error: unknown): string[] =>
	stderrOf(error)
		.split("\n")
		.map((line) => line.trim())
		.filter((line) => line !== "" && !/^WARNING|^File descriptor/.test(line));

/** LVM says why in words only. */
export function lvmError(error: unknown): AppError {
	if (!isAppError(error)) return new AppError("internal", "LVM could not be run.", { cause: error });
	if (error.code !== "internal") return error;
	const said = stderrOf(error);
	const context = error.context;
	for (const rule of rules)
		if (rule.says.test(said))
			return new AppError(rule.code, rule.message, {
				context: {
					...context,
					...(rule.moment ? { heldForAMoment: true } : {}),
					...(rule.noGroup ? { noGroup: true } : {}),
				},
				cause: error,
			});
	return new AppError("storage", `LVM failed: ${(wordsOf(error).at(-1) ?? "it says nothing").slice(0, 300)}`, {
		context,
		cause: error,
	});
}
