/**
 * What this node gets from others: images that it needs a copy of, and disks and state of VMs that move here. Everything is
 * asked for by its id; the other node decides from its own state whether this one may have it (sources.ts).
 * cluster/remote-nodes.ts implements it over the peer links.
 */
import { AppError } from "../lib/errors.ts";
import type { VolumeFormat } from "../model/storage.ts";
import type { LongOptions } from "../storage/driver.ts";
import type { VmStateFile } from "./vm-state.ts";

/**
 * `sizeBytes` is the length of the stream, which fails when what came is not what was sent. Whoever does not read it to its
 * end cancels it.
 */
export type RemoteContent<F extends string> = {
	format: F;
	sizeBytes: number;
	stream: ReadableStream<Uint8Array>;
};

/** Errors are those of the other node, or `unavailable` when it is not reached. `signal` ends the streams, too. */
export interface RemoteNodes {
	openImage(nodeId: string, imageId: string, options: LongOptions): Promise<RemoteContent<"qcow2" | "raw" | "iso">>;
	/** The other node may have to copy the disk first, which takes long: `progress` says that it lives. */
	openVolume(nodeId: string, volumeId: string, options: LongOptions): Promise<RemoteContent<VolumeFormat>>;
	/** What the disks of a VM take there now, each as one that stands alone: the state knows what they took once. */
	diskSizes(nodeId: string, vmId: string, signal: AbortSignal): Promise<DiskSize[]>;
	readVmState(nodeId: string, vmId: string, signal: AbortSignal): Promise<VmStateFile[]>;
}

/** `mark`: another one whenever the disk was written to since. Nodes of before do not say it. */
export type DiskSize = { volumeId: string; bytes: number; mark?: string };
export type TransferOptions = LongOptions;

const alone = async (): Promise<never> => {
	throw new AppError("unavailable", "This node is alone: there is no other one to get it from.");
};
export const noRemoteNodes: RemoteNodes = { openImage: alone, openVolume: alone, diskSizes: alone, readVmState: alone };
