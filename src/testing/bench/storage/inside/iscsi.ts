/**
 * A pool on a LUN of the kernel's target, beside LVM on another LUN of it, with the same device mapper and, where the layout is thick, the same locks
 * (lvmlockd with sanlock). The bare tool is what an administrator would type: `lvcreate` and, where a copy is to rest on another disk, a qcow2
 * overlay in it; `lvcreate -s` where the volumes are thin.
 */
import { present } from "../../../../lib/assert.ts";
import { systemClock } from "../../../../lib/clock.ts";
import { idSource } from "../../../../lib/ids.ts";
import { systemRandom } from "../../../../lib/random.ts";
import { run } from "../../../../lib/run.ts";
import { GiB } from "../../../../lib/units.ts";
import { Lvm } from "../../../../storage/iscsi-lvm/lvm.ts";
import { labLuns, lunDevices, nodeId, wwidOf } from "../../../lab/storage-vm/inside/iscsi-pool.ts";
import { startLockManager } from "../../../lab/storage-vm/inside/lock-manager.ts";
import type { Figures } from "../../bench.ts";
import { type BareTool, driverRounds } from "../driver-rounds.ts";

const lunBytes = 1024 * GiB;
const group = "bare";
const { newId } = idSource(systemClock, systemRandom);
const limit = { timeoutMs: 120_000 };

export async function iscsiRounds(layout: "thick" | "thin", rounds: number): Promise<Figures> {
	const lab = await labLuns({ portals: ["10.88.0.2"], sizes: [lunBytes, lunBytes] });
	const isShared = layout === "thick";
	if (isShared) await startLockManager("bench");
	const driver = lab.driver(newId(), { layout, hostIds: { [nodeId]: 1 } });
	await driver.activate();
	const device = present((await lunDevices(wwidOf(2)))[0], "the second LUN");
	const bare = isShared ? await thickOn(device) : await thinOn(device);
	const prefix = layout === "thick" ? "storageIscsiThick" : "storageIscsiThin";
	return await driverRounds({ prefix, driver, bare, newId, rounds });
}

const pathOf = (name: string): string => `/dev/${group}/${name}`;

/** With the host's own settings. */
function lvmOf(device: string, hostId: number | null) {
	const lvm = new Lvm({ nodeId, hostId, folder: null, timeoutMs: limit.timeoutMs });
	return async (...args: string[]): Promise<void> => {
		await lvm.change(args, { devices: [device] });
	};
}

/** Logical volumes with a qcow2 disk in each, active for this node alone while it is written. */
async function thickOn(device: string): Promise<BareTool> {
	const lvm = lvmOf(device, 1);
	await lvm("vgcreate", "--shared", group, device);
	await lvm("vgchange", "--lockstart", group);
	const make = async (name: string, bytes: number, ...overlay: string[]) => {
		await lvm("lvcreate", "--yes", "--activate", "ey", "--wipesignatures", "n", "-L", `${bytes}b`, "-n", name, group);
		await run("qemu-img", ["create", "-q", "-f", "qcow2", ...overlay, "--", pathOf(name), `${diskBytes}`], limit);
		await lvm("lvchange", "--activate", "n", `${group}/${name}`);
	};
	/** The disk below is only named, not looked at. */
	const over = (from: string) => ["-u", "-F", "qcow2", "-b", pathOf(from)];
	let diskBytes = 0;
	let withTables = 0;
	return {
		async create(name, bytes) {
			diskBytes = bytes;
			withTables ||= Math.ceil((await measured(bytes)) / extentBytes) * extentBytes;
			await make(name, withTables);
		},
		clone: (from, name) => make(name, withTables, ...over(from)),
		snapshot: (name, snapshot) => make(`${name}-${snapshot}`, withTables, ...over(name)),
		delete: async (name) => {
			const isSource = name.startsWith("bare-") && !name.endsWith("-copy");
			await lvm("lvremove", "--yes", `${group}/${name}`, ...(isSource ? [`${group}/${name}-one`] : []));
		},
	};
}

const extentBytes = 4 * 1024 * 1024;

async function measured(bytes: number): Promise<number> {
	const { stdout } = await run("qemu-img", ["measure", "--output=json", "-O", "qcow2", "--size", `${bytes}`], limit);
	return (JSON.parse(stdout) as { "fully-allocated": number })["fully-allocated"];
}

async function thinOn(device: string): Promise<BareTool> {
	const lvm = lvmOf(device, null);
	await lvm("vgcreate", group, device);
	await lvm("lvcreate", "--yes", "--type", "thin-pool", "--zero", "y", "-l", "90%FREE", "-n", "pool", group);
	const copy = (from: string, name: string) => lvm("lvcreate", "--yes", "-s", "-n", name, `${group}/${from}`);
	return {
		create: (name, bytes) =>
			lvm("lvcreate", "--yes", "--wipesignatures", "n", "-V", `${bytes}b`, "-n", name, "--thinpool", `${group}/pool`),
		clone: copy,
		snapshot: (name, snapshot) => copy(name, `${name}-${snapshot}`),
		delete: async (name) => {
			const isSource = name.startsWith("bare-") && !name.endsWith("-copy");
			await lvm("lvremove", "--yes", `${group}/${name}`, ...(isSource ? [`${group}/${name}-one`] : []));
		},
	};
}
