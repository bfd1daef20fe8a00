/**
 * A pool without iSCSI and without device-mapper, for machines whose kernel has neither: real LVM on a loop device changes its real
 * metadata, told to leave the kernel alone; a logical volume that is activated is another loop device on its part of the file. What
 * this cannot show (locks, multipath, LVM's own activation) is tested in the lab VM.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, readlink, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import { AppError } from "../../../lib/errors.ts";
import { silentLogger } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";
import { run } from "../../../lib/run.ts";
import { MiB } from "../../../lib/units.ts";
import { newId } from "../../conformance.ts";
import type { Step } from "../../durable.ts";
import type { Connection } from "../connection.ts";
import { IscsiLvmDriver, type IscsiLvmDriverOptions } from "../driver.ts";
import { VolumeGroup } from "../group.ts";
import { Lvm } from "../lvm.ts";
import { devicePath } from "../names.ts";
import type { LvRecord } from "../records.ts";

export const nodeId = "01890000-0000-7000-8000-00000000000a";
const limit = { timeoutMs: 20_000 };
/** Where the first extent is: LVM aligns it, and says where. */
const firstExtentBytes = async (device: string): Promise<number> => {
	const config = 'devices/global_filter=["a|.*|"]';
	const args = ["pvs", "--devices", device, "--config", config, "--driverloaded", "n", "--foreign", "--noheadings"];
	const { stdout } = await run("lvm", [...args, "--units", "b", "--nosuffix", "-o", "pe_start"], quiet);
	return Number(stdout.trim());
};
const quiet = { ...limit, environment: { LVM_SUPPRESS_FD_WARNINGS: "1" } };

/** Activation by loop devices; "/dev/GROUP/VOLUME" is a link, as with LVM. */
class LoopGroup extends VolumeGroup {
	readonly #lvm: Lvm;
	readonly #file: string;
	readonly #step: Step;

	constructor(poolId: string, file: string, lvm: Lvm, step: Step = () => {}) {
		super({ poolId, nodeId, shared: false, layout: "thick", lvm });
		this.#lvm = lvm;
		this.#file = file;
		this.#step = step;
	}

	/** LVM changes nothing any more, as when its device fails. */
	failsChanges = () => false;

	override async record(...change: Parameters<VolumeGroup["record"]>): Promise<void> {
		if (this.failsChanges()) throw new AppError("storage", "LVM failed.");
		return super.record(...change);
	}

	override async activate(lv: string): Promise<void> {
		const path = devicePath(this.name, lv);
		await this.#step("activate a logical volume");
		if ((await target(path)) !== null || this.device === null) return;
		const [first, ...others] = await this.#pieces(lv);
		if (!first) throw new Error(`${lv} has no extents`);
		const isWhole = others.length === 0;
		if (!isWhole) await copyPieces([first, ...others], this.#file, this.#assembled(lv), "from");
		const part = isWhole ? ["--offset", `${first.offset}`, "--sizelimit", `${first.bytes}`] : [];
		const file = isWhole ? this.#file : this.#assembled(lv);
		const { stdout } = await run("losetup", ["--find", "--show", ...part, "--", file], limit);
		await mkdir(dirname(path), { recursive: true });
		await symlink(stdout.trim(), path);
	}

	/** In order. */
	async #pieces(lv: string): Promise<Piece[]> {
		if (this.device === null) return [];
		const fields = "lv_name,seg_start,seg_size,devices,vg_extent_size";
		const call = { devices: [this.device] };
		const { report } = JSON.parse(await this.#lvm.report("lvs", fields, [`${this.name}/${lv}`], call));
		const rows: Record<string, string>[] = report[0].lv;
		const firstExtent = await firstExtentBytes(this.device);
		return rows
			.toSorted((a, b) => Number(a.seg_start) - Number(b.seg_start))
			.map((row) => ({
				offset: firstExtent + Number(/\((\d+)\)/.exec(row.devices ?? "")?.[1]) * Number(row.vg_extent_size),
				bytes: Number(row.seg_size),
			}));
	}

	/** One that lies in several pieces, of which a loop device can have only one: put together while it is active. */
	#assembled(lv: string): string {
		return `${this.#file}-${lv}`;
	}

	override async deactivate(lv: string): Promise<void> {
		const path = devicePath(this.name, lv);
		await this.#step("deactivate a logical volume");
		const device = await target(path);
		if (device === null) return;
		// LVM refuses that, too; a loop device would go with its last user.
		if (await isOpen(device)) throw new AppError("in-use", `${lv} is open.`);
		await rm(path);
		await run("losetup", ["--detach", device], limit);
		const assembled = this.#assembled(lv);
		if (!existsSync(assembled)) return;
		await copyPieces(await this.#pieces(lv), this.#file, assembled, "to");
		await rm(assembled);
	}

	override async deactivateAll(): Promise<void> {
		for (const { lv } of (await this.lvs()).lvs) await this.deactivate(lv);
	}

	override async extend(lv: string, bytes: number): Promise<void> {
		const wasActive = (await target(devicePath(this.name, lv))) !== null;
		await super.extend(lv, bytes);
		if (!wasActive) return;
		await this.deactivate(lv);
		await this.activate(lv);
	}

	override async reduce(lv: string, bytes: number): Promise<void> {
		const wasActive = (await target(devicePath(this.name, lv))) !== null;
		await super.reduce(lv, bytes);
		if (!wasActive) return;
		await this.deactivate(lv);
		await this.activate(lv);
	}

	override async lvs() {
		const found = await super.lvs();
		const lvs = [];
		for (const lv of found.lvs) lvs.push({ ...lv, active: (await target(devicePath(this.name, lv.lv))) !== null });
		return { ...found, lvs };
	}
}

type Piece = { offset: number; bytes: number };

/** Between `file`, which has the pieces, and `whole`; one that is shorter ends early. */
async function copyPieces(pieces: readonly Piece[], file: string, whole: string, way: "from" | "to"): Promise<void> {
	await using from = await open(way === "from" ? file : whole, "r");
	await using to = await open(way === "from" ? whole : file, way === "from" ? "w" : "r+");
	let position = 0;
	for (const { offset, bytes } of pieces) {
		const [read, write] = way === "from" ? [offset, position] : [position, offset];
		const { buffer, bytesRead } = await from.read(Buffer.alloc(bytes), 0, bytes, read);
		await to.write(buffer, 0, bytesRead, write);
		position += bytes;
	}
	await to.sync();
}

async function target(path: string): Promise<string | null> {
	return readlink(path).catch(() => null);
}

/** To any process of this machine. */
async function isOpen(device: string): Promise<boolean> {
	for (const pid of (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name)))
		for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => []))
			if ((await target(`/proc/${pid}/fd/${fd}`)) === device) return true;
	return false;
}

export type LoopPool = {
	[Symbol.asyncDispose](): Promise<void>;
	folder: string;
	device: string;
	driver(more?: Partial<IscsiLvmDriverOptions>): IscsiLvmDriver;
	/** As the administrator of the target does it. */
	growLun(sizeBytes: number): Promise<void>;
	/** LVM takes no records. */
	failChanges(fails: boolean): void;
	/** Logical volumes as LVM lists them, with their tags. */
	lvNames(): Promise<string[]>;
	/** All that is recorded of them. */
	lvs(): Promise<{ lv: string; lvBytes: number; record: LvRecord }[]>;
	/** A logical volume that somebody else has made. */
	placeForeign(name: string): Promise<void>;
	/** One of somebody else, "ballast", takes what the group has, but for so much; null: none does. */
	leave(driver: IscsiLvmDriver, bytes: number | null): Promise<void>;
};

/** What others may call theirs: LVM takes letters, digits and "+_.-", and a group of ours leaves 84 characters. */
export const foreignLvNames = ["backup", "v-1-1", "i-x", "thin", "a+b_c.d-e", "x".repeat(80)];

export async function loopPool(sizeBytes = 600 * MiB): Promise<LoopPool> {
	const folder = await mkdtemp(join(tmpdir(), "limiquantix-loop-"));
	const file = join(folder, "lun");
	await writeFile(file, "");
	await truncate(file, sizeBytes);
	const device = (await run("losetup", ["--find", "--show", "--", file], limit)).stdout.trim();
	const poolId = newId();
	const lvm = new Lvm({ nodeId, hostId: null, folder: join(folder, "lvm"), extra: ["--driverloaded", "n"] });
	const connection: Connection = {
		connect: async () => ({ device, sizeBytes, undo: async () => {} }),
		current: async () => ({ device, sizeBytes }),
		trouble: async () => ({ dead: null, weak: null }),
		rescan: async () => ({ device, sizeBytes: (await stat(file)).size }),
		disconnect: async () => {},
	};
	let failsChanges = false;
	const place = async (name: string, bytes: number) => {
		const size = ["--size", `${bytes}b`, "--activate", "n", "--zero", "n", "--wipesignatures", "n"];
		const args = ["lvcreate", "--yes", ...size, "--name", name, "--", new LoopGroup(poolId, file, lvm).name];
		await lvm.change(args, { devices: [device] });
	};
	return {
		folder,
		device,
		driver(more = {}) {
			const group = new LoopGroup(poolId, file, lvm, more.onStep);
			group.failsChanges = () => failsChanges;
			return new IscsiLvmDriver({
				...{ poolId, nodeId, layout: "thick", shared: false, wipeOnDelete: false, connection, group },
				...{ mayInitialize: true, stagingFolder: join(folder, "staging"), protectedPaths: [] },
				...{ random: systemRandom, clock: systemClock, log: silentLogger, lockWaitMs: 4000, writes: async () => null },
				...more,
			});
		},
		async growLun(bytes) {
			await truncate(file, bytes);
			await run("losetup", ["--set-capacity", device], limit);
		},
		failChanges(fails) {
			failsChanges = fails;
		},
		async lvNames() {
			const group = new LoopGroup(poolId, file, lvm);
			group.device = device;
			return (await group.lvs()).lvs.map(({ lv }) => lv).sort();
		},
		async lvs() {
			const group = new LoopGroup(poolId, file, lvm);
			group.device = device;
			const { lvs } = await group.lvs();
			return lvs.map(({ lv, lvBytes, record }) => ({ lv, lvBytes, record }));
		},
		placeForeign: (name) => place(name, MiB),
		async leave(driver, bytes) {
			const group = new LoopGroup(poolId, file, lvm);
			group.device = device;
			await group.removeLv("ballast");
			if (bytes === null) return;
			const { availableBytes } = await driver.check();
			if (availableBytes > bytes) await place("ballast", availableBytes - bytes);
		},
		async [Symbol.asyncDispose]() {
			const group = new LoopGroup(poolId, file, lvm);
			group.device = device;
			await group.deactivateAll().catch(() => {});
			await rm(`/dev/${group.name}`, { recursive: true, force: true });
			await run("losetup", ["--detach", device], limit);
			await rm(folder, { recursive: true, force: true });
		},
	};
}
