/**
 * Finds out whether KVM *runs* a guest on this host. That /dev/kvm exists, or that a VM can be created, says nothing:
 * nested and paravirtual set-ups exist that do both and then refuse the host's CPU model, fail on the first instruction
 * that they cannot interpret, or run kernel code a thousand times too slowly. So a tiny guest (probe-guest.ts) is run
 * under a time limit, first with the host's CPU model, then with a plain one. When KVM fails, the same guest must
 * succeed under emulation, so that a broken QEMU is not taken for a broken KVM.
 *
 * Call it once at start, beside other work: milliseconds where KVM works or is absent, about the limit where it hangs.
 */
import { constants } from "node:fs";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../lib/clock.ts";
import { toAppError } from "../lib/errors.ts";
import { run } from "../lib/run.ts";
import { formatDuration } from "../lib/units.ts";
import { buildProbeGuest, probeExitCodes, probeFaultLetter, probeStages } from "./probe-guest.ts";

export type AcceleratorProbe = {
	/** `unknown`: not even an emulated guest ran, so no VM will start. */
	accelerator: "kvm" | "tcg" | "unknown";
	/** One or two sentences for people: what was tried and what came of it. */
	reason: string;
	/** Whether guests can have the host's own CPU model (QEMU's `-cpu host`, libvirt's host-passthrough). */
	cpuModelHost: boolean;
};

export type AcceleratorProbeOptions = {
	qemuProgram?: string;
	/** Limit of each run of the guest under KVM (default 3 s). */
	timeoutMs?: number;
	/** Limit of the emulated run (default 10 s). */
	emulatedTimeoutMs?: number;
	signal?: AbortSignal;
	runProgram?: typeof run;
	/** Why KVM need not be tried, or undefined when its device can be opened. */
	checkDevice?: () => Promise<string | undefined>;
	clock?: Clock;
};

type Attempt = { ran: true; durationMs: number } | { ran: false; why: string };
type Settings = Required<Omit<AcceleratorProbeOptions, "signal">> & { signal?: AbortSignal };

/** Never throws: whatever goes wrong is in the reason. */
export async function probeAccelerator(options: AcceleratorProbeOptions = {}): Promise<AcceleratorProbe> {
	const settings: Settings = {
		qemuProgram: "qemu-system-x86_64",
		timeoutMs: 3000,
		emulatedTimeoutMs: 10_000,
		runProgram: run,
		checkDevice: checkKvmDevice,
		clock: systemClock,
		...options,
	};
	let directory: string | undefined;
	try {
		directory = await mkdtemp(join(tmpdir(), "limiquantix-probe-"));
		await writeFile(join(directory, "guest.rom"), buildProbeGuest());
		return await probe(settings, directory);
	} catch (error) {
		const { message } = toAppError(error);
		return { accelerator: "unknown", reason: `The accelerator could not be tested: ${message}`, cpuModelHost: false };
	} finally {
		if (directory !== undefined) await rm(directory, { recursive: true, force: true }).catch(() => undefined);
	}
}

async function probe(settings: Settings, directory: string): Promise<AcceleratorProbe> {
	let whyNotKvm = await settings.checkDevice();
	if (whyNotKvm === undefined) {
		const host = await attempt(settings, directory, "kvm", "host", settings.timeoutMs);
		if (host.ran)
			return {
				accelerator: "kvm",
				reason: `KVM ran a test guest in ${formatDuration(host.durationMs)}.`,
				cpuModelHost: true,
			};
		const plain = await attempt(settings, directory, "kvm", "qemu64", settings.timeoutMs);
		if (plain.ran)
			return {
				accelerator: "kvm",
				reason: `KVM ran a test guest with a plain CPU model only; with the host's own, ${host.why}.`,
				cpuModelHost: false,
			};
		const why =
			host.why === plain.why ? host.why : `with the host's CPU model, ${host.why}; with a plain one, ${plain.why}`;
		whyNotKvm = `KVM does not run guests here: ${why}.`;
	}
	const emulated = await attempt(settings, directory, "tcg", "max", settings.emulatedTimeoutMs);
	if (emulated.ran)
		return {
			accelerator: "tcg",
			reason: `${whyNotKvm} Guests are emulated, which is many times slower.`,
			cpuModelHost: false,
		};
	return {
		accelerator: "unknown",
		reason: `${whyNotKvm} Not even an emulated test guest ran: ${emulated.why}.`,
		cpuModelHost: false,
	};
}

/** Runs the guest once. It has run when it said every stage in order and left with the code for success. */
async function attempt(
	settings: Settings,
	directory: string,
	accelerator: "kvm" | "tcg",
	cpuModel: string,
	timeoutMs: number,
): Promise<Attempt> {
	const letters: string[] = [];
	const startedMs = settings.clock.monotonicMs();
	try {
		await settings.runProgram(
			settings.qemuProgram,
			qemuArguments(join(directory, "guest.rom"), accelerator, cpuModel),
			{
				timeoutMs,
				cwd: directory,
				okExitCodes: [probeExitCodes.success],
				maxOutputBytes: 64 * 1024,
				onStdoutLine: (line) => letters.push(line),
				...(settings.signal ? { signal: settings.signal } : {}),
			},
		);
	} catch (error) {
		return { ran: false, why: explain(error, letters) };
	}
	if (letters.join("") !== probeStages.map(({ letter }) => letter).join(""))
		return { ran: false, why: `the test guest ended without having done everything (${progress(letters)})` };
	return { ran: true, durationMs: settings.clock.monotonicMs() - startedMs };
}

const qemuArguments = (romPath: string, accelerator: string, cpuModel: string): string[] => [
	...["-machine", "q35", "-accel", accelerator, "-cpu", cpuModel, "-m", "16"],
	...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
	...["-bios", romPath, "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"],
];

function explain(error: unknown, letters: readonly string[]): string {
	const { code, message, context } = toAppError(error);
	if (code === "unavailable" || code === "canceled") return lowerFirst(message.replace(/\.$/, ""));
	const said = wordsOfQemu(typeof context.stderr === "string" ? context.stderr : "");
	const because = said === undefined ? "" : `: ${said}`;
	if (code === "timeout") return `the test guest hung or was far too slow (${progress(letters)})${because}`;
	if (letters.includes(probeFaultLetter)) return `the test guest found a fault (${progress(letters)})${because}`;
	if (letters.length > 0) return `the test guest crashed (${progress(letters)})${because}`;
	return said === undefined ? "QEMU failed without a message" : `QEMU says: ${said}`;
}

function progress(letters: readonly string[]): string {
	const last = probeStages.findLast(({ letter }) => letters.includes(letter));
	return last === undefined ? "nothing worked" : `the last that worked: ${last.reached}`;
}

/** The line of standard error that says most: the first that speaks of an error, without the program's name. */
function wordsOfQemu(stderr: string): string | undefined {
	const lines = stderr
		.split("\n")
		.map((line) => line.replace(/^[^\s:]*qemu[^\s:]*: /, "").trim())
		.filter((line) => line !== "" && !line.startsWith("warning:") && !line.startsWith("terminating on signal"));
	const telling = lines.find((line) => /error|fail|could not|denied|no such/i.test(line)) ?? lines[0];
	return telling?.replace(/^error: /, "").slice(0, 200);
}

const lowerFirst = (text: string): string => text.slice(0, 1).toLowerCase() + text.slice(1);

const kvmDevice = "/dev/kvm";
/** Character device 10:232 (Linux: Documentation/admin-guide/devices.txt). */
const kvmDeviceNumber = 10 * 256 + 232;

/** Opens the device as QEMU would, and looks whether it is the right one: another may be bound over it. */
async function checkKvmDevice(): Promise<string | undefined> {
	try {
		const handle = await open(kvmDevice, constants.O_RDWR);
		try {
			const status = await handle.stat();
			if (status.isCharacterDevice() && status.rdev === kvmDeviceNumber) return undefined;
			return `${kvmDevice} is not the KVM device.`;
		} finally {
			await handle.close();
		}
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT")
			return `There is no ${kvmDevice}: virtualization is off in the firmware, or the kernel's KVM module is not loaded.`;
		return `${kvmDevice} cannot be opened (${code ?? "unknown error"}).`;
	}
}

/** `given`: by the configuration; null finds out. */
export async function chooseAccelerator(
	given: "kvm" | "tcg" | null,
	signal: AbortSignal,
): Promise<{ kind: "kvm" | "tcg"; reason: string }> {
	if (given !== null) return { kind: given, reason: "Set in the configuration." };
	const { accelerator, reason } = await probeAccelerator({ signal });
	return { kind: accelerator === "kvm" ? "kvm" : "tcg", reason };
}
