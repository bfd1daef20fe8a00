/** Between files of this node and images of RBD, by `qemu-img`, with the format given. */
import { AppError, isAppError } from "../../lib/errors.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { LongOptions } from "../driver.ts";
import { qemuImg } from "../qemu-img.ts";
import { cephError } from "./ceph-error.ts";
import type { CephRunner } from "./runner.ts";

const limitMs = 24 * 3600_000;
type DiskFile = { path: string; format: VolumeFormat };

/** Into an image that was just made, so what is zero in the file is not written. */
export async function copyIn(runner: CephRunner, from: DiskFile, to: string, options: LongOptions): Promise<void> {
	await runner.step("qemu-img convert");
	const target = ["-n", "--target-is-zero", "--target-image-opts", "-W", "-m", "8"];
	const args = [...target, "-f", from.format, "--", from.path, runner.qemuOptions(to)];
	await runner.writing(options, (how) => convert(args, how));
}

/** A new file that stands alone. */
export async function copyOut(runner: CephRunner, from: string, to: DiskFile, options: LongOptions): Promise<void> {
	await runner.step("qemu-img convert");
	runner.requireOpen();
	await convert(["--image-opts", "-O", to.format, "--", runner.qemuOptions(from), to.path], options);
}

async function convert(args: string[], { signal, progress }: LongOptions): Promise<void> {
	try {
		await qemuImg(["convert", "-p", ...args], {
			timeoutMs: limitMs,
			...(signal ? { signal } : {}),
			onStdoutLine(line) {
				const match = /\((\d+(?:\.\d+)?)\/100%\)/.exec(line);
				if (match) progress?.(Math.min(1, Number(match[1]) / 100));
			},
		});
	} catch (error) {
		const said = isAppError(error) && typeof error.context.stderr === "string" ? error.context.stderr : "";
		if (isAppError(error) && error.code !== "canceled" && /timed out|error connecting|Permission denied/.test(said))
			throw cephError(new AppError("internal", error.message, { context: error.context, cause: error }));
		throw error;
	}
}
