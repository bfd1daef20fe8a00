/**
 * Where trials of pools, and questions to servers, have what they need for a moment: in the run folder, under names that say so, so that what one
 * has left that was killed is found (left-trials.ts). Each has a name of its own.
 */
import { join } from "node:path";
import { isUuid } from "../lib/ids.ts";
import { type Random, randomHex } from "../lib/random.ts";

const suffixBytes = 8;

/** Of an NFS pool, in its folder: where it is mounted aside. */
export const probeMountName = (random: Random): string => `probe-${randomHex(random, suffixBytes)}`;
export const isProbeMountName = (name: string): boolean => /^probe-[0-9a-f]+$/.test(name);

/** Where a server's exports are looked through. */
export const discoveryMount = (runFolder: string, random: Random): string =>
	join(discoveryFolder(runFolder, random), discoveryMountName);
export const discoveryMountName = "root";

/** Configuration and keyring of Ceph's programs. */
export const discoveryFolder = (runFolder: string, random: Random): string =>
	join(runFolder, `discover-${randomHex(random, suffixBytes)}`);
export const probeFolder = (runFolder: string, poolId: string, random: Random): string =>
	join(runFolder, `${poolId}-probe-${randomHex(random, suffixBytes)}`);
/** Of either. */
export const isTrialFolderName = (name: string): boolean =>
	/^discover-[0-9a-f]+$/.test(name) || (isUuid(name.slice(0, 36)) && /^-probe(-[0-9a-f]+)?$/.test(name.slice(36)));
