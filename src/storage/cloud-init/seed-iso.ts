/**
 * The NoCloud seed of a VM: an ISO image labelled "cidata" with `meta-data`, `user-data` and, if there is one,
 * `network-config`. It holds password hashes: mode 0600, libvirt gives it to QEMU's user.
 */
import { writeFileDurably } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import type { SeedDocuments } from "./documents.ts";
import { iso9660 } from "./iso9660.ts";

/** Where NoCloud looks for its seed. */
export const seedLabel = "cidata";

export function seedIso(documents: SeedDocuments): Uint8Array {
	const encoder = new TextEncoder();
	const files = [
		{ name: "meta-data", content: encoder.encode(documents.metaData) },
		{ name: "user-data", content: encoder.encode(documents.userData) },
	];
	if (documents.networkConfig !== null)
		files.push({ name: "network-config", content: encoder.encode(documents.networkConfig) });
	return iso9660(seedLabel, files);
}

/** Makes or replaces the file at once and durably; its folder exists. Fails with `no-space` or `storage`. */
export async function writeSeedIso(path: string, documents: SeedDocuments): Promise<void> {
	await withFileErrors("writing the cloud-init seed", () => writeFileDurably(path, seedIso(documents)));
}
