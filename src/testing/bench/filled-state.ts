/**
 * A data folder with many VMs in it, made through the store before a daemon is started on it. The VMs are stopped or
 * failed and were never defined in libvirt, so that the node which finds them there leaves them as they are.
 */
import { join } from "node:path";
import { setUpCluster } from "../../auth/bootstrap.ts";
import { createPasswordHasher } from "../../auth/passwords.ts";
import { present } from "../../lib/assert.ts";
import { systemClock as clock, toRfc3339 } from "../../lib/clock.ts";
import { idSource } from "../../lib/ids.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom as random, randomRatio } from "../../lib/random.ts";
import { GiB } from "../../lib/units.ts";
import type { Volume } from "../../model/storage.ts";
import type { Task } from "../../model/task.ts";
import type { Vm } from "../../model/vm.ts";
import { openStore, type StoreIdentity } from "../../store/open-store.ts";
import { proposer, systemRequester } from "../../store/proposer.ts";
import { version } from "../../version.ts";

const ids = idSource(clock, random);
/** Proposals at once; the store takes 4,096. */
const batchSize = 512;
/** Without a common divisor with any count up to it: names come in another order than ids. */
const stride = 104_729;

/** Which states VM `number` of `count` has, and its name: every fourth has failed. */
export const filledName = (number: number, count: number): string =>
	`vm-${String((number * stride) % count).padStart(6, "0")}`;
export const filledState = (number: number): "stopped" | "failed" => (number % 4 === 0 ? "failed" : "stopped");

type Place = { nodeId: string; poolId: string; networkId: string };

/** One cluster with one node, its pool and network, and `vmCount` VMs with a disk and a NIC each. Who that node is. */
export async function fillState(dataDir: string, vmCount: number): Promise<StoreIdentity> {
	const identity = { clusterId: ids.newId(), nodeId: ids.newId(), founder: true };
	const store = await openStore({
		identity,
		random: () => randomRatio(random),
		dataDir,
		clock,
		logger: silentLogger,
		fsync: false,
		onFatal(error) {
			throw error;
		},
	});
	try {
		const { proposeSystem } = proposer(store, clock, ids);
		await setUpCluster(
			dataDir,
			{
				nodeId: identity.nodeId,
				clusterId: identity.clusterId,
				nodeName: "bench",
				version,
				poolPath: join(dataDir, "pools", "local"),
				hostSubnets: [],
			},
			{ clock, random, ids, passwords: createPasswordHasher(), store, proposeSystem },
		);
		const idOf = (table: "node" | "pool" | "network") => present(store.all(table)[0], `the ${table}`).id;
		const place: Place = { nodeId: idOf("node"), poolId: idOf("pool"), networkId: idOf("network") };
		for (let from = 0; from < vmCount; from += batchSize) {
			const numbers = Array.from({ length: Math.min(batchSize, vmCount - from) }, (_, at) => from + at);
			await Promise.all(
				numbers.map(async (number) => {
					const { vm, volume, task } = filledVm(number, vmCount, place);
					await proposeSystem({ kind: "vmAdopt", vm, volumes: [volume], task });
					await proposeSystem({ kind: "volumeStatus", id: volume.id, phase: "ready", error: null });
					await proposeSystem({ kind: "taskUpdate", id: task.id, state: "succeeded" });
				}),
			);
		}
	} finally {
		await store.close();
	}
	return identity;
}

/** A VM as people have them: two CPUs, a disk, a NIC, an empty CD-ROM drive, cloud-init, tags. */
function filledVm(number: number, count: number, place: Place): { vm: Vm; volume: Volume; task: Task } {
	const { nodeId, poolId, networkId } = place;
	const now = toRfc3339(clock.nowMs());
	const metadata = () => ({ id: ids.newId(), generation: 1, createdAt: now, updatedAt: now });
	const name = filledName(number, count);
	const failed = filledState(number) === "failed";
	const volume: Volume = {
		...metadata(),
		name: `${name}-disk`,
		...{ poolId, nodeId, format: "qcow2", sizeBytes: 20 * GiB, allocatedBytes: 3 * GiB },
		...{ source: { kind: "empty" }, phase: "ready", vmId: null, error: null },
	};
	const mac = `52:54:00:${[16, 8, 0].map((shift) => ((number >> shift) & 0xff).toString(16).padStart(2, "0")).join(":")}`;
	const vm: Vm = {
		...metadata(),
		name,
		description: "One of the many VMs of the benchmark",
		tags: [`team-${number % 40}`, number % 2 === 0 ? "production" : "staging"],
		nodeId,
		spec: {
			...{ firmware: "bios", tpm: false, bootOrder: [], shutdownTimeoutMs: 120_000 },
			cpu: { vcpus: 2, maxVcpus: 4, model: "portable" },
			memory: { sizeBytes: 2 * GiB, maxSizeBytes: 4 * GiB },
			disks: [{ id: "disk-0", volumeId: volume.id, bus: "virtio", cache: "none", discard: true, readOnly: false }],
			cdroms: [{ id: "cd-0", imageId: null }],
			nics: [{ id: "nic-0", networkId, mac, model: "virtio", linkUp: true }],
			cloudInit: {
				...{ kind: "form", hostname: name, packages: ["qemu-guest-agent"], network: null },
				users: [
					{ name: "operator", sshKeys: [`ssh-ed25519 ${"A".repeat(68)} operator`], passwordHash: null, sudo: true },
				],
			},
			autostart: { enabled: false, order: 0, delayMs: 0 },
		},
		desiredPower: "stopped",
		deleting: false,
		status: {
			...{ powerState: filledState(number), reason: failed ? "The guest crashed." : null, observedGeneration: 0 },
			...{ pendingRestart: false, differences: [], accelerator: null, startedAt: null, addresses: [], taskId: null },
			...{ error: failed ? { code: "hypervisor", message: "The guest crashed." } : null, updatedAt: now },
		},
	};
	const task: Task = {
		...{ id: ids.newId(), kind: "vm.adopt", state: "pending", progress: null, message: null },
		...{ targets: [{ kind: "vm", id: vm.id, name }], requester: systemRequester, nodeId, parentId: null },
		...{ createdAt: now, startedAt: null, finishedAt: null, cancelable: false, cancelRequested: false },
		...{ error: null, input: {} },
	};
	return { vm, volume, task };
}
