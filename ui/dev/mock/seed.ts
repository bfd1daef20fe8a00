/** What the mock starts with: one node, pools, images, networks, and as many VMs as asked for. */
import { GiB, MiB } from "../../../src/lib/units.ts";
import type { PowerState, Vm } from "../../../src/model/vm.ts";
import type { Image } from "../../api/types.ts";
import { addNode, spreadVms } from "./members.ts";
import { seedOrphans } from "./orphans.ts";
import { seedPools, troublePools } from "./seed-pools.ts";
import { seedSnapshots } from "./seed-snapshots.ts";
import { MockState } from "./state.ts";

export type SeedOptions = {
	vms?: number;
	accelerator?: "kvm" | "tcg";
	/** Nothing but the node, its pool and its network: the first run. */
	empty?: boolean;
	mustChangePassword?: boolean;
	tickMs?: number;
	/** How many nodes the cluster has. */
	nodes?: number;
	/** Pools that do not work everywhere. */
	storageTrouble?: boolean;
};

const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();
const roles = ["web", "db", "cache", "ci", "mail", "dns", "build", "monitor"];
const powers: readonly PowerState[] = [
	"running",
	"running",
	"running",
	"stopped",
	"running",
	"stopped",
	"running",
	"paused",
];

export function seed(options: SeedOptions): MockState {
	const nodeId = "01980000-0000-7000-8000-000000000001";
	const state = new MockState(nodeId, options.tickMs ?? 900);
	seedNode(state, options.accelerator ?? "tcg");
	const pools = seedPools(state, options.empty ?? false);
	const networks = seedNetworks(state);
	seedUsers(state, options.mustChangePassword ?? false);
	if (!options.empty) {
		const images = seedImages(state, pools[0]?.id ?? "");
		for (let number = 0; number < (options.vms ?? 40); number++) {
			seedVm(state, number, { poolId: pools[number % 2]?.id ?? "", networkId: networks[0] ?? "", images });
		}
		seedSnapshots(state);
		seedTasks(state);
	}
	for (let number = 2; number <= (options.nodes ?? 1); number++) addNode(state, `node-${number}`);
	if ((options.nodes ?? 1) > 1) spreadVms(state);
	if (options.storageTrouble) {
		troublePools(state);
		seedOrphans(state, pools[0]?.id ?? "");
	}
	state.events.length = 0;
	return state;
}

function seedNode(state: MockState, accelerator: "kvm" | "tcg"): void {
	state.put("node", {
		id: state.nodeId,
		generation: 1,
		createdAt: ago(60 * 24 * 9),
		updatedAt: ago(2),
		name: "node-1",
		peerAddresses: ["10.0.0.1:8444"],
		witness: false,
		status: {
			phase: "ready",
			reason: null,
			version: "0.1.0",
			hypervisor: "connected",
			hypervisorVersion: "libvirt 9.0.0, QEMU 7.2.22",
			accelerator,
			acceleratorReason:
				accelerator === "tcg" ? "KVM cannot run a guest here: the probe's guest did not answer within 10 s." : null,
			cpuModel: "AMD EPYC 7763 64-Core Processor",
			cpuCount: 32,
			memoryBytes: 128 * GiB,
			bridges: ["br0", "br-storage"],
			bootedAt: ago(60 * 24 * 9),
			updatedAt: ago(0.1),
		},
	});
}

function seedNetworks(state: MockState): string[] {
	const nat = state.put("network", {
		...state.metadata(),
		createdAt: ago(60 * 24 * 9),
		name: "default",
		description: "Made at the first start.",
		config: {
			kind: "nat",
			gateway: "192.168.122.1",
			prefixLength: 24,
			dhcpStart: "192.168.122.10",
			dhcpEnd: "192.168.122.250",
		},
		nodes: [{ nodeId: state.nodeId, health: "healthy", bridge: "lqxbr0", error: null }],
		deleting: false,
	});
	const bridge = state.put("network", {
		...state.metadata(),
		createdAt: ago(60 * 24 * 3),
		name: "office",
		description: "The office LAN.",
		config: { kind: "bridge", bridge: "br0" },
		nodes: [{ nodeId: state.nodeId, health: "healthy", bridge: "br0", error: null }],
		deleting: false,
	});
	return [nat.id, bridge.id];
}

function seedUsers(state: MockState, mustChangePassword: boolean): void {
	const user = (name: string, displayName: string, role: "admin" | "operator" | "viewer", mustChange = false) =>
		state.put("user", {
			...state.metadata(),
			createdAt: ago(60 * 24 * 8),
			name,
			displayName,
			role,
			enabled: true,
			mustChangePassword: mustChange,
		});
	const admin = user("admin", "Administrator", "admin", mustChangePassword);
	user("operator", "On call", "operator");
	user("viewer", "", "viewer");
	state.requester.id = admin.id;
	state.put("token", {
		...state.metadata(),
		createdAt: ago(60 * 24 * 4),
		name: "prometheus",
		userId: admin.id,
		role: "viewer",
		expiresAt: new Date(Date.now() + 80 * 24 * 3600_000).toISOString(),
	});
}

function seedImages(state: MockState, poolId: string): Image[] {
	const image = (name: string, change: Partial<Image>): Image =>
		state.put("image", {
			...state.metadata(),
			createdAt: ago(60 * 24 * 6),
			name,
			description: "",
			tags: [],
			format: "qcow2",
			poolId,
			nodeId: state.nodeId,
			source: { kind: "url", url: `https://images.example/${name}.qcow2` },
			fileSizeBytes: 420 * MiB,
			virtualSizeBytes: 3 * GiB,
			expectedSha256: null,
			sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			phase: "ready",
			receivedBytes: 420 * MiB,
			error: null,
			...change,
		});
	return [
		image("debian-13-generic", { tags: ["linux", "cloud-init"], description: "Debian 13 cloud image" }),
		image("ubuntu-26.04-server", { tags: ["linux"], virtualSizeBytes: 4 * GiB, fileSizeBytes: 690 * MiB }),
		image("debian-13-netinst", { format: "iso", virtualSizeBytes: 660 * MiB, fileSizeBytes: 660 * MiB }),
		image("virtio-win", { format: "iso", virtualSizeBytes: 750 * MiB, fileSizeBytes: 750 * MiB }),
		image("old-appliance", {
			format: "raw",
			phase: "error",
			sha256: null,
			virtualSizeBytes: null,
			error: { code: "invalid", message: "The image refers to another file (/etc/passwd), which is not accepted." },
		}),
	];
}

function seedVm(
	state: MockState,
	number: number,
	refs: { poolId: string; networkId: string; images: readonly Image[] },
): void {
	const role = roles[number % roles.length] ?? "vm";
	const name = `${role}-${String(Math.floor(number / roles.length) + 1).padStart(2, "0")}`;
	const failed = number === 10;
	const power: PowerState = failed ? "failed" : (powers[(number * 5 + (number >> 3)) % powers.length] ?? "stopped");
	const on = power === "running" || power === "paused";
	const mac = `52:4c:00:00:${(number >> 8).toString(16).padStart(2, "0")}:${(number & 255).toString(16).padStart(2, "0")}`;
	const size = [1, 2, 4, 8][number % 4] ?? 1;
	const metadata = { ...state.metadata(), createdAt: ago(60 * (7 + number * 3)) };
	const volume = state.put("volume", {
		...state.metadata(),
		createdAt: metadata.createdAt,
		name: `${name}-disk-0`,
		poolId: refs.poolId,
		nodeId: state.nodeId,
		format: "qcow2",
		sizeBytes: size * 10 * GiB,
		allocatedBytes: Math.round(size * 2.3 * GiB),
		source: { kind: "image", imageId: refs.images[number % 2]?.id ?? "", fullCopy: false },
		phase: "ready",
		vmId: metadata.id,
		error: null,
	});
	const vm: Vm = {
		...metadata,
		name,
		description: number === 0 ? "The shop's front end.\nAsk before you restart it." : "",
		tags: number % 3 === 0 ? ["production", role] : number % 3 === 1 ? ["staging"] : [],
		nodeId: state.nodeId,
		spec: {
			firmware: number % 4 === 0 ? "bios" : "uefi",
			tpm: false,
			cpu: { vcpus: size, maxVcpus: Math.max(8, size * 4), model: "portable" },
			memory: { sizeBytes: size * GiB, maxSizeBytes: size * 4 * GiB },
			disks: [
				{
					...{ id: "disk-0", volumeId: volume.id, bus: "virtio", cache: "none", discard: true, readOnly: false },
					...(number === 0 ? { limits: { writeIops: 500, writeBytesPerSecond: 50 * MiB } } : {}),
				},
			],
			cdroms: [{ id: "cdrom-0", imageId: null }],
			nics: [{ id: "nic-0", networkId: refs.networkId, mac, model: "virtio", linkUp: true }],
			bootOrder: ["disk-0", "cdrom-0"],
			cloudInit: null,
			autostart: { enabled: number % 3 === 0, order: 100, delayMs: 0 },
			shutdownTimeoutMs: 120_000,
		},
		desiredPower: on ? "running" : "stopped",
		deleting: false,
		status: {
			powerState: power,
			reason: failed ? "The guest crashed (io-error on disk-0)." : null,
			observedGeneration: 1,
			pendingRestart: number === 4,
			differences:
				number === 4 ? [{ field: "memory.maxSizeBytes", wanted: "8 GiB", found: "4 GiB", repair: "next-start" }] : [],
			accelerator: on ? "tcg" : null,
			startedAt: on ? ago(60 * (3 + number)) : null,
			addresses: power === "running" ? [{ nicId: "nic-0", mac, address: `192.168.122.${10 + (number % 240)}` }] : [],
			taskId: null,
			error: failed ? { code: "hypervisor", message: "QEMU ended: no space left in pool fast." } : null,
			updatedAt: ago(1),
		},
	};
	state.put("vm", vm);
}

function seedTasks(state: MockState): void {
	const vms = [...state.tables.vm.values()].slice(0, 8);
	for (const [number, vm] of vms.entries()) {
		const failed = number === 3;
		state.put("task", {
			id: state.newId(),
			kind: failed ? "vm.start" : number % 2 ? "vm.shutdown" : "vm.create",
			state: failed ? "failed" : "succeeded",
			progress: failed ? null : 100,
			message: null,
			targets: [{ kind: "vm", id: vm.id, name: vm.name }],
			requester: { ...state.requester, name: number % 2 ? "operator" : "admin" },
			nodeId: state.nodeId,
			parentId: null,
			createdAt: ago(3 + number * 11),
			startedAt: ago(3 + number * 11),
			finishedAt: ago(2.8 + number * 11),
			cancelable: false,
			cancelRequested: false,
			error: failed ? { code: "no-space", message: "The pool fast has no space left." } : null,
			input: {},
		});
	}
}
