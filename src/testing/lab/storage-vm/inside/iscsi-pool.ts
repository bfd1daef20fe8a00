/** Inside the storage lab VM: a target with LUNs, this machine as the node, and drivers on one of them. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../../../lib/clock.ts";
import { silentLogger } from "../../../../lib/log.ts";
import { systemRandom } from "../../../../lib/random.ts";
import { run } from "../../../../lib/run.ts";
import type { IscsiLvmPoolConfig, PoolCredentials } from "../../../../model/pool-config.ts";
import { createIscsiLvmDriver, type IscsiLvmPool } from "../../../../storage/iscsi-lvm/create.ts";
import type { IscsiLvmDriver } from "../../../../storage/iscsi-lvm/driver.ts";
import { lvmConfig } from "../../../../storage/iscsi-lvm/lvm.ts";
import { groupName, thinPoolName } from "../../../../storage/iscsi-lvm/names.ts";
import { Sysfs } from "../../../../storage/iscsi-lvm/sysfs.ts";
import { type BackingDisk, makeBackingDisk } from "./backing-disk.ts";
import { startIscsiInitiator } from "./iscsi-initiator.ts";
import { type IscsiTarget, makeIscsiTarget } from "./iscsi-target.ts";
import { type LabHost, makeHost } from "./lab-network.ts";

export const limit = { timeoutMs: 40_000 };
export const chap = { user: "node", password: "initiator-secret" };
export const mutualChap = { user: "target", password: "target-secret-1" };
export const credentials: PoolCredentials = { chapPassword: chap.password, mutualChapPassword: mutualChap.password };
export const nodeId = "01890000-0000-7000-8000-00000000000a";

export const serialOf = (lun: number): string => `${lun}e2f1a52-7d0b-4e11-9a43-0f5c2b9d8e71`;
/** LIO's NAA 6 identifier: the company, then digits of the serial number. */
export const wwidOf = (lun: number): string => `naa.6001405${serialOf(lun).replaceAll("-", "").slice(0, 25)}`;

export type LabLuns = {
	server: LabHost;
	target: IscsiTarget;
	disks: BackingDisk[];
	folder: string;
	config(more?: Partial<IscsiLvmPoolConfig>): IscsiLvmPoolConfig;
	driver(poolId: string, more?: Partial<IscsiLvmPoolConfig>, pool?: Partial<IscsiLvmPool>): IscsiLvmDriver;
	/** A logical volume that somebody else has made. */
	placeForeign(poolId: string, name: string): Promise<void>;
	/** Logical volumes of a pool's group as LVM lists them, but for what holds the thin ones. */
	lvNames(poolId: string): Promise<string[]>;
	/** Takes a pool's group away, whatever is in it, and makes the LUN empty. */
	clear(poolId: string): Promise<void>;
	close(): Promise<void>;
};

/** Programs that Debian has udev start by the dozen whenever a LUN was open for writing; nothing here needs what they find. */
const idleRules = ["55-scsi-sg3_id.rules", "58-scsi-sg3_symlink.rules", "99-nfs.rules"];

export type LabLunsOptions = {
	portals: string[];
	sizes: number[];
	withChap?: boolean;
	/** Of a LUN; default: one that never fails. */
	makeDisk?: (path: string, sizeBytes: number) => Promise<BackingDisk>;
};

export async function labLuns(options: LabLunsOptions): Promise<LabLuns> {
	const { makeDisk = makeBackingDisk } = options;
	for (const name of idleRules) await writeFile(`/etc/udev/rules.d/${name}`, "");
	await run("udevadm", ["control", "--reload"], limit);
	const server = await makeHost("server", options.portals);
	const disks: BackingDisk[] = [];
	for (const [at, size] of options.sizes.entries()) disks.push(await makeDisk(`/data/lun-${at + 1}`, size));
	const target = await makeIscsiTarget({
		...{ name: "iqn.2026-11.test.limiquantix:pool", host: server, portals: options.portals },
		units: disks.map(({ device }, at) => ({ device, serial: serialOf(at + 1) })),
		...(options.withChap ? { chap, mutualChap } : {}),
	});
	const initiator = await startIscsiInitiator("iqn.2026-11.test.limiquantix:node");
	await mkdir("/data/tmp", { recursive: true });
	const folder = await mkdtemp("/data/tmp/iscsi-");
	const config = (more: Partial<IscsiLvmPoolConfig> = {}): IscsiLvmPoolConfig => ({
		...{
			portals: options.portals,
			target: target.name,
			wwid: wwidOf(1),
			layout: "thick",
			wipeOnDelete: false,
			hostIds: {},
		},
		...(options.withChap
			? { chapUser: chap.user, mutualChapUser: mutualChap.user }
			: { chapUser: null, mutualChapUser: null }),
		...more,
	});
	return {
		...{ server, target, disks, folder, config },
		driver: (poolId, more = {}, pool = {}) =>
			createIscsiLvmDriver({
				...{ poolId, config: config(more), credentials: options.withChap ? credentials : null, wasReady: false },
				...{ nodeId, runFolder: join(folder, "run"), stagingFolder: join(folder, "staging"), protectedPaths: [] },
				...{ random: systemRandom, clock: systemClock, log: silentLogger },
				...pool,
			}),
		async placeForeign(poolId, name) {
			const size = ["--size", "1m", "--activate", "n", "--zero", "n", "--wipesignatures", "n"];
			const common = await lvmOptions();
			await run("lvm", ["lvcreate", ...common, "--yes", ...size, "--name", name, "--", groupName(poolId)], limit);
		},
		async lvNames(poolId) {
			const args = ["lvs", ...(await lvmOptions()), "--noheadings", "--options", "lv_name", "--", groupName(poolId)];
			const names = (await run("lvm", args, limit)).stdout.split("\n").map((name) => name.trim());
			return names.filter((name) => name !== "" && name !== thinPoolName).sort();
		},
		async clear(poolId) {
			const common = await lvmOptions();
			for (const args of [
				["vgchange", ...common, "--activate", "n", groupName(poolId)],
				["vgremove", ...common, "--yes", "--force", groupName(poolId)],
			])
				await run("lvm", args, { ...limit, okExitCodes: [0, 5] });
			for (const device of await lunDevices(wwidOf(1))) await run("blkdiscard", ["--force", "--", device], limit);
		},
		async close() {
			await run("iscsiadm", ["-m", "node", "--logoutall=all"], { ...limit, okExitCodes: [0, 21] });
			await initiator[Symbol.asyncDispose]();
			await target[Symbol.asyncDispose]();
			for (const disk of disks) await disk[Symbol.asyncDispose]();
			await server[Symbol.asyncDispose]();
			await rm(folder, { recursive: true, force: true });
		},
	};
}

/** The disk behind the LUN, which LVM would find as well, is not looked at. */
const lvmOptions = async (): Promise<string[]> => [
	...["--config", lvmConfig({ nodeId, hostId: null })],
	...(await lunDevices(wwidOf(1))).flatMap((device) => ["--devices", device]),
];

/** /dev/sdX of a LUN, by all its paths. */
export async function lunDevices(wwid: string): Promise<string[]> {
	const sysfs = new Sysfs();
	const found: string[] = [];
	for (const { name } of await sysfs.sessions())
		for (const disk of await sysfs.disks(name)) if (disk.wwid === wwid) found.push(`/dev/${disk.device}`);
	return found;
}

export const sessionCount = async (): Promise<number> => (await new Sysfs().sessions()).length;
