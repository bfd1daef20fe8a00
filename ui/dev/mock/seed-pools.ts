/** Pools that the mock starts with: of each type, and on wish some that do not work everywhere. */
import { GiB, TiB } from "../../../src/lib/units.ts";
import { poolPhase } from "../../../src/model/storage-rules.ts";
import { cephRbdCapabilities } from "../../../src/storage/ceph-rbd/capabilities.ts";
import { capabilitiesOf as iscsiCapabilities } from "../../../src/storage/iscsi-lvm/capabilities.ts";
import {
	localCapabilities,
	noReflink,
	sharedCapabilities,
	withoutThick,
} from "../../../src/storage/local/capabilities.ts";
import type { Pool } from "../../api/types.ts";
import type { MockState } from "./state.ts";

type Capabilities = NonNullable<Pool["nodes"][number]["capabilities"]>;

const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();

/** As the drivers say it, so that the pages show here what they show on a node. */
export function capabilitiesOf(type: Pool["type"]): Capabilities {
	switch (type) {
		case "local":
			return localCapabilities;
		case "nfs":
			return sharedCapabilities;
		case "ceph-rbd":
			return cephRbdCapabilities;
		case "iscsi-lvm":
			return iscsiCapabilities("thick", true);
	}
}

export const healthyOn = (
	nodeId: string,
	type: Pool["type"],
	totalBytes: number,
	usedBytes: number,
): Pool["nodes"][number] => ({
	...{ nodeId, health: "healthy", reason: null },
	...{ totalBytes, usedBytes, availableBytes: totalBytes - usedBytes },
	capabilities: capabilitiesOf(type),
	updatedAt: ago(1),
});

/** The first two are local: VMs have their disks there. */
export function seedPools(state: MockState, onlyLocal: boolean): Pool[] {
	const pool = (
		about: Pick<Pool, "name" | "type" | "config" | "description">,
		totalBytes: number,
		usedBytes: number,
	): Pool =>
		state.put("pool", {
			...state.metadata(),
			createdAt: ago(60 * 24 * 9),
			...about,
			nodeIds: [state.nodeId],
			phase: "ready",
			nodes: [healthyOn(state.nodeId, about.type, totalBytes, usedBytes)],
		});
	const local = (name: string, description: string, path: string) => ({
		...{ name, type: "local" as const, description, config: { path } },
	});
	const pools = [
		pool(local("local", "Made at the first start.", "/var/lib/limiquantix/pools/local"), 1800 * GiB, 612 * GiB),
		pool(local("fast", "NVMe", "/srv/nvme"), 480 * GiB, 428 * GiB),
	];
	if (onlyLocal) return pools;
	const nfs = { server: "nas1.example.net", exportPath: "/export/vms", folder: "berlin", version: "4.2" } as const;
	const ceph = { monitors: ["10.0.0.11", "10.0.0.12", "10.0.0.13"], user: "limiquantix", cephPool: "vms" };
	const target = "iqn.2026-01.net.example:storage.disks";
	const iscsi = { portals: ["10.0.1.5:3260", "10.0.2.5:3260"], target, wwid: "naa.6001405a1b2c3d4e5f60718293a4b5c6" };
	return [
		...pools,
		pool(
			{ name: "files", type: "nfs", description: "", config: { ...nfs, mountOptions: ["nconnect=4"] } },
			12 * TiB,
			4.4 * TiB,
		),
		pool(
			{ name: "rbd", type: "ceph-rbd", description: "", config: { ...ceph, namespace: null, dataPool: null } },
			48 * TiB,
			17 * TiB,
		),
		pool(
			{
				...{ name: "san", type: "iscsi-lvm", description: "The old array in rack 2." },
				config: {
					...{ ...iscsi, chapUser: "berlin", mutualChapUser: null, layout: "thick", wipeOnDelete: true },
					hostIds: { [state.nodeId]: 1 },
				},
			},
			4 * TiB,
			3.3 * TiB,
		),
	];
}

const needs42 = "needs NFS 4.2, and this is 4.1.";
const oldNfs = withoutThick(
	{
		...sharedCapabilities,
		reasons: {
			...{ ...sharedCapabilities.reasons, ...noReflink },
			discard: `Space that guests give back is not freed on the server: that ${needs42}`,
		},
	},
	`Volumes here are thin: setting space aside on the server ${needs42}`,
);

/** One node does not reach the cluster; one export is nowhere, and one node has mounted it by an old version. */
export function troublePools(state: MockState): void {
	const change = (name: string, change: (at: number) => Partial<Pool["nodes"][number]>) => {
		const pool = [...state.tables.pool.values()].find((one) => one.name === name);
		if (!pool) return;
		const nodes = pool.nodes.map((node, at) => ({ ...node, ...change(at) }));
		state.change("pool", pool.id, { nodes, phase: poolPhase({ ...pool, nodes }) });
	};
	change("rbd", (at) =>
		at === 1 ? { health: "error", reason: "None of the monitors answered within 10 s.", updatedAt: ago(7) } : {},
	);
	change("files", (at) => ({
		...(at === 1 ? { capabilities: oldNfs } : {}),
		...{ health: "unmounted", reason: "nas1.example.net does not answer (no route to host).", updatedAt: ago(42) },
	}));
}
