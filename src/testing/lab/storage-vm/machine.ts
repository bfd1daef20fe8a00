/** How QEMU is started for the storage lab VM, and the snapshot of a booted one that machines start from. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../../lib/errors.ts";
import { run } from "../../../lib/run.ts";
import { cachedFolder } from "../cached-folder.ts";
import { type QemuProcess, startQemu } from "../qemu-process.ts";
import { waitUntil } from "../wait-until.ts";
import type { StorageVmImage } from "./image.ts";
import { testedDiskBytes } from "./tested-disk.ts";

export type Hardware = { memoryMib: number; cpus: number };

const bootLimitMs = 300_000;
const migrateLimitMs = 60_000;
const kernelLine = "console=ttyS0 quiet loglevel=4 panic=1 mitigations=off nokaslr no_timer_check net.ifnames=0";

/** The folder with `memory` and `state`; in the cache. */
export async function bootedSnapshot(image: StorageVmImage, hardware: Hardware): Promise<string> {
	const { stdout: version } = await run("qemu-system-x86_64", ["--version"], { timeoutMs: 10_000 });
	const source = await Bun.file(import.meta.path).bytes();
	const inputs = [image.key, version, JSON.stringify(hardware), source];
	return cachedFolder(image.cacheDir, "booted", inputs, (out) => boot(image, hardware, out));
}

async function boot(image: StorageVmImage, hardware: Hardware, out: string): Promise<void> {
	const nothing = (size: number) => `driver=null-co,read-zeroes=on,size=${size}`;
	await using qemu = await startQemu({
		...hardware,
		lifetimeMs: bootLimitMs + migrateLimitMs,
		extraArgs: machineArguments(image, {
			...{ hardware, memoryPath: join(out, "memory"), shared: true },
			testedDisk: nothing(testedDiskBytes),
			dataDisk: nothing((await stat(image.emptyDiskPath)).size),
			...{ command: "null,id=command", network: noHub },
		}),
	});
	const [said] = await qemu.serial.waitFor(/STORAGE-VM (waits|failed.*)|Kernel panic.*/, bootLimitMs);
	if (said !== "STORAGE-VM waits")
		throw new AppError("internal", `The storage lab VM does not boot: ${said}\n${qemu.serial.text.slice(-3000)}`);
	await qemu.qmp.command("stop");
	await leaveOutSharedMemory(qemu);
	await qemu.qmp.command("migrate", { uri: `exec:cat > ${join(out, "state")}` });
	await migrated(qemu);
}

/** Has no state, so a machine on a hub starts from it too. */
export const noHub = "hubport,id=hub,hubid=0";

/** The same devices in the same order in every machine: a snapshot fits nothing else. */
export function machineArguments(
	image: StorageVmImage,
	machine: {
		hardware: Hardware;
		memoryPath: string;
		shared: boolean;
		/** Of -blockdev, without the name. */
		testedDisk: string;
		dataDisk: string;
		/** Of -chardev. */
		command: string;
		/** Of -netdev. */
		network: string;
	},
): string[] {
	const { memoryMib } = machine.hardware;
	const share = machine.shared ? "on" : "off";
	const readOnly = (path: string) => `driver=file,read-only=on,filename=${path}`;
	const disks = [
		["root", readOnly(image.rootDiskPath)],
		["tools", readOnly(image.toolsDiskPath)],
		["tested", machine.testedDisk],
		["data", machine.dataDisk],
	].flatMap(([name, what]) => ["-blockdev", `node-name=${name},${what}`, "-device", `virtio-blk-pci,drive=${name}`]);
	return [
		...["-object", `memory-backend-file,id=memory,size=${memoryMib}M,mem-path=${machine.memoryPath},share=${share}`],
		// Emulating newer instructions takes longer.
		...["-machine", "memory-backend=memory", "-cpu", "Nehalem", "-no-reboot", "-device", "virtio-rng-pci"],
		// A machine that goes on from the snapshot is told that others may have, too, and draws other randomness.
		...["-device", "vmgenid,guid=auto"],
		...["-kernel", image.kernelPath, "-initrd", image.initramfsPath, "-append", kernelLine],
		...disks,
		...["-device", "virtio-scsi-pci,id=scsi"],
		...["-netdev", machine.network, "-device", "virtio-net-pci,netdev=hub,romfile="],
		...["-chardev", machine.command, "-device", "virtio-serial-pci"],
		...["-device", "virtserialport,chardev=command,name=command"],
	];
}

/** The memory is in its file already: only the rest is written, and read. */
export async function leaveOutSharedMemory(qemu: QemuProcess): Promise<void> {
	const capabilities = [{ capability: "x-ignore-shared", state: true }];
	await qemu.qmp.command("migrate-set-capabilities", { capabilities });
}

export async function migrated(qemu: QemuProcess): Promise<void> {
	await waitUntil("the state of the storage lab VM", migrateLimitMs, async () => {
		const { status } = (await qemu.qmp.command("query-migrate")) as { status?: string };
		if (status === "failed")
			throw new AppError("internal", "QEMU cannot save or load the state of the storage lab VM.");
		return status === "completed";
	});
}
