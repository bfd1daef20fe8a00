/**
 * A whole node for system tests: a private libvirtd with QEMU (TCG), the built executable on top of it, and the small
 * guest as an image. Disposing it ends both and removes their folders; what the daemon logged is printed when the test
 * asked for it with `LIMIQUANTIX_TEST_LOG=1`.
 */
import { join } from "node:path";
import { assert, present } from "../../lib/assert.ts";
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { Network, NetworkConfig } from "../../model/network.ts";
import type { Image } from "../../model/storage.ts";
import { isFinished, type Task } from "../../model/task.ts";
import type { Vm, VmCreate } from "../../model/vm.ts";
import { type LabDaemon, type LabDaemonOptions, prepareLabDaemon } from "../lab/daemon.ts";
import { buildGuestImage, type GuestImage } from "../lab/guest-image.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../lab/libvirtd.ts";
import { waitUntil } from "../lab/wait-until.ts";

export const cacheDir = join(import.meta.dir, "../../../.cache");
/**
 * Not the network that a node has from its first start: the daemon chooses that by the machine's routes, where another
 * node may run, while libvirt's bridges are in a network namespace of their own. From the range for benchmarks (RFC 2544).
 */
const labNetwork: NetworkConfig = {
	...{ kind: "nat", gateway: "198.18.0.1", prefixLength: 24 },
	...{ dhcpStart: "198.18.0.10", dhcpEnd: "198.18.0.250" },
};
const readyLimitMs = 30_000;
const usualTaskMs = 120_000;

export type LabSystem = AsyncDisposable & {
	libvirtd: PrivateLibvirtd;
	daemon: LabDaemon;
	/** Not where the system was made without one. */
	readonly guest: GuestImage;
	api: LabDaemon["api"];
	/** The guest as an image of the node, imported at the first call. */
	image(): Promise<Image>;
	/** A NAT network for the guests, made at the first call; see `labNetwork`. */
	network(): Promise<Network>;
	vm(id: string): Promise<Vm>;
	/** Waits until the task at `location` (or with that id) has finished, and gives it, whatever came of it. */
	finished(location: string | null, limitMs?: number): Promise<Task>;
	/** As `finished`, and fails when the task did not succeed. */
	done(answer: { taskLocation: string | null; location?: string | null }, limitMs?: number): Promise<Task>;
	/** A VM of the guest image: BIOS, 256 MiB, one vCPU, a NIC; made and, unless `start` is false, started. */
	createVm(body: Partial<VmCreate> & { name: string }): Promise<Vm>;
	/** Waits until the VM is as wanted. */
	untilVm(id: string, what: string, wanted: (vm: Vm) => boolean, limitMs?: number): Promise<Vm>;
	/** libvirt is connected and the pool can be used: after each start of the daemon, before work is asked for. */
	ready(): Promise<void>;
};

export type LabSystemOptions = Partial<LabDaemonOptions> & {
	name: string;
	/** "machine": QEMU reaches what listens on the loopback of this process. Default: a network of its own. */
	network?: "private" | "machine";
};

export async function startLabSystem(options: LabSystemOptions): Promise<LabSystem> {
	const guest = await buildGuestImage({ cacheDir });
	const { name, network, ...rest } = options;
	const libvirtd = await startLibvirtd({ name, ...(network ? { network } : {}) });
	const system = labSystem({ libvirtd, guest, ...rest });
	try {
		await system.daemon.start();
		await system.ready();
		return system;
	} catch (error) {
		await system[Symbol.asyncDispose]();
		throw error;
	}
}

/** On parts that the caller has started; the daemon is not started yet. Disposing ends all of them. */
export function labSystem(
	options: Partial<LabDaemonOptions> & {
		libvirtd: PrivateLibvirtd;
		guest: GuestImage | null;
		/** How long a task may take when its caller says nothing else. */
		taskLimitMs?: number;
	},
): LabSystem {
	const { libvirtd, guest: given, taskLimitMs = usualTaskMs, ...rest } = options;
	const guest = (): GuestImage => present(given, "the guest of this system");
	const daemon = prepareLabDaemon({ libvirtUri: libvirtd.uri, ...rest });
	const { api } = daemon;
	let image: Promise<Image> | null = null;
	let network: Promise<Network> | null = null;

	const finished = async (location: string | null, limitMs = taskLimitMs): Promise<Task> => {
		const id = present(location?.split("/").at(-1), "the location of the task");
		const deadline = performance.now() + limitMs;
		for (;;) {
			const left = Math.ceil(deadline - performance.now());
			const query = { waitMs: Math.max(0, Math.min(20_000, left)) };
			const { body: task } = await api.call("taskGet", { path: { id }, query });
			if (isFinished(task.state)) return task;
			if (left <= 0)
				throw new AppError("timeout", `${task.kind} is ${task.state} (${task.message}) after ${limitMs} ms.`);
		}
	};
	const done: LabSystem["done"] = async (answer, limitMs) => {
		const task = await finished(answer.taskLocation ?? answer.location ?? null, limitMs);
		assert(task.state === "succeeded", `${task.kind} ${task.state}: ${task.error?.message}`);
		return task;
	};
	const vm = async (id: string): Promise<Vm> => (await api.call("vmGet", { path: { id } })).body;
	const importGuest = async (): Promise<Image> => {
		const answer = await api.call("imageCreate", {
			body: { name: "guest", format: "qcow2", source: { kind: "path", path: guest().qcow2Path } },
		});
		await done(answer);
		return (await api.call("imageGet", { path: { id: answer.body.id } })).body;
	};
	const importOnce = (): Promise<Image> => {
		image ??= importGuest();
		return image;
	};
	const makeNetwork = async (): Promise<Network> => {
		const answer = await api.call("networkCreate", { body: { name: "lab", config: labNetwork } });
		await done(answer);
		return (await api.call("networkGet", { path: { id: answer.body.id } })).body;
	};
	const networkOnce = (): Promise<Network> => {
		network ??= makeNetwork();
		return network;
	};
	return {
		...{ libvirtd, daemon, api, vm, finished, done },
		get guest() {
			return guest();
		},
		...{ image: importOnce, network: networkOnce },
		async createVm(body) {
			const answer = await api.call("vmCreate", {
				body: {
					...{ firmware: "bios", memoryBytes: 256 * MiB, maxMemoryBytes: 512 * MiB, vcpus: 1, maxVcpus: 2 },
					...(body.disks ? {} : { disks: [{ imageId: (await importOnce()).id }] }),
					...(body.nics ? {} : { nics: [{ networkId: (await networkOnce()).id }] }),
					...body,
				},
			});
			await done(answer);
			return vm(answer.body.id);
		},
		untilVm: (id, what, wanted, limitMs = 30_000) =>
			waitUntil(
				what,
				limitMs,
				async () => {
					const now = await vm(id);
					return wanted(now) ? now : undefined;
				},
				{ everyMs: 50 },
			),
		ready: () =>
			waitUntil(
				"the node to be ready",
				readyLimitMs,
				async () => {
					const { body: health } = await api.call("healthGet");
					const { body: pools } = await api.call("poolList");
					return health.hypervisor === "connected" && pools.items.every((pool) => pool.phase === "ready");
				},
				{ everyMs: 50 },
			).then(() => {}),
		async [Symbol.asyncDispose]() {
			await daemon.stop();
			await libvirtd.stop();
			if (process.env.LIMIQUANTIX_TEST_LOG) console.error(daemon.log());
		},
	};
}
