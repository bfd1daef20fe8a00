/**
 * iSCSI sessions and their disks as the kernel lists them. Reading these files asks no device: a dead one does not hold us up. A disk
 * is known by its WWID (VPD page 0x83), never by its name or place.
 */
import { readdir, readFile, realpath } from "node:fs/promises";
import { basename, join } from "node:path";
import { errnoOf, fileError } from "../file-errors.ts";

export type IscsiSession = {
	/** "session3". */
	name: string;
	target: string;
	/** Of its connection. */
	host: string;
	port: number;
	/** LOGGED_IN, FAILED (the connection is being made again), FREE. */
	state: string;
};

export type IscsiDisk = {
	session: string;
	/** "sdb". */
	device: string;
	lun: number;
	wwid: string;
	vendor: string;
	model: string;
	sizeBytes: number;
	/** "running"; "transport-offline", "blocked" … when it does not answer. */
	state: string;
};

export class Sysfs {
	readonly #root: string;

	constructor(root = "/sys") {
		this.#root = root;
	}

	async sessions(): Promise<IscsiSession[]> {
		const folder = join(this.#root, "class/iscsi_session");
		const found: IscsiSession[] = [];
		for (const name of await list(folder)) {
			const number = /^session([0-9]+)$/.exec(name)?.[1];
			const target = await text(join(folder, name, "targetname"));
			if (number === undefined || target === null) continue;
			const connection = join(this.#root, "class/iscsi_connection", `connection${number}:0`);
			const host = (await text(join(connection, "persistent_address"))) ?? "";
			const port = Number((await text(join(connection, "persistent_port"))) ?? 0);
			found.push({ name, target, host, port, state: (await text(join(folder, name, "state"))) ?? "" });
		}
		return found;
	}

	async disks(session: string): Promise<IscsiDisk[]> {
		const device = join(this.#root, "class/iscsi_session", session, "device");
		const found: IscsiDisk[] = [];
		for (const target of (await list(device)).filter((name) => name.startsWith("target")))
			for (const address of await list(join(device, target))) {
				const lun = /^[0-9]+:[0-9]+:[0-9]+:([0-9]+)$/.exec(address)?.[1];
				if (lun === undefined) continue;
				const folder = join(device, target, address);
				const [name] = await list(join(folder, "block"));
				if (name === undefined) continue;
				const read = async (file: string) => (await text(join(folder, file))) ?? "";
				const sectors = Number(await read(`block/${name}/size`));
				found.push({
					...{ session, device: name, lun: Number(lun), wwid: sameWwid(await read("wwid")) },
					...{ vendor: await read("vendor"), model: await read("model"), state: await read("state") },
					sizeBytes: Number.isSafeInteger(sectors) ? sectors * 512 : 0,
				});
			}
		return found;
	}

	/** What is stacked on a block device: names of device-mapper devices. */
	holders = (device: string): Promise<string[]> => list(join(this.#root, "block", device, "holders"));

	/** Devices that a device-mapper device consists of. */
	parts = (device: string): Promise<string[]> => list(join(this.#root, "block", device, "slaves"));

	/** "mpath-…" for multipath, "LVM-…" for logical volumes; null for what is no device-mapper device. */
	mapperUuid = (device: string): Promise<string | null> => text(join(this.#root, "block", device, "dm/uuid"));

	mapperName = (device: string): Promise<string | null> => text(join(this.#root, "block", device, "dm/name"));

	/** Names of all device-mapper devices, as mapperName tells them. */
	async mapperNames(): Promise<string[]> {
		const devices = (await list(join(this.#root, "block"))).filter((name) => name.startsWith("dm-"));
		return (await Promise.all(devices.map(this.mapperName))).filter((name) => name !== null);
	}

	/** "8:16", as the kernel's list of mounts names it; `path`: "sdb", or "sdb/sdb1" for a partition. */
	number = (path: string): Promise<string | null> => text(join(this.#root, "block", path, "dev"));

	/** Of a disk, "sdb/sdb1": a partition has its own number and its own holders. */
	async partitions(device: string): Promise<string[]> {
		const folder = join(this.#root, "block", device);
		const found: string[] = [];
		for (const name of await list(folder))
			if ((await text(join(folder, name, "partition"))) !== null) found.push(`${device}/${name}`);
		return found;
	}

	async sizeBytes(device: string): Promise<number> {
		return Number((await text(join(this.#root, "block", device, "size"))) ?? 0) * 512;
	}

	/** Reads and writes that a device has done since it was made; null when there is none. */
	async writes(device: string): Promise<number | null> {
		const fields = (await text(join(this.#root, "block", device, "stat")))?.split(/\s+/) ?? [];
		const [writes, discards] = [Number(fields[4]), Number(fields[11] ?? 0)];
		return Number.isSafeInteger(writes) ? writes + (Number.isSafeInteger(discards) ? discards : 0) : null;
	}

	/** "dm-3" for "/dev/group/volume". */
	async deviceOf(path: string): Promise<string | null> {
		try {
			return basename(await realpath(path));
		} catch (error) {
			if (errnoOf(error) === "ENOENT") return null;
			throw fileError(error, "looking at a device");
		}
	}
}

/** The kernel pads T10 names with blanks, and cuts them nowhere. */
export const sameWwid = (text: string): string => text.trim().replace(/\s+/g, " ");

async function list(folder: string): Promise<string[]> {
	try {
		return (await readdir(folder)).sort();
	} catch (error) {
		if (gone(error)) return [];
		throw fileError(error, "reading the kernel's list of devices");
	}
}

async function text(path: string): Promise<string | null> {
	try {
		return (await readFile(path, "utf8")).trim();
	} catch (error) {
		if (gone(error)) return null;
		throw fileError(error, "reading the kernel's list of devices");
	}
}

/** Devices go while one looks: their files then are missing, or cannot be read any more. */
const gone = (error: unknown): boolean =>
	["ENOENT", "ENOTDIR", "ENODEV", "ENXIO", "EINVAL", "EIO"].includes(errnoOf(error) ?? "");
