/** The probe on this very machine, and what it measures against: a real kernel, and the same guest under emulation. */
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAppError } from "../lib/errors.ts";
import { type RunResult, run } from "../lib/run.ts";
import { buildGuestImage, type GuestImage, guestReadyLine } from "../testing/lab/guest-image.ts";
import { startNamespace } from "../testing/lab/namespace.ts";
import { type AcceleratorProbe, probeAccelerator } from "./accelerator-probe.ts";
import { buildProbeGuest, probeExitCodes, probeStages } from "./probe-guest.ts";

const everything = probeStages.map(({ letter }) => letter).join("\n");

async function runRom(rom: Uint8Array, cpuModel: string): Promise<RunResult> {
	const directory = await mkdtemp(join(tmpdir(), "lqx-probe-"));
	try {
		const path = join(directory, "rom");
		await writeFile(path, rom);
		const quiet = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-debugcon", "stdio"];
		const exit = ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"];
		const machine = ["-machine", "q35", "-accel", "tcg", "-cpu", cpuModel, "-m", "16", "-bios", path];
		return await run("qemu-system-x86_64", [...machine, ...quiet, ...exit], {
			timeoutMs: 15_000,
			okExitCodes: [0, probeExitCodes.success, probeExitCodes.fault],
		});
	} finally {
		await rm(directory, { recursive: true, force: true });
	}
}

describe("the test guest under emulation", () => {
	for (const cpuModel of ["qemu64", "max"])
		test(`reaches its last stage on ${cpuModel}`, async () => {
			const { stdout, exitCode } = await runRom(buildProbeGuest(), cpuModel);
			expect(stdout.trim()).toBe(everything);
			expect(exitCode).toBe(probeExitCodes.success);
		});

	const damaged: [string, string, string][] = [
		["an invalid instruction", "0f 30 0f 20 c0 0d", "0f 0b 0f 20 c0 0d"], // wrmsr → ud2 before there is an IDT: reset
		["a wrong sum", "48 39 07", "48 3b 3f"], // cmp [rdi], rax → cmp rdi, [rdi]
		["an invalid instruction in 64-bit mode", "f0 48 0f c7 0f", "0f 0b 0f 0b 90"],
	];
	for (const [what, original, replacement] of damaged)
		test(`does not succeed with ${what}`, async () => {
			const rom = Buffer.from(buildProbeGuest());
			const at = rom.indexOf(Buffer.from(original.replaceAll(" ", ""), "hex"));
			expect(at).toBeGreaterThan(0);
			rom.set(Buffer.from(replacement.replaceAll(" ", ""), "hex"), at);
			const { stdout, exitCode } = await runRom(rom, "max");
			expect(exitCode).not.toBe(probeExitCodes.success);
			expect(stdout.trim()).not.toBe(everything);
		});
});

describe("this machine", () => {
	let image: GuestImage;
	let result: AcceleratorProbe;
	beforeAll(async () => {
		image = await buildGuestImage({ cacheDir: join(import.meta.dir, "../../.cache") });
		result = await probeAccelerator();
	}, 300_000);

	test("can run guests one way or the other, and the reason is a sentence", () => {
		expect(["kvm", "tcg"]).toContain(result.accelerator);
		expect(result.reason).toMatch(/^[A-Z/].{20,}\.$/);
	});

	test.skipIf(!existsSync("/dev/kvm"))(
		"a real kernel agrees with the probe about KVM (skipped where there is no /dev/kvm to disagree about)",
		async () => {
			const cpuModel = result.cpuModelHost ? "host" : "qemu64";
			expect(await kernelBootsUnderKvm(image, cpuModel)).toBe(result.accelerator === "kvm");
			if (!result.cpuModelHost) expect(await kernelBootsUnderKvm(image, "host")).toBe(false);
		},
		60_000,
	);
});

test.skipIf(!existsSync("/dev/kvm"))(
	"with /dev/null bound over the device the answer is TCG, without trying (skipped where there is no /dev/kvm)",
	async () => {
		const namespace = await startNamespace({ hostname: "probe" });
		try {
			await namespace.run("mount", ["--bind", "/dev/null", "/dev/kvm"], { timeoutMs: 5000 });
			const module = JSON.stringify(join(import.meta.dir, "accelerator-probe.ts"));
			const script = `import { probeAccelerator } from ${module}; console.log(JSON.stringify(await probeAccelerator()))`;
			const { stdout } = await namespace.run(process.execPath, ["-e", script], { timeoutMs: 15_000 });
			expect(JSON.parse(stdout)).toEqual({
				accelerator: "tcg",
				reason: "/dev/kvm is not the KVM device. Guests are emulated, which is many times slower.",
				cpuModelHost: false,
			});
		} finally {
			await namespace.stop();
		}
	},
);

/** Whether the lab's guest gets to its READY line within 12 s, five times what real hardware needs. */
async function kernelBootsUnderKvm(image: GuestImage, cpuModel: string): Promise<boolean> {
	const ready = new AbortController();
	const cdrom = `driver=raw,node-name=cd,read-only=on,file.driver=file,file.filename=${image.isoPath}`;
	const device = ["-blockdev", cdrom, "-device", "ide-cd,drive=cd"];
	const machine = [
		"-machine",
		"q35",
		"-accel",
		"kvm",
		"-cpu",
		cpuModel,
		"-m",
		"256",
		"-nodefaults",
		"-display",
		"none",
	];
	const failure: unknown = await run("qemu-system-x86_64", [...machine, ...device, "-serial", "stdio"], {
		timeoutMs: 12_000,
		signal: ready.signal,
		cwd: tmpdir(),
		onStdoutLine: (line) => {
			if (line.includes(guestReadyLine)) ready.abort();
		},
	}).then(
		() => Promise.reject(new Error("the guest powered itself off")),
		(error: unknown) => error,
	);
	if (isAppError(failure, "canceled")) return true;
	if (isAppError(failure, "timeout") || isAppError(failure, "internal")) return false;
	throw failure;
}
