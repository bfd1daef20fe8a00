/** From what a person says of a VM to what is made: defaults, references, and what is refused. */
import { describe, expect, test } from "bun:test";
import { idSource } from "../../lib/ids.ts";
import { systemRandom } from "../../lib/random.ts";
import { GiB, MiB } from "../../lib/units.ts";
import type { PoolNodeStatus } from "../../model/storage.ts";
import type { VmCreate } from "../../model/vm.ts";
import type { TableName, Tables } from "../../store/store.ts";
import {
	clusterIds,
	fixtureId,
	fixtureImage,
	fixtureNetwork,
	fixtureNfs,
	fixtureNode,
	fixturePool,
	fixtureVm,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { defaultMaxMemoryBytes, defaultMaxVcpus } from "./defaults.ts";
import { allocateMac } from "./mac.ts";
import { planVmCreate } from "./plan-create.ts";
import type { PlanState } from "./plan-state.ts";

type Rows = { [T in TableName]?: Tables[T][] };
const other = fixtureId(0x55);

function stateOf(rows: Rows, macs: string[] = []): PlanState {
	const all = <T extends TableName>(table: T): Tables[T][] => (rows[table] as Tables[T][] | undefined) ?? [];
	return {
		get: (table, id) => all(table).find((row) => row.id === id) ?? null,
		all: (table) => all(table),
		count: (table, filter) => all(table).filter((row) => "name" in row && row.name === filter?.name).length,
		macInUse: (mac) => macs.includes(mac),
		vmLoads: () => [],
	};
}

const pool = fixturePool({ phase: "ready" });
const ready = fixtureImage({ phase: "ready", virtualSizeBytes: 3 * GiB, fileSizeBytes: 300 * MiB });
const iso = fixtureImage({ id: fixtureId(0x301), name: "installer", format: "iso", phase: "ready" });
const rows: Rows = { node: [fixtureNode()], pool: [pool], network: [fixtureNetwork()], image: [ready, iso] };

function plan(request: Partial<VmCreate>, state: Rows = rows, macs: string[] = []) {
	const clock = new ManualClock();
	const tools = { clock, random: systemRandom, ids: idSource(clock, systemRandom) };
	return planVmCreate({ name: "vm", ...request }, stateOf({ ...rows, ...state }, macs), tools);
}
const paths = (attempt: () => unknown): string[] => {
	try {
		attempt();
	} catch (error) {
		return (error as { fields: { path: string }[] }).fields.map((field) => field.path);
	}
	return [];
};

describe("a name is enough", () => {
	test("for a machine that can be installed", () => {
		const { vm, volumes, start } = plan({});
		expect(vm.spec).toMatchObject({
			firmware: "uefi",
			tpm: false,
			cpu: { vcpus: 2, maxVcpus: 8, model: "portable" },
			memory: { sizeBytes: 2 * GiB, maxSizeBytes: 4 * GiB },
			cdroms: [{ id: "cdrom-0", imageId: null }],
			bootOrder: ["disk-0", "cdrom-0"],
			cloudInit: null,
			autostart: { enabled: false },
			shutdownTimeoutMs: 120_000,
		});
		expect(vm.spec.nics).toMatchObject([{ id: "nic-0", networkId: clusterIds.network, model: "virtio", linkUp: true }]);
		expect(volumes).toMatchObject([
			{
				name: "vm-disk-0",
				sizeBytes: 20 * GiB,
				format: "qcow2",
				source: { kind: "empty" },
				phase: "pending",
				vmId: vm.id,
			},
		]);
		expect([start, vm.desiredPower, vm.nodeId]).toEqual([true, "running", clusterIds.node]);
	});

	test("nothing is taken for granted that is not there", () => {
		expect(plan({}, { network: [] }).vm.spec.nics).toEqual([]);
		expect(plan({}, { network: [fixtureNetwork({ deleting: true })] }).vm.spec.nics).toEqual([]);
		expect(paths(() => plan({}, { pool: [] }))).toEqual(["/disks/0/poolId"]);
		expect(() => plan({}, { pool: [fixturePool({ phase: "pending" })] })).toThrow(
			"The storage pool local is being set up",
		);
		const { vm, volumes } = plan({ disks: [], nics: [], cdroms: [], start: false });
		expect([vm.spec.disks, vm.spec.nics, vm.spec.cdroms, volumes, vm.desiredPower]).toEqual([
			[],
			[],
			[],
			[],
			"stopped",
		]);
	});

	test("disks are attached as is said", () => {
		const { vm } = plan({ disks: [{ bus: "scsi", cache: "writeback", discard: false, readOnly: true }, {}] });
		expect(vm.spec.disks).toMatchObject([
			{ bus: "scsi", cache: "writeback", discard: false, readOnly: true },
			{ bus: "virtio", cache: "none", discard: true, readOnly: false },
		]);
		expect(paths(() => plan({ disks: [{}, { bus: "sata", readOnly: true }] }))).toEqual(["/disks/1/readOnly"]);
	});

	test("a disk in a Ceph cluster has the cache of RBD, unless somebody says otherwise", () => {
		const ceph = { monitors: ["10.0.0.1"], user: "vms", cephPool: "rbd", namespace: null, dataPool: null };
		const pool = [fixturePool({ type: "ceph-rbd", config: ceph, phase: "ready" })];
		const { vm } = plan({ disks: [{}, { cache: "none" }] }, { pool });
		expect(vm.spec.disks.map(({ cache }) => cache)).toEqual(["writeback", "none"]);
	});

	test("room for hot-plug stays within the host and within limits", () => {
		expect([1, 2, 16, 200, 512].map(defaultMaxVcpus)).toEqual([8, 8, 64, 512, 512]);
		expect(defaultMaxMemoryBytes(2 * GiB, 64 * GiB)).toBe(8 * GiB);
		expect(defaultMaxMemoryBytes(2 * GiB, 3 * GiB + 5)).toBe(3 * GiB);
		expect(defaultMaxMemoryBytes(2 * GiB, GiB)).toBe(2 * GiB);
		expect(defaultMaxMemoryBytes(300 * MiB, 0)).toBe(1152 * MiB);
	});
});

describe("with several nodes", () => {
	const second = fixtureNode({ id: other, name: "node-2", status: { ...fixtureNode().status, memoryBytes: 64 * GiB } });
	const nodeIds = [clusterIds.node, other];
	const poolPart = (nodeId: string): PoolNodeStatus => ({
		...{ nodeId, health: "healthy", reason: null, totalBytes: 9 * GiB, usedBytes: 0, availableBytes: 9 * GiB },
		...{ capabilities: null, updatedAt: "2026-01-02T03:04:05.000Z" },
	});
	const networkPart = (nodeId: string) => ({ nodeId, health: "healthy" as const, bridge: "br0", error: null });
	const both = fixturePool({ phase: "ready", nodeIds, nodes: nodeIds.map(poolPart) });
	const network = fixtureNetwork({ nodes: nodeIds.map(networkPart) });
	const two: Rows = { node: [fixtureNode(), second], pool: [both], network: [network] };

	test("it goes where the most memory is left, unless somebody says where; its disks with it", () => {
		const placed = plan({}, two);
		expect([placed.vm.nodeId, placed.volumes[0]?.nodeId]).toEqual([other, other]);
		expect(placed.placement).toBe(
			"Placed on node-2: of 2 nodes that fit it has the most memory left after it (62 GiB).",
		);
		const asked = plan({ nodeId: clusterIds.node }, two);
		expect([asked.vm.nodeId, asked.placement]).toEqual([clusterIds.node, null]);
		expect(plan({}).placement).toBeNull();
	});

	test("where the network is ready that it gets when none is named, too", () => {
		const network = fixtureNetwork({ nodes: [networkPart(clusterIds.node)] });
		expect(plan({}, { ...two, network: [network] }).vm.nodeId).toBe(clusterIds.node);
		expect(plan({ nics: [{}] }, { ...two, network: [network] }).vm.nodeId).toBe(clusterIds.node);
		expect(plan({ nics: [] }, { ...two, network: [network] }).vm.nodeId).toBe(other);
		const lan = fixtureNetwork({ config: { kind: "bridge", bridge: "br7" } });
		expect(() => plan({}, { ...two, network: [lan] })).toThrow("has no bridge br7");
	});

	test("to where its volumes are", () => {
		const volume = fixtureVolume({ phase: "ready" });
		expect(plan({ disks: [{ volumeId: volume.id }] }, { ...two, volume: [volume] }).vm.nodeId).toBe(clusterIds.node);
	});

	test("where the pool of its shared volume works", () => {
		const nas = fixturePool({ id: fixtureId(0x56), name: "nas", type: "nfs", config: fixtureNfs, phase: "ready" });
		const volume = fixtureVolume({ phase: "ready", nodeId: null, poolId: nas.id });
		const madeOn = (...parts: PoolNodeStatus[]) =>
			plan(
				{ disks: [{ volumeId: volume.id }] },
				{
					...two,
					pool: [both, { ...nas, nodeIds: parts.map(({ nodeId }) => nodeId), nodes: parts }],
					volume: [volume],
				},
			).vm.nodeId;
		expect(madeOn(...nodeIds.map(poolPart))).toBe(other);
		expect(madeOn(poolPart(clusterIds.node))).toBe(clusterIds.node);
		expect(madeOn(poolPart(clusterIds.node), { ...poolPart(other), health: "error" })).toBe(clusterIds.node);
	});

	test("an image of another node will do when its pool has a part here", () => {
		const { vm, volumes } = plan({ disks: [{ imageId: ready.id }], cdroms: [{ imageId: iso.id }] }, two);
		expect([vm.nodeId, ready.nodeId]).toEqual([other, clusterIds.node]);
		expect(volumes[0]?.source).toEqual({ kind: "image", imageId: ready.id, fullCopy: false });
		const apart = { ...two, pool: [pool] };
		expect(plan({ disks: [{ imageId: ready.id }] }, apart).vm.nodeId).toBe(clusterIds.node);
		expect(() => plan({ disks: [{ imageId: ready.id }], nodeId: other }, apart)).toThrow("is not on this node");
	});

	test("nor on a node without the pool of its image, whatever pool the disk is in, and be that of the image shared", () => {
		const fast = fixturePool({ id: fixtureId(0x56), name: "fast", phase: "ready", nodeIds });
		const nas = fixturePool({ phase: "ready", name: "nas", type: "nfs", config: fixtureNfs });
		const image = [ready, iso].map((one) => ({ ...one, nodeId: null }));
		const state = { ...two, pool: [nas, fast], image };
		const disks = [{ imageId: ready.id, poolId: fast.id }];
		expect(plan({ disks }, state).vm.nodeId).toBe(clusterIds.node);
		expect(paths(() => plan({ disks, nodeId: other }, state))).toEqual(["/disks/0/imageId"]);
		const cdroms = [{ imageId: iso.id }];
		expect(plan({ cdroms }, state).vm.nodeId).toBe(clusterIds.node);
		expect(paths(() => plan({ cdroms, nodeId: other }, state))).toEqual(["/cdroms/0/imageId"]);
	});

	test("what fits nowhere is refused, with the reasons", () => {
		expect(() => plan({ memoryBytes: 128 * GiB }, two)).toThrow(
			"The VM fits on no node: node-1 has 4 GiB of memory, and 128 GiB are wanted; node-2 has 64 GiB",
		);
	});
});

describe("disks", () => {
	test("from an image: copy-on-write in its pool, at least its size", () => {
		const { volumes } = plan({
			disks: [{ imageId: ready.id }, { imageId: ready.id, sizeBytes: 8 * GiB, fullCopy: true }],
		});
		expect(volumes).toMatchObject([
			{ sizeBytes: 3 * GiB, source: { kind: "image", imageId: ready.id, fullCopy: false }, poolId: pool.id },
			{ sizeBytes: 8 * GiB, source: { fullCopy: true }, name: "vm-disk-1" },
		]);
		expect(paths(() => plan({ disks: [{ imageId: ready.id, sizeBytes: 2 * GiB }] }))).toEqual(["/disks/0/sizeBytes"]);
	});

	test("raw, or in another pool, is a full copy", () => {
		const elsewhere = fixturePool({ id: other, name: "fast", phase: "degraded" });
		const state = { pool: [pool, elsewhere] };
		for (const disk of [{ format: "raw" as const }, { poolId: other }]) {
			expect(plan({ disks: [{ imageId: ready.id, ...disk }] }, state).volumes[0]?.source).toMatchObject({
				fullCopy: true,
			});
			const refused = () => plan({ disks: [{ imageId: ready.id, fullCopy: false, ...disk }] }, state);
			expect(paths(refused)).toEqual(["/disks/0/fullCopy"]);
		}
	});

	test("that cannot be: an ISO, an image that is not there or elsewhere, half a sector", () => {
		const far = fixtureImage({ id: other, phase: "ready", nodeId: fixtureId(0x77), poolId: fixtureId(0x78) });
		const state = { image: [ready, iso, far] };
		const disks = [
			{ imageId: iso.id },
			{ imageId: fixtureId(0x99) },
			{ imageId: other },
			{ sizeBytes: MiB + 1 },
			{ fullCopy: true },
		];
		expect(paths(() => plan({ disks }, state))).toEqual([
			"/disks/0/imageId",
			"/disks/1/imageId",
			"/disks/2/imageId",
			"/disks/3/sizeBytes",
			"/disks/4/fullCopy",
		]);
		expect(() => plan({ disks: [{ imageId: ready.id }] }, { image: [{ ...ready, phase: "importing" }] })).toThrow(
			"importing, not ready",
		);
	});

	test("that exist: attached, unless somebody has them", () => {
		const volume = fixtureVolume({ phase: "ready" });
		const { vm, volumes } = plan({ disks: [{ volumeId: volume.id, bus: "sata" }] }, { volume: [volume] });
		expect([vm.spec.disks, volumes]).toMatchObject([[{ volumeId: volume.id, bus: "sata" }], []]);
		const owner = fixtureVm({ id: other, name: "owner" });
		const taken = { volume: [{ ...volume, vmId: other }], vm: [owner] };
		expect(() => plan({ disks: [{ volumeId: volume.id }] }, taken)).toThrow("is attached to the VM owner");
		const twice = () => plan({ disks: [{ volumeId: volume.id }, { volumeId: volume.id }] }, { volume: [volume] });
		expect(paths(twice)).toEqual(["/disks/1/volumeId"]);
		const both = () =>
			plan({ disks: [{ volumeId: volume.id, imageId: ready.id, sizeBytes: GiB }] }, { volume: [volume] });
		expect(paths(both)).toEqual(["/disks/0/imageId", "/disks/0/sizeBytes"]);
	});

	test("get names that are free, and not too long", () => {
		const taken = fixtureVolume({ name: "vm-disk-0" });
		expect(plan({}, { volume: [taken] }).volumes[0]?.name).toBe("vm-disk-0-2");
		expect(plan({ name: "x".repeat(63) }).volumes[0]?.name).toHaveLength(55);
	});
});

describe("the rest", () => {
	test("drives take ISO images, NICs networks that are there", () => {
		expect(plan({ cdroms: [{ imageId: iso.id }] }).vm.spec.cdroms).toEqual([{ id: "cdrom-0", imageId: iso.id }]);
		expect(paths(() => plan({ cdroms: [{ imageId: ready.id }], nics: [{ networkId: other }] }))).toEqual([
			"/cdroms/0/imageId",
			"/nics/0/networkId",
		]);
	});

	test("sizes that contradict each other or the host", () => {
		expect(paths(() => plan({ vcpus: 4, maxVcpus: 2, memoryBytes: 8 * GiB, maxMemoryBytes: GiB }))).toEqual([
			"/maxVcpus",
			"/memoryBytes",
			"/maxMemoryBytes",
		]);
		expect(paths(() => plan({ memoryBytes: GiB + 1 }))).toEqual(["/memoryBytes"]);
		expect(paths(() => plan({ nodeId: other }))).toEqual(["/nodeId"]);
	});

	test("MAC addresses: ours, unicast, free, and an end to looking", () => {
		const seen = new Set<string>();
		for (let i = 0; i < 100; i++) {
			const mac = allocateMac(systemRandom, (candidate) => seen.has(candidate));
			expect(mac).toMatch(/^52:4c(:[0-9a-f]{2}){4}$/);
			seen.add(mac);
		}
		expect(seen.size).toBe(100);
		expect(() => allocateMac(systemRandom, () => true)).toThrow("No free MAC address");
		const mac = "52:4c:00:00:00:01";
		expect(plan({ nics: [{ mac }] }).vm.spec.nics[0]?.mac).toBe(mac);
		expect(() => plan({ nics: [{ mac }, { mac }] })).toThrow("is in use");
		expect(() => plan({ nics: [{ mac }] }, {}, [mac])).toThrow("is in use");
	});
});
