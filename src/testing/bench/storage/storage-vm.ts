/**
 * Drivers of pools on servers beside their bare tools, inside the storage lab VM: the kernel's NFS server and iSCSI target, device mapper,
 * lvmlockd and sanlock. All is emulated, on both sides: the ratios count, not the milliseconds.
 */
import { join } from "node:path";
import { startStorageVm } from "../../lab/storage-vm/storage-vm.ts";
import type { Bench, Figures } from "../bench.ts";

const cacheDir = join(import.meta.dir, "../../../../.cache");
const limitMs = 3_000_000;

const inVm = (name: string, argument: string, what: string): Bench => ({
	...{ name, long: true, what: `${what}, emulated` },
	async run({ runs = 5 }) {
		await using vm = await startStorageVm({ cacheDir, lifetimeMs: limitMs + 60_000 });
		const command = `cd /repo && bun ./src/testing/bench/storage/inside/main.ts ${argument} ${runs}`;
		const output = await vm.shell(command, limitMs);
		return JSON.parse(output.split("\n").at(-1) ?? "") as Figures;
	},
});

export const storageVm: readonly Bench[] = [
	inVm("storage-nfs-server", "nfs", "NFS pool on a server: create, clone, snapshot, delete of 10 GB against qemu-img"),
	inVm("storage-iscsi-thick", "thick", "thick pool on a LUN, with locks: the same against lvcreate and qemu-img"),
	inVm("storage-iscsi-thin", "thin", "thin pool on a LUN: the same against lvcreate -V and -s"),
];
