/** What a node brings when it joins: where each thing goes, what is refused, and a node that comes back. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Network } from "../../model/network.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Pool, Volume } from "../../model/storage.ts";
import { localPath } from "../../model/storage-rules.ts";
import type { VmSpec } from "../../model/vm.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureImage,
	fixtureMember,
	fixtureNetwork,
	fixturePool,
	fixtureSnapshot,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

const clock = new ManualClock();
let store: MemoryStore;
const second = fixtureId(0x998);
const former = fixtureId(0xf00);
const ids = {
	...{ pool: fixtureId(0xf03), network: fixtureId(0xf04), vm: fixtureId(0xf10) },
	...{ volume: fixtureId(0xf20), image: fixtureId(0xf30) },
};

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const refused = (body: CommandBody, code: string, message = "") =>
	expect(apply(body)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });

type Import = Extract<CommandBody, { kind: "nodeImport" }>;
const nic = (networkId: string, mac = "52:54:00:00:0f:01"): VmSpec["nics"][number] => ({
	...{ id: "nic-0", networkId, mac, model: "virtio", linkUp: true },
});
const poolReport: Pool["nodes"][number] = {
	...{ nodeId: former, health: "healthy", reason: null, totalBytes: 1, usedBytes: 0, availableBytes: 1 },
	...{ capabilities: null, updatedAt: "2026-01-01T00:00:00.000Z" },
};
const networkReport: Network["nodes"][number] = { nodeId: former, health: "healthy", bridge: "lq1", error: null };
/** The default pool and network of a node, and a running VM with a disk that is made from an image, and a disc. */
const brings = (changes: Partial<Import> = {}): Import => ({
	kind: "nodeImport",
	nodeId: second,
	formerNodeId: former,
	pools: [fixturePool({ id: ids.pool, nodeIds: [former], nodes: [poolReport], phase: "ready" })],
	networks: [fixtureNetwork({ id: ids.network, nodes: [networkReport] })],
	images: [
		fixtureImage({ id: ids.image, poolId: ids.pool, nodeId: former, name: "debian", generation: 4, phase: "ready" }),
	],
	volumes: [
		fixtureVolume({
			...{ id: ids.volume, name: "root", poolId: ids.pool, nodeId: former, vmId: ids.vm, phase: "ready" },
			...{ source: { kind: "image", imageId: ids.image, fullCopy: false }, generation: 3 },
		}),
	],
	vms: [
		fixtureVm({
			...{ id: ids.vm, name: "web", nodeId: former, generation: 7, desiredPower: "running" },
			spec: fixtureVmSpec({
				disks: [{ id: "disk-0", volumeId: ids.volume, bus: "virtio", cache: "none", discard: true, readOnly: false }],
				cdroms: [{ id: "cd-0", imageId: ids.image }],
				nics: [nic(ids.network)],
			}),
			status: fixtureVmStatus({ powerState: "running", observedGeneration: 7, taskId: fixtureId(0xf40) }),
		}),
	],
	renameSuffix: null,
	...changes,
});
const phase = () => store.get("node", second)?.status.phase;

beforeEach(async () => {
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	for (const body of fixtureMember({ id: second, name: "node-2" }, clock.nowMs()).slice(0, 2)) await apply(body);
});
afterEach(() => store.close());

describe("what a node brings", () => {
	test("snapshots come with their VM, and those of a VM that comes back are as its node has them", async () => {
		const of = (number: number, changes: Partial<Snapshot> = {}) =>
			fixtureSnapshot({ id: fixtureId(number), name: `s${number}`, vmId: ids.vm, phase: "ready", ...changes });
		const one = of(0xf51, { current: true });
		await apply(brings({ snapshots: [one, of(0xf52, { phase: "deleting" }), of(0xf53, { vmId: clusterIds.pool })] }));
		expect(store.all("snapshot")).toMatchObject([
			{ id: one.id, current: true, phase: "ready" },
			{ id: fixtureId(0xf52), phase: "error", error: { code: "canceled" } },
		]);
		await apply({ kind: "nodeRemove", id: second, leaving: false, confirmName: "node-2" });
		const third = fixtureId(0x997);
		for (const body of fixtureMember({ id: third, name: "node-3" }, clock.nowMs()).slice(0, 2)) await apply(body);
		const mine = of(0xf54, { current: true });
		await apply(brings({ nodeId: third, formerNodeId: second, snapshots: [mine] }));
		expect(store.get("vm", ids.vm)?.nodeId).toBe(third);
		expect(store.all("snapshot").map(({ id }) => id)).toEqual([mine.id]);
	});
	test("is the cluster's, as it was; default pool and network are those that are there", async () => {
		const { targets } = await apply(brings());
		expect(targets).toEqual([{ kind: "node", id: second }]);
		expect(store.all("pool")).toMatchObject([
			{ id: clusterIds.pool, nodeIds: [clusterIds.node, second], nodes: [{ nodeId: second }], phase: "degraded" },
		]);
		expect(store.all("network")).toMatchObject([
			{ id: clusterIds.network, nodes: [{ nodeId: second, health: "healthy", bridge: "lq1" }] },
		]);
		expect(store.all("image")).toMatchObject([
			{ id: ids.image, nodeId: second, poolId: clusterIds.pool, generation: 4, phase: "ready" },
		]);
		expect(store.all("volume")).toMatchObject([
			{ id: ids.volume, nodeId: second, poolId: clusterIds.pool, vmId: ids.vm, generation: 3 },
		]);
		expect(store.get("vm", ids.vm)).toMatchObject({
			...{ nodeId: second, generation: 7, desiredPower: "running", createdAt: fixtureVm().createdAt },
			spec: { nics: [nic(clusterIds.network)], cdroms: [{ imageId: ids.image }] },
			status: { powerState: "running", taskId: null, observedGeneration: 7 },
		});
		expect(store.get("node", second)?.status).toMatchObject({ phase: "not-ready", reason: "Starting" });
		expect(store.macInUse("52:54:00:00:0f:01")).toBe(true);
	});

	test("comes once: again, it changes nothing, and has the same result", async () => {
		const first = await apply(brings());
		await apply({
			kind: "vmUpdate",
			id: ids.vm,
			name: "other",
			task: fixtureTask("vm.update", { kind: "vm", id: ids.vm }),
		});
		const again = await apply(brings({ vms: [fixtureVm({ id: fixtureId(0xf11), name: "more", nodeId: former })] }));
		expect(again.targets).toEqual(first.targets);
		expect([store.count("vm"), store.get("vm", ids.vm)?.name]).toEqual([1, "other"]);
	});

	test("has pools and networks of its own where the cluster has no such ones", async () => {
		const bridge = fixtureNetwork({ id: fixtureId(0xf05), name: "lan", config: { kind: "bridge", bridge: "br0" } });
		const fast = fixturePool({ id: fixtureId(0xf06), name: "fast", config: { path: "/fast" }, nodeIds: [former] });
		const { pools, networks } = brings();
		await apply(brings({ pools: [...pools, { ...fast, nodes: [poolReport] }], networks: [...networks, bridge] }));
		expect(store.get("network", bridge.id)).toMatchObject({ name: "lan", nodes: [] });
		expect(store.get("pool", fast.id)).toMatchObject({
			...{ nodeIds: [second], nodes: [{ nodeId: second }], phase: "ready" },
		});
	});

	test("can be worked on again, though no task came along", async () => {
		const [root] = brings().volumes;
		const volume = (number: number, phase: Volume["phase"], vmId: string | null = null): Volume => ({
			...{ ...(root as Volume), id: fixtureId(0xf20 + number), name: `v-${number}`, source: { kind: "empty" } },
			...{ phase, vmId },
		});
		const volumes = [
			volume(0, "creating", ids.vm),
			volume(1, "creating"),
			volume(2, "resizing"),
			volume(3, "deleting"),
		];
		const images = brings().images.map((image) => ({ ...image, phase: "importing" as const }));
		await apply(brings({ volumes, images }));
		expect(store.list("volume", { limit: 10 }).items.map(({ phase, error }) => [phase, error?.code])).toEqual([
			["pending", undefined],
			["error", "canceled"],
			["ready", undefined],
			["deleting", undefined],
		]);
		expect(store.get("image", ids.image)).toMatchObject({ phase: "error", error: { code: "canceled" } });
	});

	test("leaves behind a NAT network that nothing uses, whatever it clashes with", async () => {
		await apply(brings({ vms: [], volumes: [], networks: [fixtureNetwork({ id: ids.network, name: "other" })] }));
		expect(store.count("network")).toBe(1);
		expect(phase()).toBe("not-ready");
	});

	test("is nothing but itself for a witness, which would have no use for a pool", async () => {
		const witness = { id: fixtureId(0x997), name: "node-3", witness: true };
		// The one before has not come: it is not waited for.
		clock.advance(60_000);
		for (const body of fixtureMember(witness, clock.nowMs()).slice(0, 2)) await apply(body);
		await refused(brings({ nodeId: witness.id }), "invalid", "witness");
		await apply(brings({ nodeId: witness.id, images: [], volumes: [], vms: [] }));
		expect(store.all("pool")).toMatchObject([{ nodeIds: [clusterIds.node] }]);
		expect(store.get("node", witness.id)?.status.phase).toBe("not-ready");
	});

	test("is not taken from a node that nobody admitted, or that has left", async () => {
		await refused(brings({ nodeId: fixtureId(0x900) }), "not-found");
		await apply({ kind: "nodeRemove", id: second, leaving: true, confirmName: null });
		await refused(brings(), "wrong-state");
	});
});

describe("what clashes", () => {
	const taken = async () => {
		const task = (kind: Parameters<typeof fixtureTask>[0], target: Parameters<typeof fixtureTask>[1]) =>
			fixtureTask(kind, target, { id: fixtureId(0x1000 + store.count("task")) });
		await apply({
			...{ kind: "imageCreate", image: fixtureImage({ name: "DEBIAN" }) },
			task: task("image.import", { kind: "image", id: fixtureImage().id }),
		});
		await apply({
			...{ kind: "vmCreate", vm: fixtureVm({ name: "Web" }), volumes: [] },
			task: task("vm.create", { kind: "vm", id: fixtureVm().id }),
		});
		await apply({
			...{ kind: "volumeCreate", volume: fixtureVolume({ name: "root" }) },
			task: task("volume.create", { kind: "volume", id: fixtureVolume().id }),
		});
	};

	test("by name is refused with everything that does, and changes nothing", async () => {
		await taken();
		await expect(apply(brings())).rejects.toMatchObject({
			code: "already-exists",
			fields: [{ path: "/image/debian" }, { path: "/volume/root" }, { path: "/vm/web" }],
		});
		expect([store.count("vm"), store.count("image"), phase()]).toEqual([1, 1, "joining"]);
		expect(store.get("pool", clusterIds.pool)?.nodeIds).toEqual([clusterIds.node]);
	});

	test("by name is renamed when that is asked for", async () => {
		await taken();
		await apply(brings({ renameSuffix: "node-2" }));
		expect([store.get("vm", ids.vm)?.name, store.get("image", ids.image)?.name]).toEqual([
			"web-node-2",
			"debian-node-2",
		]);
		expect(store.get("volume", ids.volume)?.name).toBe("root-node-2");
		await refused(brings({ nodeId: fixtureId(0x997), renameSuffix: "a b" }), "not-found");
	});

	test("by MAC address or addresses is refused, whatever is renamed", async () => {
		const spec = fixtureVmSpec({ nics: [nic(clusterIds.network)] });
		await apply({
			...{ kind: "vmCreate", vm: fixtureVm({ spec }), volumes: [] },
			task: fixtureTask("vm.create", { kind: "vm", id: fixtureVm().id }),
		});
		await refused(brings({ renameSuffix: "node-2" }), "already-exists", "MAC address 52:54:00:00:0f:01");
		const networks = [fixtureNetwork({ id: ids.network, name: "private" })];
		await refused(brings({ networks, renameSuffix: "node-2" }), "already-exists", "overlapping addresses");
		await refused(brings({ renameSuffix: "a b" }), "invalid");
	});

	test("also what does not fit together in itself", async () => {
		await refused(brings({ networks: [] }), "invalid", "no network");
		await refused(brings({ images: [] }), "invalid", "no image");
		await refused(brings({ volumes: [] }), "invalid", "no volume");
		await refused(brings({ pools: [] }), "invalid", "no storage pool");
		const [vm] = brings().vms;
		const twice = [vm as never, { ...(vm as object), name: "twin" } as never];
		await refused(brings({ vms: twice }), "already-exists");
		await refused(brings({ vms: [{ ...(vm as object), name: "a/b" } as never] }), "invalid");
		const nested = fixturePool({ id: fixtureId(0xf06), name: "nested", nodeIds: [former] });
		nested.config = { path: `${localPath(fixturePool())}/nested` };
		await refused(brings({ pools: [...brings().pools, nested] }), "already-exists", "uses");
		expect([store.count("vm"), store.count("pool"), store.count("volume"), phase()]).toEqual([0, 1, 0, "joining"]);
	});
});

describe("a node that comes back after it was removed", () => {
	const third = fixtureId(0x997);
	/** It was `second` in this cluster; it comes as `third`, with what its own copy says. */
	const comeBack = async () => {
		for (const body of fixtureMember({ id: third, name: "node-2" }, clock.nowMs()).slice(0, 2)) await apply(body);
		const here = { nodeId: second };
		const poolId = clusterIds.pool;
		await apply(
			brings({
				...{ nodeId: third, formerNodeId: second },
				pools: store.all("pool"),
				networks: store.all("network"),
				images: brings().images.map((image) => ({ ...image, ...here, poolId })),
				volumes: brings().volumes.map((volume) => ({ ...volume, ...here, poolId })),
				vms: brings().vms.map((vm) => ({
					...{ ...vm, ...here, name: "name-of-then" },
					spec: { ...vm.spec, nics: [nic(clusterIds.network)] },
				})),
			}),
		);
	};
	beforeEach(async () => {
		await apply(brings());
		await apply({ kind: "nodeRemove", id: second, leaving: false, confirmName: "node-2" });
	});

	test("has its VMs again, under its new id, as the cluster knows them", async () => {
		expect(store.get("vm", ids.vm)?.status.powerState).toBe("unknown");
		await comeBack();
		expect(store.get("node", third)?.name).toBe("node-2-2");
		expect(store.get("vm", ids.vm)).toMatchObject({ nodeId: third, name: "web" });
		expect([store.get("volume", ids.volume)?.nodeId, store.get("image", ids.image)?.nodeId]).toEqual([third, third]);
		expect(store.get("pool", clusterIds.pool)?.nodeIds).toEqual([clusterIds.node, third]);
		await apply({ kind: "nodeGone", id: second });
	});

	test("does not have those that are on another node now", async () => {
		// As a move of the VM alone would leave it; its disks are lost with the node for this test.
		const remove = (kind: "vmDelete", id: string): CommandBody => ({
			...{ kind, id, deleteVolumes: true },
			task: fixtureTask("vm.delete", { kind: "vm", id }, { id: fixtureId(0x5000) }),
		});
		await apply(remove("vmDelete", ids.vm));
		await apply({
			...{ kind: "vmCreate", vm: fixtureVm({ id: ids.vm, name: "elsewhere" }), volumes: [] },
			task: fixtureTask("vm.create", { kind: "vm", id: ids.vm }, { id: fixtureId(0x5001) }),
		});
		await comeBack();
		expect(store.get("vm", ids.vm)).toMatchObject({ nodeId: clusterIds.node, name: "elsewhere" });
		expect(store.get("volume", ids.volume)).toMatchObject({ nodeId: third, vmId: null });
	});

	test("brings what was deleted meanwhile, since it still has it", async () => {
		await apply({
			...{ kind: "vmDelete", id: ids.vm, deleteVolumes: true },
			task: fixtureTask("vm.delete", { kind: "vm", id: ids.vm }, { id: fixtureId(0x5000) }),
		});
		await comeBack();
		expect(store.get("vm", ids.vm)).toMatchObject({ nodeId: third, name: "name-of-then" });
		expect(store.get("volume", ids.volume)).toMatchObject({ nodeId: third, vmId: ids.vm });
	});

	test("is not a member's twin", async () => {
		for (const body of fixtureMember({ id: third, name: "node-3" }, clock.nowMs()).slice(0, 2)) await apply(body);
		const twin = brings({ nodeId: third, formerNodeId: clusterIds.node });
		await refused(twin, "already-exists", "is a copy of");
	});
});
