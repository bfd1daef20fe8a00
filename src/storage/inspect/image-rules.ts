/** What an image file must be, judged from its bytes alone: the same rules for every driver and the fake. Pure. */
import { AppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import { maxDiskBytes } from "../../model/storage.ts";
import { sectorBytes } from "../names.ts";
import { isIso9660, lookAlike } from "./file-magic.ts";
import { parseQcow2Header, requireStandAlone } from "./qcow2-header.ts";

export type ImageFileFormat = "qcow2" | "raw" | "iso";

export type ImageBytes = {
	fileSizeBytes: number;
	/** The first `qcow2HeaderBytes`, or the whole file when it is shorter. */
	head: Uint8Array;
	/** The last `trailerBytes`. */
	tail: Uint8Array;
};

/** Size of the disk that the image holds (of the file, for iso). Fails with `invalid`, saying why. */
export function checkImageBytes(format: ImageFileFormat, file: ImageBytes, maxVirtualBytes = maxDiskBytes): number {
	if (file.fileSizeBytes === 0) throw new AppError("invalid", "The file is empty.");
	const virtualSizeBytes = virtualSize(format, file);
	if (virtualSizeBytes === 0) throw new AppError("invalid", "The image holds a disk of no size.");
	if (virtualSizeBytes > maxVirtualBytes)
		throw new AppError(
			"invalid",
			`The image holds a disk of ${formatBytes(virtualSizeBytes)}; the limit is ${formatBytes(maxVirtualBytes)}.`,
		);
	return virtualSizeBytes;
}

function virtualSize(format: ImageFileFormat, file: ImageBytes): number {
	if (format === "qcow2") {
		refuseLookAlike(file, "qcow2");
		const header = parseQcow2Header(file.head);
		requireStandAlone(header);
		return header.virtualSizeBytes;
	}
	refuseLookAlike(file, format);
	if (format === "iso") {
		if (!isIso9660(file.head)) throw new AppError("invalid", "The file is not an ISO 9660 image.");
		return file.fileSizeBytes;
	}
	if (file.fileSizeBytes % sectorBytes !== 0)
		throw new AppError(
			"invalid",
			`The file is not a raw disk: its length is not a multiple of ${sectorBytes} bytes. It may be cut short.`,
		);
	return file.fileSizeBytes;
}

function refuseLookAlike(file: ImageBytes, said: ImageFileFormat): void {
	const other = lookAlike(file.head, file.tail);
	if (other === null || other.name === said) return;
	if (other.compressed)
		throw new AppError("invalid", `The file is compressed (${other.name}), not ${said}. Decompress it first.`);
	throw new AppError("invalid", `The file looks like ${other.name}, not ${said}.`);
}
