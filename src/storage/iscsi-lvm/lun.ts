/** The LUN of a pool: found by its WWID among the disks of the sessions, and as one device, however many paths lead to it. */

import { type Clock, delay } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { devicesInUse } from "./devices-in-use.ts";
import { type Iscsi, isAt } from "./iscsi.ts";
import type { Multipath, MultipathMap } from "./multipath.ts";
import type { Portal } from "./names.ts";
import { type IscsiDisk, type Sysfs, sameWwid } from "./sysfs.ts";

const appearMs = 10_000;
/** A target without LUNs is believed after this. */
const settleMs = 3000;
const pollMs = 50;

const singlePath =
	"The LUN is used by one path only: its paths are joined when the pool is connected while nothing on this node uses it.";

export type Lun = {
	/** What LVM works on: /dev/sdb, or /dev/dm-2. */
	device: string;
	sizeBytes: number;
	paths: IscsiDisk[];
	/** Those that work, as the kernel knows it: of a target that has moved, the ways to where it was stay for a while. */
	good: IscsiDisk[];
	/** Null: `device` is one of the paths, a good one if there is any. */
	map: MultipathMap | null;
};

export type LunSearch = { target: string; wwid: string };

export class Luns {
	readonly #sysfs: Sysfs;
	readonly #iscsi: Iscsi;
	readonly #multipath: Multipath;
	readonly #clock: Clock;
	readonly #taken: () => Promise<ReadonlySet<string>>;

	/** `taken`: numbers of devices that the host has mounted or swaps to; for tests. */
	constructor(sysfs: Sysfs, iscsi: Iscsi, multipath: Multipath, clock: Clock, taken = devicesInUse) {
		this.#taken = taken;
		this.#sysfs = sysfs;
		this.#iscsi = iscsi;
		this.#multipath = multipath;
		this.#clock = clock;
	}

	/** All disks of the target's sessions. */
	async disks(target: string): Promise<IscsiDisk[]> {
		const found: IscsiDisk[] = [];
		for (const session of await this.#iscsi.sessions(target)) found.push(...(await this.#sysfs.disks(session.name)));
		return found;
	}

	/** All disks of the target, after a login: the kernel finds them one after another. */
	async settled(target: string): Promise<IscsiDisk[]> {
		const deadline = this.#clock.monotonicMs() + settleMs;
		for (let before = -1; ; ) {
			const found = (await this.disks(target)).filter(({ sizeBytes }) => sizeBytes > 0);
			if ((found.length > 0 && found.length === before) || this.#clock.monotonicMs() > deadline) return found;
			before = found.length;
			await delay(this.#clock, 300);
		}
	}

	/**
	 * Something is stacked on it or on one of its partitions, other than a multipath map that nothing uses; or it is mounted, or swapped to. A
	 * file system on a bare disk has no holder. `but`: name of a device of device-mapper that does not count.
	 */
	async isUsed(disk: IscsiDisk, but = ""): Promise<boolean> {
		const devices = [disk.device, ...(await this.#sysfs.partitions(disk.device))];
		const seen = [...devices];
		for (const path of devices)
			for (const device of await this.#sysfs.holders(path)) {
				if (but !== "" && (await this.#sysfs.mapperName(device)) === but) continue;
				if (!(await this.#sysfs.mapperUuid(device))?.startsWith("mpath-")) return true;
				if ((await this.#sysfs.holders(device)).length > 0) return true;
				seen.push(device);
			}
		const taken = await this.#taken();
		for (const path of seen) {
			const number = await this.#sysfs.number(path);
			if (number !== null && taken.has(number)) return true;
		}
		return false;
	}

	/** As it is now, without waiting; null when it is not there. */
	async find({ target, wwid }: LunSearch): Promise<Lun | null> {
		const sessions = await this.#iscsi.sessions(target);
		const all = await Promise.all(sessions.map(({ name }) => this.#sysfs.disks(name)));
		const paths = all.flat().filter((disk) => disk.wwid === sameWwid(wwid));
		const live = new Set(sessions.filter(({ state }) => state === "LOGGED_IN").map(({ name }) => name));
		const good = paths.filter(({ session, state }) => state === "running" && live.has(session));
		const candidates = good.length > 0 ? good : paths;
		const [first] = candidates;
		if (!first) return null;
		// Of all paths: those of a map are looked after by multipathd.
		const map = await this.#multipath.mapOf(paths);
		const device = map?.device ?? (await this.#pathInUse(candidates))?.device ?? first.device;
		return { device: `/dev/${device}`, sizeBytes: await this.#sysfs.sizeBytes(device), paths, good, map };
	}

	/** Without a map: the one on which something is stacked, which cannot go over to another. */
	async #pathInUse(paths: readonly IscsiDisk[]): Promise<IscsiDisk | null> {
		if (paths.length > 1)
			for (const path of paths) if ((await this.#sysfs.holders(path.device)).length > 0) return path;
		return null;
	}

	/** Waits for it after a login. Says which LUNs are there when it is not one of them. */
	async require(search: LunSearch): Promise<Lun> {
		const sinceMs = this.#clock.monotonicMs();
		for (;;) {
			const lun = await this.find(search);
			const waitedMs = this.#clock.monotonicMs() - sinceMs;
			// Where it is seen by dead sessions only, another one that is there may show it in a moment.
			if (lun !== null && lun.sizeBytes > 0)
				if (lun.good.length > 0 || waitedMs > settleMs || !(await this.#isLoggedIn(search.target))) return lun;
			const others = await this.disks(search.target);
			if (waitedMs > appearMs) throw noSuchLun(search, others);
			await delay(this.#clock, pollMs);
		}
	}

	#isLoggedIn = async (target: string): Promise<boolean> =>
		(await this.#iscsi.sessions(target)).some(({ state }) => state === "LOGGED_IN");

	/**
	 * As one device. Where several portals lead to it that is a multipath map from the beginning, be it of the one path that there is now: what
	 * LVM has once opened on a bare path stays on that, and would never get another.
	 */
	async joined(poolId: string, search: LunSearch, portals: number): Promise<Lun> {
		const lun = await this.require(search);
		// A map has dead paths, too, which are its own. None is begun with them: they may be of a place that the target has left.
		const paths = lun.map === null && lun.good.length > 0 ? lun.good : lun.paths;
		if (lun.map === null) {
			if (portals < 2 && paths.length < 2) return lun;
			// Begun when there was one portal. It works, and `trouble` says what it lacks.
			for (const path of lun.paths) if (await this.isUsed(path)) return lun;
		}
		await this.#multipath.ensure(poolId, paths);
		return this.require(search);
	}

	/** Waits until the LUN is seen through each of these sessions, and not for ever: a portal may show another LUN, or none. */
	async seenBy({ target, wwid }: LunSearch, portals: readonly Portal[]): Promise<void> {
		const deadline = this.#clock.monotonicMs() + appearMs;
		const isSeen = async (): Promise<boolean> => {
			const sessions = (await this.#iscsi.sessions(target)).filter((one) =>
				portals.some((portal) => isAt(one, portal)),
			);
			const seen = await Promise.all(sessions.map(({ name }) => this.#sysfs.disks(name)));
			return seen.every((disks) => disks.some((disk) => disk.wwid === sameWwid(wwid) && disk.sizeBytes > 0));
		};
		while (!(await isSeen()) && this.#clock.monotonicMs() < deadline) await delay(this.#clock, pollMs);
	}

	/** Why no command may touch the LUN now; null when a path to it works. Reads the kernel's list only. */
	async trouble(
		{ target, wwid }: LunSearch,
		portals: readonly Portal[],
	): Promise<{ dead: string | null; weak: string | null }> {
		const sessions = await this.#iscsi.sessions(target);
		if (sessions.length === 0) return { dead: "This node is not logged in at the target.", weak: null };
		const lun = await this.find({ target, wwid });
		if (lun === null) return { dead: `The LUN ${wwid} is not there any more.`, weak: null };
		const { good } = lun;
		if (good.length === 0) return { dead: "The target does not answer.", weak: null };
		const lost = portals.filter(
			(portal) =>
				!sessions.some((session) => isAt(session, portal) && good.some((path) => path.session === session.name)),
		);
		const weak = lost.length === 0 ? null : `${lost.length} of ${portals.length} portals do not answer.`;
		return { dead: null, weak: weak ?? (await this.#unjoined(lun, portals.length)) };
	}

	/** That paths are there is of no use as long as what LVM works on does not go over to them. */
	async #unjoined({ map, good }: Lun, portals: number): Promise<string | null> {
		if (map === null) return portals < 2 ? null : singlePath;
		const parts = await this.#sysfs.parts(map.device);
		const missing = good.filter((path) => !parts.includes(path.device)).length;
		return missing === 0 ? null : `multipathd has not joined ${missing} of ${good.length} paths to the LUN.`;
	}
}

function noSuchLun({ wwid, target }: LunSearch, others: readonly IscsiDisk[]): AppError {
	const seen = [...new Set(others.map((disk) => disk.wwid))].slice(0, 8);
	const there = seen.length === 0 ? "it offers no LUN to this node" : `it offers ${seen.join(", ")}`;
	return new AppError("storage", `The target ${target} has no LUN ${wwid}: ${there}.`);
}
