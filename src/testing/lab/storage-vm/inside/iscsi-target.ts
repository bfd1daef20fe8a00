/**
 * An iSCSI target of the kernel (LIO), made through configfs: logical units on block devices of the caller, each with a name of its
 * own in VPD page 0x83; portals on addresses of a host of the lab's network; anybody may log in, or those who know a secret.
 *
 * Source: Documentation/target/ of Linux and the files of /sys/kernel/config/target themselves.
 */
import { mkdir, readdir, rmdir, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { present } from "../../../../lib/assert.ts";
import type { LabHost } from "./lab-network.ts";

export type IscsiUnit = {
	/** Block device: a LUN on it grows with it. */
	device: string;
	/** UUID; page 0x83 has an NAA identifier made of it, and page 0x80 itself. */
	serial: string;
};

export type Chap = { user: string; password: string };

export type IscsiTargetOptions = {
	/** iqn.2026-11.test.limiquantix:… */
	name: string;
	host: LabHost;
	/** Of the host; the first one's when none is given. Port 3260. */
	portals?: readonly string[];
	/** Numbered from 1: in place of a number 0 that is not there, LIO shows a disk that has nothing and takes everything. */
	units: readonly IscsiUnit[];
	/** Of those who log in. */
	chap?: Chap;
	/** Of the target, to those who log in. Only together with `chap`. */
	mutualChap?: Chap;
};

export type IscsiTarget = AsyncDisposable & {
	readonly name: string;
	readonly portals: readonly string[];
	/** Takes a unit away under whoever uses it; further ones keep their numbers. */
	vanish(lun: number): Promise<void>;
	/** Puts a unit there, the old one or another. */
	show(lun: number, unit: IscsiUnit): Promise<void>;
	/** Nobody gets in or stays in; the portals are still open. */
	disable(): Promise<void>;
	enable(): Promise<void>;
};

const target = "/sys/kernel/config/target";
const cores = `${target}/core/iblock_0`;
const port = 3260;

export async function makeIscsiTarget(options: IscsiTargetOptions): Promise<IscsiTarget> {
	const made = new LioTarget(options);
	try {
		await made.make();
		return made;
	} catch (error) {
		await made[Symbol.asyncDispose]();
		throw error;
	}
}

class LioTarget implements IscsiTarget {
	readonly name: string;
	readonly portals: readonly string[];
	readonly #options: IscsiTargetOptions;
	readonly #group: string;
	readonly #shown = new Map<number, string>();

	constructor(options: IscsiTargetOptions) {
		this.name = options.name;
		this.portals = options.portals ?? [present(options.host.addresses[0], "an address of the target's host")];
		this.#options = options;
		this.#group = `${target}/iscsi/${options.name}/tpgt_1`;
	}

	async make(): Promise<void> {
		const { host, units, chap, mutualChap } = this.#options;
		await mkdir(this.#group, { recursive: true });
		for (const [at, unit] of units.entries()) await this.show(at + 1, unit);
		await this.#set("attrib", {
			authentication: chap === undefined ? "0" : "1",
			generate_node_acls: "1",
			cache_dynamic_acls: "1",
			demo_mode_write_protect: "0",
			demo_mode_discovery: "1",
		});
		if (chap) await this.#set("auth", { userid: chap.user, password: chap.password });
		if (mutualChap) await this.#set("auth", { userid_mutual: mutualChap.user, password_mutual: mutualChap.password });
		// The socket belongs to the network of whoever makes it.
		for (const portal of this.portals) await host.run("mkdir", [`${this.#group}/np/${portal}:${port}`]);
		await this.enable();
	}

	async enable(): Promise<void> {
		await writeFile(join(this.#group, "enable"), "1");
	}

	async disable(): Promise<void> {
		await writeFile(join(this.#group, "enable"), "0");
	}

	async show(lun: number, unit: IscsiUnit): Promise<void> {
		const core = `${cores}/lab-${unit.serial}`;
		await mkdir(core, { recursive: true });
		this.#shown.set(lun, core);
		await writeFile(join(core, "control"), `udev_path=${unit.device}`);
		await writeFile(join(core, "wwn/vpd_unit_serial"), unit.serial);
		await writeFile(join(core, "enable"), "1");
		await writeFile(join(core, "attrib/emulate_tpu"), "1");
		await mkdir(`${this.#group}/lun/lun_${lun}`);
		await symlink(core, `${this.#group}/lun/lun_${lun}/lab`);
	}

	async vanish(lun: number): Promise<void> {
		const core = this.#shown.get(lun);
		if (core === undefined) return;
		await unlink(`${this.#group}/lun/lun_${lun}/lab`).catch(whenMissing);
		await rmdir(`${this.#group}/lun/lun_${lun}`).catch(whenMissing);
		await rmdir(core);
		this.#shown.delete(lun);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.disable().catch(whenMissing);
		for (const lun of [...this.#shown.keys()]) await this.vanish(lun);
		for (const portal of await readdir(join(this.#group, "np")).catch(() => []))
			await rmdir(join(this.#group, "np", portal));
		await rmdir(this.#group).catch(whenMissing);
		await rmdir(join(this.#group, "..")).catch(whenMissing);
	}

	async #set(folder: string, values: Record<string, string>): Promise<void> {
		for (const [name, value] of Object.entries(values)) await writeFile(join(this.#group, folder, name), value);
	}
}

const whenMissing = (error: NodeJS.ErrnoException): void => {
	if (error.code !== "ENOENT") throw error;
};
