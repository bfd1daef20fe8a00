/**
 * What a guest gets from its disk with the domain that we make, against a QEMU that is started by hand for the same files and tuned
 * for them: in turns, each with a guest of its own, by fio in the guest. Emulated processors on both sides.
 */
import { readdirSync, readFileSync } from "node:fs";
import { present } from "../../../lib/assert.ts";
import { MiB } from "../../../lib/units.ts";
import type { Vm } from "../../../model/vm.ts";
import { type QemuProcess, startQemu } from "../../lab/qemu-process.ts";
import { GuestTerminal } from "../../system/guest-terminal.ts";
import { cacheDir, type LabSystem, startLabSystem } from "../../system/lab-system.ts";
import { type Bench, type Figures, median, round } from "../bench.ts";
import { buildFioDisk, type FioJob, fioCommand, fioJobs, mountFio, operationsOf } from "./fio-disk.ts";

const jobs = Object.keys(fioJobs) as FioJob[];
const seconds = 5;
const limitMs = 120_000;
const memoryMib = 512;
const dataBytes = 1024 * MiB;
const [fioDevice, dataDevice] = ["/dev/vdb", "/dev/vdc"];

type Run = Record<FioJob, number>;

export const guestIo: Bench = {
	name: "guest-io",
	what: "fio in a guest on our domain, qcow2 and raw in a local pool, against a hand-tuned qemu-system on the same files",
	async run({ runs = 3 }) {
		const fioDisk = await buildFioDisk(cacheDir);
		await using system = await startLabSystem({ name: "bench-io" });
		const fioImage = await importRaw(system, fioDisk);
		const figures: Figures = {};
		for (const format of ["qcow2", "raw"] as const) {
			const vm = await makeVm(system, fioImage, format);
			const files = await filesOf(system, vm);
			const [ours, theirs]: [Run[], Run[]] = [[], []];
			for (let number = 0; number <= runs; number++) {
				const [one, other] = [await runOurs(system, vm), await runByHand(files, format, processorOf.get(vm.id))];
				// The first round gives the disk its blocks.
				if (number > 0) ours.push(one) && theirs.push(other);
			}
			Object.assign(figures, figuresOf(format, ours, theirs));
		}
		return figures;
	},
};

function figuresOf(format: string, ours: readonly Run[], theirs: readonly Run[]): Figures {
	const prefix = `guestIo${format[0]?.toUpperCase()}${format.slice(1)}`;
	const figures: Figures = {};
	for (const job of jobs) {
		const [mine, tuned] = [median(ours.map((one) => one[job])), median(theirs.map((one) => one[job]))];
		const name = `${prefix}${job[0]?.toUpperCase()}${job.slice(1)}`;
		figures[`${name}PerSecond`] = round(mine, 0);
		figures[`${name}TunedPerSecond`] = round(tuned, 0);
		figures[`${name}Ratio`] = round(mine / tuned, 3);
	}
	return figures;
}

async function importRaw(system: LabSystem, path: string): Promise<string> {
	const answer = await system.api.call("imageCreate", {
		body: { name: "fio", format: "raw", source: { kind: "path", path } },
	});
	await system.done(answer);
	return answer.body.id;
}

async function makeVm(system: LabSystem, fioImage: string, format: "qcow2" | "raw"): Promise<Vm> {
	const { id: guestImage } = await system.image();
	const data = await system.api.call("volumeCreate", {
		body: { name: `data-${format}`, format, sizeBytes: dataBytes, source: { kind: "empty" } },
	});
	await system.done(data);
	const disks = [{ imageId: guestImage }, { imageId: fioImage }, { volumeId: data.body.id }];
	const memory = { memoryBytes: memoryMib * MiB, maxMemoryBytes: memoryMib * MiB, vcpus: 1, maxVcpus: 1 };
	return system.createVm({ name: `io-${format}`, disks, nics: [], start: false, ...memory });
}

/** The path of each disk, in the order of its letters. */
async function filesOf(system: LabSystem, vm: Vm): Promise<string[]> {
	await start(system, vm);
	const xml = await (await system.api.call("vmDomainXmlGet", { path: { id: vm.id } })).body.text();
	await stop(system, vm);
	return [...xml.matchAll(/<disk type='file' device='disk'>[\s\S]*?<source file='([^']+)'/g)].map(
		([, path]) => path ?? "",
	);
}

async function start(system: LabSystem, vm: Vm): Promise<void> {
	await system.done(await system.api.call("vmStart", { path: { id: vm.id } }));
	processorOf.set(vm.id, processorOfProcess(vm.id));
}

async function stop(system: LabSystem, vm: Vm): Promise<void> {
	await system.done(await system.api.call("vmStop", { path: { id: vm.id } }));
}

/** What libvirt gave QEMU as -cpu, so that both guests have the same processor. */
const processorOf = new Map<string, string>();
function processorOfProcess(uuid: string): string {
	for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
		let args: string[];
		try {
			args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
		} catch {
			continue;
		}
		if (args.includes("-uuid") && args.includes(uuid)) return present(args[args.indexOf("-cpu") + 1], "the processor");
	}
	throw new Error(`There is no QEMU of the domain ${uuid}.`);
}

async function runOurs(system: LabSystem, vm: Vm): Promise<Run> {
	const guest = new GuestTerminal(system, vm.id);
	const from = await guest.mark();
	await start(system, vm);
	await guest.booted(from, limitMs);
	await guest.run(mountFio(fioDevice));
	const found = {} as Run;
	for (const job of jobs) found[job] = operationsOf(await guest.run(fioCommand(job, dataDevice, seconds)), job);
	await stop(system, vm);
	return found;
}

/** As somebody would who tunes one VM: a thread of its own for IO, no cache of the host, the kernel's asynchronous IO, discard. */
async function runByHand(files: readonly string[], format: string, processor = "max"): Promise<Run> {
	const [guestDisk, fioDisk, data] = files.map((path) => `filename=${path},cache.direct=on,aio=native,discard=unmap`);
	const block = (name: string, driver: string, file: string) => [
		...["-blockdev", `driver=file,node-name=${name}-file,${file}`],
		...["-blockdev", `driver=${driver},node-name=${name},file=${name}-file,cache.direct=on,discard=unmap`],
		...["-device", `virtio-blk-pci,drive=${name},iothread=io${name === "guest" ? ",bootindex=1" : ""}`],
	];
	await using qemu = await startQemu({
		...{ cpus: 1, memoryMib, lifetimeMs: 600_000 },
		extraArgs: [
			...["-cpu", processor, "-object", "iothread,id=io"],
			...block("guest", "qcow2", present(guestDisk, "the guest's disk")),
			...block("fio", formatOf(present(files[1], "the disk with fio")), present(fioDisk, "the disk with fio")),
			...block("data", format, present(data, "the disk for data")),
		],
	});
	await qemu.serial.waitFor(/READY[\s\S]*:\S*# /, limitMs);
	await typed(qemu, mountFio(fioDevice));
	const found = {} as Run;
	for (const job of jobs) found[job] = operationsOf(await typed(qemu, fioCommand(job, dataDevice, seconds)), job);
	return found;
}

const formatOf = (path: string): string => {
	const file = readFileSync(path).subarray(0, 4);
	return file.toString("latin1") === "QFI\xfb" ? "qcow2" : "raw";
};

let commands = 0;
async function typed(qemu: QemuProcess, command: string): Promise<string> {
	const number = ++commands;
	const from = qemu.serial.mark();
	qemu.typeSerial(`echo be""gin-${number}; ${command}; echo e""nd-${number}\n`);
	const pattern = new RegExp(`begin-${number}\\r?\\n([\\s\\S]*?)end-${number}\\r?\\n`);
	const [, output = ""] = await qemu.serial.waitFor(pattern, limitMs, from);
	return output.replaceAll("\r", "").trim();
}
