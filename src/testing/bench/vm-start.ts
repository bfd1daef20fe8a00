/**
 * From the request to a VM that runs, through the API, against virsh on the same libvirtd with the same domain: created
 * (`virsh define` and `virsh start`), and started again (`virsh start`). The disk is there already for both. Beside it:
 * created with a disk that has to be made first, as a copy-on-write clone of an image.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import type { Vm } from "../../model/vm.ts";
import { buildGuestImage } from "../lab/guest-image.ts";
import { type Bench, type Figures, median, round, timed } from "./bench.ts";
import { type BenchNode, withBenchNode } from "./bench-node.ts";

const rounds = 9;
const cacheDir = resolve(import.meta.dir, "../../../.cache");

type Times = Record<"create" | "createWithDisk" | "start" | "virshDefineAndStart" | "virshStart", number[]>;

export const vmStart: Bench = {
	name: "vm-start",
	what: "VM create → running and start → running, against virsh define and virsh start of the same domain",
	async run() {
		const guest = await buildGuestImage({ cacheDir });
		return withBenchNode({ demoImage: guest.qcow2Path }, async (node) => {
			const folder = mkdtempSync("/tmp/lqx-bench-xml-");
			try {
				const imageId = await importImage(node, guest.qcow2Path);
				const times: Times = { create: [], createWithDisk: [], start: [], virshDefineAndStart: [], virshStart: [] };
				for (let i = 0; i <= rounds; i++) {
					const one = await oneRound(node, imageId, join(folder, `${i}.xml`), i);
					// The first round warms up.
					if (i > 0) for (const name of Object.keys(times) as (keyof Times)[]) times[name].push(one[name]);
				}
				return figuresOf(times);
			} finally {
				rmSync(folder, { recursive: true, force: true });
			}
		});
	},
};

function figuresOf(times: Times): Figures {
	const ms = (name: keyof Times) => median(times[name]);
	return {
		vmCreateToRunningMedianMs: round(ms("create"), 0),
		virshDefineAndStartMedianMs: round(ms("virshDefineAndStart"), 0),
		vmCreateToRunningRatio: round(ms("create") / ms("virshDefineAndStart")),
		vmStartToRunningMedianMs: round(ms("start"), 0),
		virshStartMedianMs: round(ms("virshStart"), 0),
		vmStartToRunningRatio: round(ms("start") / ms("virshStart")),
		vmCreateWithDiskFromImageToRunningMedianMs: round(ms("createWithDisk"), 0),
		vmCreateWithDiskFromImageToRunningRatio: round(ms("createWithDisk") / ms("virshDefineAndStart")),
	};
}

async function importImage({ api, finished }: BenchNode, path: string): Promise<string> {
	const created = await api.call("imageCreate", {
		body: { name: "guest", format: "qcow2", source: { kind: "path", path } },
	});
	await finished(created.taskLocation);
	return created.body.id;
}

async function oneRound(node: BenchNode, imageId: string, xmlPath: string, number: number) {
	const { api, finished } = node;
	const volume = await api.call("volumeCreate", {
		body: { name: `prepared-${number}`, source: { kind: "image", imageId, fullCopy: false } },
	});
	await finished(volume.taskLocation);
	const { vm, ms: create } = await createVm(node, `prepared-${number}`, { volumeId: volume.body.id });
	await stop(node, vm.id);
	const xml = await domainXml(node, vm.id);
	writeFileSync(xmlPath, xml);
	const start = await timed(async () => {
		const { body: task } = await api.call("vmStart", { path: { id: vm.id } });
		await finished(`/v1/tasks/${task.id}`);
	});
	await runs(node, vm.id);
	await stop(node, vm.id);
	await deleteVm(node, vm.id, false);
	const virsh = await virshRound(node, vm, xmlPath, xml);
	const withDisk = await createVm(node, `cloned-${number}`, { imageId });
	await deleteVm(node, withDisk.vm.id, true);
	return { create, start, ...virsh, createWithDisk: withDisk.ms };
}

/** Until the task that makes and starts it has ended, as a client sees it. */
async function createVm(
	node: BenchNode,
	name: string,
	disk: { volumeId: string } | { imageId: string },
): Promise<{ vm: Vm; ms: number }> {
	const started = performance.now();
	const { body: vm, taskLocation } = await node.api.call("vmCreate", {
		body: { name, vcpus: 1, maxVcpus: 1, memoryBytes: 256 * MiB, maxMemoryBytes: 256 * MiB, disks: [disk] },
	});
	await node.finished(taskLocation);
	const ms = performance.now() - started;
	await runs(node, vm.id);
	return { vm, ms };
}

async function runs({ api }: BenchNode, id: string): Promise<void> {
	const { body: vm } = await api.call("vmGet", { path: { id } });
	if (vm.status.powerState !== "running") throw new Error(`The VM is ${vm.status.powerState} after its start.`);
}

async function stop({ api, finished }: BenchNode, id: string): Promise<void> {
	const { body: task } = await api.call("vmStop", { path: { id } });
	await finished(`/v1/tasks/${task.id}`);
}

async function deleteVm({ api, finished }: BenchNode, id: string, deleteVolumes: boolean): Promise<void> {
	const { body: task } = await api.call("vmDelete", { path: { id }, query: { deleteVolumes } });
	await finished(`/v1/tasks/${task.id}`);
}

async function domainXml({ api }: BenchNode, id: string): Promise<string> {
	const { body } = await api.call("vmDomainXmlGet", { path: { id } });
	return body.text();
}

/** The same domain by virsh, once the VM is gone and only its disk is left. */
async function virshRound({ libvirtd, daemon }: BenchNode, vm: Vm, xmlPath: string, xml: string) {
	// The folders that its definition names were removed with the VM.
	const vmFolder = join(daemon.dataDir, "vms", vm.id);
	for (const [path] of xml.matchAll(new RegExp(`${vmFolder}/[^'"<]+`, "g")))
		mkdirSync(dirname(path), { recursive: true });
	const virsh = (...args: string[]) => run("virsh", ["-q", "-c", libvirtd.uri, ...args], { timeoutMs: 60_000 });
	const virshDefineAndStart = await timed(async () => {
		await virsh("define", xmlPath);
		await virsh("start", vm.id);
	});
	await virsh("destroy", vm.id);
	const virshStart = await timed(() => virsh("start", vm.id));
	await virsh("destroy", vm.id);
	await virsh("undefine", vm.id, ...(xml.includes("<nvram") ? ["--nvram"] : []));
	rmSync(vmFolder, { recursive: true, force: true });
	return { virshDefineAndStart, virshStart };
}
