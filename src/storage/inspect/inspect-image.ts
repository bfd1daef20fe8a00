/**
 * Decides whether a received file may become an image. Gates, in order: the bytes themselves (image-rules.ts), then
 * QEMU's own reading of them in a `qemu-img` with limits on memory, processor time and output, with the format given.
 * The file must not change meanwhile: the caller holds it.
 */
import { type FileHandle, open } from "node:fs/promises";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError, isAppError } from "../../lib/errors.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { maxDiskBytes } from "../../model/storage.ts";
import type { LongOptions } from "../driver.ts";
import { withFileErrors } from "../file-errors.ts";
import { sectorBytes } from "../names.ts";
import { qemuImg, qemuImgMessage } from "../qemu-img.ts";
import { trailerBytes } from "./file-magic.ts";
import { checkImageBytes, type ImageBytes, type ImageFileFormat } from "./image-rules.ts";
import { qcow2HeaderBytes } from "./qcow2-header.ts";

export type InspectLimits = {
	/** Largest virtual disk that is accepted. */
	maxVirtualBytes: number;
	/** Limits of `qemu-img info`: 1 GiB and 30 s are OpenStack's practice. */
	addressSpaceBytes: number;
	cpuSeconds: number;
	timeoutMs: number;
	/** `qemu-img check` reads all tables: it gets more time. */
	checkCpuSeconds: number;
	checkTimeoutMs: number;
};
export const inspectLimits: InspectLimits = {
	maxVirtualBytes: maxDiskBytes,
	addressSpaceBytes: GiB,
	cpuSeconds: 30,
	timeoutMs: 60_000,
	checkCpuSeconds: 300,
	checkTimeoutMs: 15 * 60_000,
};

/**
 * Size of the disk in the image. Fails with `invalid` (the message says why), `canceled`, `storage`, `unavailable`. `bytes`: what
 * somebody else has read of a file that this process must not open.
 */
export async function inspectImage(
	path: string,
	format: ImageFileFormat,
	options: LongOptions = {},
	limits: InspectLimits = inspectLimits,
	bytes: ImageBytes | null = null,
): Promise<{ virtualSizeBytes: number }> {
	const file = bytes ?? (await readImageBytes(path));
	const expected = checkImageBytes(format, file, limits.maxVirtualBytes);
	await requireQemuAgrees(path, format === "iso" ? "raw" : format, expected, options, limits);
	if (format === "qcow2") await checkTables(path, options, limits);
	return { virtualSizeBytes: expected };
}

/** The second gate alone: QEMU finds this format, this size, and no other file. */
export async function requireQemuAgrees(
	path: string,
	format: "qcow2" | "raw",
	virtualSizeBytes: number,
	options: LongOptions = {},
	limits: InspectLimits = inspectLimits,
): Promise<void> {
	const info = await limitedInfo(path, format, options, limits);
	requireSame(info, format, Math.ceil(virtualSizeBytes / sectorBytes) * sectorBytes);
}

export async function readImageBytes(path: string): Promise<ImageBytes> {
	return withFileErrors("reading the file", async () => {
		await using file = await open(path, "r");
		return await imageBytesOf(file);
	});
}

export async function imageBytesOf(file: Readable & Pick<FileHandle, "stat">): Promise<ImageBytes> {
	const { size } = await file.stat();
	const head = new Uint8Array(Math.min(size, qcow2HeaderBytes));
	const tail = new Uint8Array(Math.min(size, trailerBytes));
	const headRead = await readFully(file, head, 0);
	const tailRead = await readFully(file, tail, size - tail.length);
	return { fileSizeBytes: size, head: head.subarray(0, headRead), tail: tail.subarray(0, tailRead) };
}

export type Readable = { read(b: Uint8Array, o: number, l: number, p: number): Promise<{ bytesRead: number }> };

/** Reads until `into` is full or the file ends; the number of bytes read. */
export async function readFully(file: Readable, into: Uint8Array, position: number): Promise<number> {
	let done = 0;
	while (done < into.length) {
		const { bytesRead } = await file.read(into, done, into.length - done, position + done);
		if (bytesRead === 0) break;
		done += bytesRead;
	}
	return done;
}

const QemuInfo = Type.Object({
	format: Type.String(),
	"virtual-size": Type.Integer({ minimum: 0 }),
	encrypted: Type.Optional(Type.Boolean()),
	"backing-filename": Type.Optional(Type.Unknown()),
	"full-backing-filename": Type.Optional(Type.Unknown()),
	"backing-image": Type.Optional(Type.Unknown()),
	children: Type.Optional(Type.Array(Type.Object({ name: Type.String() }))),
	"format-specific": Type.Optional(
		Type.Object({ type: Type.String(), data: Type.Optional(Type.Record(Type.String(), Type.Unknown())) }),
	),
});
type QemuInfo = Static<typeof QemuInfo>;

async function limitedInfo(
	path: string,
	format: string,
	options: LongOptions,
	limits: InspectLimits,
): Promise<QemuInfo> {
	const stdout = await untrusted(["info", "--output=json", "-f", format, "--", path], options, {
		cpuSeconds: limits.cpuSeconds,
		addressSpaceBytes: limits.addressSpaceBytes,
		timeoutMs: limits.timeoutMs,
	});
	let info: unknown;
	try {
		info = JSON.parse(stdout.stdout);
	} catch (cause) {
		throw new AppError("invalid", "The file could not be read as an image.", { cause });
	}
	if (!Value.Check(QemuInfo, info)) throw new AppError("invalid", "The file could not be read as an image.");
	return info;
}

function requireSame(info: QemuInfo, format: string, expectedBytes: number): void {
	const data = info["format-specific"]?.data ?? {};
	const refers =
		info["backing-filename"] !== undefined ||
		info["full-backing-filename"] !== undefined ||
		info["backing-image"] !== undefined ||
		data["data-file"] !== undefined ||
		data["data-file-raw"] === true ||
		(info.children ?? []).some((child) => child.name !== "file");
	if (refers) throw new AppError("invalid", "The file refers to another file; an image must stand alone.");
	if (info.encrypted === true || data.encrypt !== undefined) throw new AppError("invalid", "The file is encrypted.");
	if (data.corrupt === true) throw new AppError("invalid", "The file is marked as corrupt.");
	if (info.format !== format) throw new AppError("invalid", `The file is ${info.format}, not ${format}.`);
	const found = Math.ceil(info["virtual-size"] / sectorBytes) * sectorBytes;
	if (found !== expectedBytes) throw new AppError("invalid", "The size in the image's header is not what QEMU reads.");
}

/** Exit codes of `qemu-img check`: 0 good, 2 damaged, 3 leaked clusters (wasted space, harmless), 63 cannot be checked. */
async function checkTables(path: string, options: LongOptions, limits: InspectLimits): Promise<void> {
	const result = await untrusted(["check", "-q", "--output=json", "-f", "qcow2", "--", path], options, {
		cpuSeconds: limits.checkCpuSeconds,
		addressSpaceBytes: limits.addressSpaceBytes,
		timeoutMs: limits.checkTimeoutMs,
		okExitCodes: [0, 2, 3],
	});
	if (result.exitCode === 2)
		throw new AppError("invalid", "The file is damaged: its tables contradict each other (qemu-img check says more).");
}

async function untrusted(
	args: string[],
	options: LongOptions,
	limits: { cpuSeconds: number; addressSpaceBytes: number; timeoutMs: number; okExitCodes?: number[] },
) {
	try {
		return await qemuImg(args, {
			timeoutMs: limits.timeoutMs,
			maxOutputBytes: MiB,
			limits: { addressSpaceBytes: limits.addressSpaceBytes, cpuSeconds: limits.cpuSeconds },
			...(limits.okExitCodes ? { okExitCodes: limits.okExitCodes } : {}),
			...(options.signal ? { signal: options.signal } : {}),
		});
	} catch (error) {
		if (isAppError(error, "canceled") || isAppError(error, "unavailable")) throw error;
		const said = isAppError(error) ? qemuImgMessage(error) : "";
		const why = said || "reading it took more memory, time or output than an image may take";
		throw new AppError("invalid", `The file could not be read as an image: ${why}.`, { cause: error });
	}
}
