/** What a fake pool stores. */
import { GiB } from "../lib/units.ts";
import type { VolumeFormat } from "../model/storage.ts";
import type { ImageInfo, VolumeInfo } from "./driver.ts";
import type { SparseBytes } from "./fake-content.ts";
import type { FakeUpload } from "./fake-upload.ts";

export type FakeVolume = {
	format: VolumeFormat;
	content: SparseBytes;
	backing: VolumeInfo["backing"];
	path: string;
	/** Taken over; the path is one of `hostFiles`. */
	adopted: boolean;
};
export type FakeImage = ImageInfo & { sha256: string; content: SparseBytes };

/** What is stored, apart from the driver: two drivers on one world are one pool before and after a restart. */
export class FakePool {
	readonly volumes = new Map<string, FakeVolume>();
	readonly images = new Map<string, FakeImage>();
	readonly uploads = new Map<string, FakeUpload>();
	/** Files of the node, for importFile and adoptVolume. */
	readonly hostFiles = new Map<string, Uint8Array>();
	totalBytes = 100 * GiB;
}

export const imageInfo = ({ id, format, fileSizeBytes, virtualSizeBytes }: FakeImage): ImageInfo => ({
	...{ id, format, fileSizeBytes, virtualSizeBytes },
});
