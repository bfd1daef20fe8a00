import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { AppError } from "../lib/errors.ts";
import type { RunOptions, RunResult } from "../lib/run.ts";
import { probeAccelerator } from "./accelerator-probe.ts";
import { buildProbeGuest, probeExitCodes, probeStages } from "./probe-guest.ts";

type Outcome = { says?: string; fails?: AppError };
const everything = probeStages.map(({ letter }) => letter).join("");
const succeeds: Outcome = { says: everything };

/** Plays QEMU: one outcome for each "accelerator cpuModel"; what is not listed must not be run. */
function qemuThat(outcomes: Record<string, Outcome>) {
	const runs: string[] = [];
	const roms: string[] = [];
	const runProgram = async (_: string, args: readonly string[], options: RunOptions): Promise<RunResult> => {
		const after = (flag: string) => args[args.indexOf(flag) + 1] ?? "";
		const what = `${after("-accel")} ${after("-cpu")}`;
		runs.push(what);
		roms.push(after("-bios"));
		expect(existsSync(after("-bios"))).toBe(true);
		const outcome = outcomes[what];
		if (!outcome) throw new Error(`${what} was not expected`);
		for (const letter of outcome.says ?? "") options.onStdoutLine?.(letter);
		if (outcome.fails) throw outcome.fails;
		return { exitCode: probeExitCodes.success, stdout: "", stderr: "" };
	};
	return { runProgram, runs, roms, checkDevice: async () => undefined };
}

const timeout = (stderr = "") => new AppError("timeout", "too long", { context: { stderr } });
const failed = (stderr: string) => new AppError("internal", "failed", { context: { stderr } });
const msrFailure = failed(
	"qemu-system-x86_64: warning: something\nqemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\nqemu: assertion\n",
);

describe("the accelerator", () => {
	test("is KVM with the host's CPU when the guest runs, and nothing else is tried", async () => {
		const qemu = qemuThat({ "kvm host": succeeds });
		expect(await probeAccelerator(qemu)).toMatchObject({ accelerator: "kvm", cpuModelHost: true });
		expect(qemu.runs).toEqual(["kvm host"]);
		expect(existsSync(qemu.roms[0] ?? "")).toBe(false);
	});

	test("is KVM with a plain CPU when only that runs, and says why", async () => {
		const qemu = qemuThat({ "kvm host": { fails: msrFailure }, "kvm qemu64": succeeds });
		const result = await probeAccelerator(qemu);
		expect(result).toMatchObject({ accelerator: "kvm", cpuModelHost: false });
		expect(result.reason).toContain("failed to set MSR 0x10a to 0x69");
	});

	test("is TCG when KVM hangs, and says how far the guest came", async () => {
		const hangs = { says: "RPLC", fails: timeout("KVM internal error. Suberror: 1\nextra data\n") };
		const qemu = qemuThat({ "kvm host": { fails: msrFailure }, "kvm qemu64": hangs, "tcg max": succeeds });
		const result = await probeAccelerator(qemu);
		expect(result).toMatchObject({ accelerator: "tcg", cpuModelHost: false });
		expect(result.reason).toContain("KVM does not run guests here");
		expect(result.reason).toContain("the last that worked: CPUID");
		expect(result.reason).toContain("KVM internal error. Suberror: 1");
		expect(result.reason).toContain("emulated");
	});

	test("is TCG without trying KVM when its device cannot be opened", async () => {
		const qemu = { ...qemuThat({ "tcg max": succeeds }), checkDevice: async () => "There is no /dev/kvm." };
		const result = await probeAccelerator(qemu);
		expect(result.accelerator).toBe("tcg");
		expect(result.reason).toStartWith("There is no /dev/kvm. Guests are emulated");
		expect(qemu.runs).toEqual(["tcg max"]);
	});

	test("is unknown when even the emulated guest fails", async () => {
		const missing = new AppError("unavailable", "The program qemu-system-x86_64 is not installed on this node.");
		const all = { "kvm host": { fails: missing }, "kvm qemu64": { fails: missing }, "tcg max": { fails: missing } };
		const result = await probeAccelerator(qemuThat(all));
		expect(result.accelerator).toBe("unknown");
		expect(result.reason).toContain("not installed");
	});

	test("is unknown, not an exception, when something unforeseen fails", async () => {
		const qemu = { ...qemuThat({}), checkDevice: () => Promise.reject(new Error("surprise")) };
		expect((await probeAccelerator(qemu)).accelerator).toBe("unknown");
	});
});

describe("KVM has not run the guest", () => {
	const cases: [string, Outcome, string][] = [
		["when it says it succeeded but a stage is missing", { says: everything.slice(0, -1) }, "done everything"],
		["when it says nothing at all", { says: "" }, "nothing worked"],
		["when the guest finds a fault", { says: "RPLX", fails: failed("") }, "found a fault"],
		["when the guest resets", { says: "RP", fails: failed("") }, "crashed (the last that worked: protected mode)"],
		["when QEMU fails without a word", { fails: failed("") }, "without a message"],
	];
	for (const [when, outcome, reason] of cases)
		test(when, async () => {
			const qemu = qemuThat({ "kvm host": outcome, "kvm qemu64": outcome, "tcg max": succeeds });
			const result = await probeAccelerator(qemu);
			expect(result.accelerator).toBe("tcg");
			expect(result.reason).toContain(reason);
		});
});

test("the guest is a ROM with a jump at the reset vector, and its code is small", () => {
	const rom = buildProbeGuest();
	expect(rom.length).toBe(65536);
	expect(rom[0xfff0]).toBe(0xe9);
	const distance = Buffer.from(rom).readInt16LE(0xfff1);
	expect((0xfff3 + distance) & 0xffff).toBe(0);
	expect(rom.subarray(0, 0x1000).findLastIndex((byte) => byte !== 0)).toBeLessThan(1024);
});
