/**
 * Holds what is on the host against what the API says: files of the pool, VM folders, libvirt's domains. Used at the
 * end of tests that delete, crash or fill disks. An empty list means that there is nothing left over and nothing missing.
 */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { isUuid } from "../../lib/ids.ts";
import type { Volume } from "../../model/storage.ts";
import { localPath } from "../../model/storage-rules.ts";
import type { Task } from "../../model/task.ts";
import type { LabSystem } from "./lab-system.ts";

/** One sentence for each thing that is too much or missing. All tasks must have finished. */
export async function findLeftovers(system: LabSystem): Promise<string[]> {
	const { api, daemon } = system;
	const query = { limit: 1000 };
	const [vms, volumes, images, pools, tasks] = await Promise.all([
		api.call("vmList", { query }),
		api.call("volumeList", { query }),
		api.call("imageList", { query }),
		api.call("poolList", { query }),
		api.call("taskList", { query }),
	]);
	const found: string[] = [];
	const unmade = new Set(volumes.body.items.filter((volume) => isUnmade(volume, tasks.body.items)));
	for (const task of tasks.body.items)
		if (task.state === "pending" || task.state === "running") found.push(`task ${task.kind} is ${task.state}`);
	for (const pool of pools.body.items) {
		const root = localPath(pool) ?? "";
		const ofPool = <T extends { poolId: string }>(items: T[]) => items.filter((item) => item.poolId === pool.id);
		found.push(
			...compare(
				"volume",
				ofPool(volumes.body.items).filter((volume) => !unmade.has(volume)),
				list(join(root, "volumes")),
			),
		);
		found.push(
			...compare(
				"image",
				ofPool(images.body.items).filter((image) => image.phase === "ready"),
				list(join(root, "images")),
			),
		);
		const uploading = images.body.items.filter((image) => image.phase === "uploading" || image.phase === "importing");
		for (const name of list(join(root, "uploads")))
			if (!uploading.some((image) => name.startsWith(image.id))) found.push(`upload ${name} belongs to no image`);
	}
	for (const volume of volumes.body.items)
		if (volume.phase !== "ready" && !unmade.has(volume))
			found.push(`volume ${volume.name} is ${volume.phase} (${volume.error?.message})`);
	const vmIds = new Set(vms.body.items.map((vm) => vm.id));
	for (const name of list(join(daemon.dataDir, "vms")))
		if (!vmIds.has(name)) found.push(`folder vms/${name} belongs to no VM`);
	const domains = await domainIds(system);
	for (const id of domains) if (!vmIds.has(id)) found.push(`domain ${id} belongs to no VM`);
	for (const vm of vms.body.items) {
		if (!domains.includes(vm.id) && !["stopped", "failed"].includes(vm.status.powerState))
			found.push(`VM ${vm.name} is ${vm.status.powerState} and has no domain`);
		if (vm.status.taskId !== null) found.push(`VM ${vm.name} still belongs to task ${vm.status.taskId}`);
		if (vm.deleting) found.push(`VM ${vm.name} is still being deleted`);
	}
	for (const name of readdirSync(daemon.dataDir, { recursive: true, encoding: "utf8" }))
		if (/(^|\/)\.(tmp|trash)-|\.new$/.test(name)) found.push(`temporary file ${name}`);
	return found;
}

/**
 * A volume without a file is in order only when a task says why: its VM's making was called off, and the next start makes
 * it; or its VM's task failed with the very error that the volume has.
 */
export function isUnmade({ phase, vmId, error }: Volume, tasks: readonly Task[]): boolean {
	const ofVm = tasks.filter(({ targets }) => vmId !== null && targets.some(({ id }) => id === vmId));
	if (phase === "pending") return ofVm.some(({ state }) => state === "canceled");
	if (phase !== "error" || error === null) return false;
	return ofVm.some((task) => task.state === "failed" && task.error?.message === error.message);
}

/** UUIDs of all domains in libvirt, running or only defined. */
export async function domainIds({ libvirtd }: LabSystem): Promise<string[]> {
	const { stdout } = await libvirtd.runInNamespace("virsh", ["--quiet", "list", "--all", "--uuid"]);
	return stdout.split(/\s+/).filter(isUuid).sort();
}

/** Process numbers, as the machine counts, of the QEMU processes of this libvirtd. */
export async function qemuPids({ libvirtd }: LabSystem): Promise<number[]> {
	const { stdout } = await libvirtd.runInNamespace("pgrep", ["-f", "^[^ ]*qemu-system-x86_64 .*-name guest="], {
		okExitCodes: [0, 1],
	});
	const inner = stdout.split(/\s+/).filter(Boolean).map(Number);
	return inner.map((pid) => libvirtd.namespace.outerPid(pid)).filter((pid) => pid !== undefined);
}

function compare(what: string, records: { id: string; name: string }[], names: string[]): string[] {
	return [
		...names
			.filter((name) => !records.some((record) => record.id === name))
			.map((n) => `${what} file ${n} has no record`),
		...records.filter((record) => !names.includes(record.id)).map((r) => `${what} ${r.name} (${r.id}) has no file`),
	];
}

const list = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);
