/**
 * The suite of all drivers on a real iSCSI target in the storage lab VM, in parts by the first letter of a test's name: emulated, all of it
 * takes half an hour with nothing else on the machine, and each part can be done again by itself. On the kernel's NFS server it is in parts
 * by the version of the protocol.
 */
import { join } from "node:path";
import type { InnerTestOptions } from "./inner-tests.ts";
import type { StorageVmOptions } from "./storage-vm.ts";

export const conformanceFiles = ["src/storage/iscsi-lvm/conformance.vm.test.ts"];

const cacheDir = join(import.meta.dir, "../../../../.cache");
const letters = { 1: "[a-c]", 2: "[d-r]", 3: "[^a-r]" } as const;

export const conformancePart = (
	layout: "thick" | "thin",
	part: keyof typeof letters,
): StorageVmOptions & InnerTestOptions => ({
	...{ cacheDir, limitMs: 2_400_000, eachLimitMs: 300_000 },
	named: new RegExp(`, ${layout} ${letters[part]}`),
	environment: { LAB_LAYOUT: layout },
});

export const nfsConformance = (
	version: "4.2" | "3",
	root: "squashed" | "root",
): [readonly string[], StorageVmOptions & InnerTestOptions] => [
	["src/storage/nfs/conformance.vm.test.ts"],
	{ cacheDir, limitMs: 2_400_000, environment: { LAB_NFS_VERSION: version, LAB_NFS_ROOT: root } },
];
