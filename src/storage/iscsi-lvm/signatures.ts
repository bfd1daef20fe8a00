/**
 * What is on a LUN before it becomes a pool: signatures that libblkid knows, and whether its first and last MiB are zero; and how that is
 * taken away. The device is read by children with a limit, never by the daemon.
 */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { boundedRun, stderrOf } from "./bounded-run.ts";
import { zeroDevice } from "./device-io.ts";

const limitMs = 15_000;
/** For data that nobody knows: what people write to confirm that it goes. */
export const unknownData = "data";
/** Where LVM keeps its texts, or begins to: after its label, which is in one of the first four sectors. */
export const lvmTextBytes = 2 * MiB;
const labelBytes = 4096;
/** What wipefs calls a device of LVM, be it in a group or in none. */
export const lvmMember = "LVM2_member";
/** The name of a device that another group has: which one is a part of it, since that group goes. */
export const memberOf = (group: string): string => `${lvmMember} of group ${group.slice(0, 128)}`;

const Wipefs = Type.Object({
	signatures: Type.Array(
		Type.Object({
			type: Type.String(),
			label: Type.Optional(Type.Union([Type.String(), Type.Null()])),
			uuid: Type.Optional(Type.Union([Type.String(), Type.Null()])),
		}),
	),
});
type Wipefs = Static<typeof Wipefs>;

/** Names of what is on the disk, as `wipefs --json` tells: "ext4", "gpt", "LVM2_member" …; nothing is "". */
export function parseWipefs(json: string): string[] {
	if (json.trim() === "") return [];
	let value: unknown;
	try {
		value = JSON.parse(json);
	} catch (cause) {
		throw new AppError("storage", "What wipefs says of the LUN is not understood.", { cause });
	}
	if (!Value.Check(Wipefs, value)) throw new AppError("storage", "What wipefs says of the LUN is not understood.");
	const found: Wipefs = value;
	return [...new Set(found.signatures.map(({ type }) => type.slice(0, 64)))];
}

/** Names of what is on the device; `unknownData` for bytes that are not zero and that nobody knows; empty when it is empty. */
export async function whatIsOn(device: string, sizeBytes: number): Promise<string[]> {
	const { stdout } = await boundedRun("wipefs", ["--no-act", "--json", "--", device], { timeoutMs: limitMs });
	const known = parseWipefs(stdout);
	if (known.length > 0) return known;
	for (const start of [0, Math.max(0, sizeBytes - MiB)]) if (!(await isZero(device, start))) return [unknownData];
	return [];
}

/** Lines of the same bytes come as one: of a MiB of zeroes there are hardly any. */
async function isZero(device: string, start: number): Promise<boolean> {
	const part = [`--skip-bytes=${start}`, `--read-bytes=${MiB}`];
	const args = ["--address-radix=n", "--format=x1", ...part, "--", device];
	const { stdout } = await boundedRun("od", args, { timeoutMs: limitMs, maxOutputBytes: 8 * MiB });
	return /^[0\s*]*$/.test(stdout);
}

/** Fails with `wrong-state`, naming what is there, unless all of it is confirmed by name. */
export function requireConfirmed(found: readonly string[], confirmed: readonly string[]): void {
	const foreign = found.filter((name) => !confirmed.includes(name));
	if (foreign.length === 0) return;
	const words = foreign.map((name) => (name === unknownData ? "data of an unknown kind" : name)).join(", ");
	throw new AppError("wrong-state", `The LUN is not empty: ${words} is on it. Nothing was changed.`, {
		context: { found: [...found] },
	});
}

/** Takes away what is there: afterwards the LUN counts as empty (whatIsOn). `in-use` while something on this node has the device. */
export async function clearLun(device: string, sizeBytes: number): Promise<void> {
	await wipefsAll(device, []);
	await zeroDevice(device, 0, MiB, { alone: true });
	await zeroDevice(device, Math.max(0, sizeBytes - MiB), sizeBytes, { alone: true });
}

/** Of a device of LVM that is our own. The label goes last: by its id, what is cut short is known. `step`: called before that. */
export async function clearOwnLvm(device: string, step: () => void | Promise<void> = () => {}): Promise<void> {
	await zeroDevice(device, labelBytes, lvmTextBytes, { alone: true });
	await step();
	await zeroDevice(device, 0, labelBytes, { alone: true });
}

/** `in-use` for a device whose signatures cannot be taken away now: mounted, or a volume group that is active. Changes nothing. */
export const requireUnused = (device: string): Promise<void> => wipefsAll(device, ["--no-act"]);

async function wipefsAll(device: string, more: readonly string[]): Promise<void> {
	try {
		await boundedRun("wipefs", ["--all", "--quiet", ...more, "--", device], { timeoutMs: limitMs });
	} catch (cause) {
		if (!/busy/i.test(stderrOf(cause))) throw cause;
		throw new AppError("in-use", "What is on the LUN is in use on this node: let go of it first.", { cause });
	}
}
