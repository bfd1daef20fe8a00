/** How the LUN of a pool gets to this node, and away: sessions, paths, the one device that LVM works on. */
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Iscsi, IscsiTarget } from "./iscsi.ts";
import type { Luns } from "./lun.ts";
import type { Multipath } from "./multipath.ts";
import { TargetSessions } from "./target-sessions.ts";

export type ConnectedLun = { device: string; sizeBytes: number };

export interface Connection {
	/**
	 * Logs in where it is not, finds the LUN by its WWID, joins its paths. `undo` ends what was begun by this call. `trial`: for a
	 * look that the pool itself, which may be connected meanwhile, knows nothing of.
	 */
	connect(options?: { trial?: boolean }): Promise<ConnectedLun & { undo: () => Promise<void> }>;
	/** As it is now, asking no device; null when it is not there. */
	current(): Promise<ConnectedLun | null>;
	/** Why no command may touch the LUN now, and what is lost though it works. */
	trouble(): Promise<{ dead: string | null; weak: string | null }>;
	/** New sizes of the LUN. */
	rescan(): Promise<ConnectedLun>;
	/** Ends the sessions, unless other pools of this node need them. */
	disconnect(): Promise<void>;
}

export type ConnectionParts = {
	iscsi: Iscsi;
	luns: Luns;
	multipath: Multipath;
	log: Logger;
	/** For what is kept until the machine restarts. */
	runFolder: string;
};

export class IscsiConnection implements Connection {
	readonly #poolId: string;
	readonly #target: IscsiTarget;
	readonly #wwid: string;
	readonly #parts: ConnectionParts;
	readonly #sessions: TargetSessions;

	constructor(poolId: string, target: IscsiTarget, wwid: string, parts: ConnectionParts) {
		this.#poolId = poolId;
		this.#target = target;
		this.#wwid = wwid;
		this.#parts = parts;
		this.#sessions = new TargetSessions(parts.iscsi, target, parts.runFolder);
	}

	get #search() {
		return { target: this.#target.target, wwid: this.#wwid };
	}

	async connect({ trial = false } = {}): Promise<ConnectedLun & { undo: () => Promise<void> }> {
		const { iscsi, luns, multipath, log } = this.#parts;
		const { target } = this.#target;
		const { made, failed, undo: leave } = await this.#sessions.join(trial ? {} : this.#poolId);
		const undo = async () => {
			const lun = made.length > 0 ? await luns.find(this.#search) : null;
			if (lun?.map) await multipath.remove(this.#poolId, lun.map);
			await leave();
		};
		for (const { portal, error } of failed) log.warn("A portal of an iSCSI pool cannot be used", { portal, error });
		try {
			// What was there before may show another disk or another size by now: the kernel asks for the WWID again.
			const sessions = await iscsi.sessions(target);
			if (made.length < sessions.length) await iscsi.rescan(sessions);
			const { device, sizeBytes } = await luns.joined(this.#poolId, this.#search);
			return { device, sizeBytes, undo };
		} catch (error) {
			await undo().catch((failure) => log.warn("A session of a pool was not ended", { target, failure }));
			throw error;
		}
	}

	current(): Promise<ConnectedLun | null> {
		return this.#parts.luns.find(this.#search);
	}

	trouble() {
		return this.#parts.luns.trouble(this.#search, this.#target.portals);
	}

	async rescan(): Promise<ConnectedLun> {
		const { iscsi, luns, multipath } = this.#parts;
		await iscsi.rescan(await iscsi.sessions(this.#target.target));
		const lun = await luns.find(this.#search);
		if (lun === null) throw new AppError("storage", `The LUN ${this.#wwid} is not there any more.`);
		const [path] = lun.paths;
		if (lun.map && path && path.sizeBytes !== lun.sizeBytes) {
			await multipath.resize(lun.map);
			return (await luns.find(this.#search)) ?? lun;
		}
		return lun;
	}

	async disconnect(): Promise<void> {
		const { luns, multipath, log } = this.#parts;
		const { target } = this.#target;
		const lun = await luns.find(this.#search);
		if (lun?.map) await this.#removeMap(multipath, lun.map);
		await this.#sessions.leave(this.#poolId, async () => {
			// Disks of the target that others on this node use: a group of somebody else, a file system.
			for (const disk of await luns.disks(target))
				if ((await luns.isUsed(disk)) && disk.wwid !== this.#wwid) {
					log.warn("The sessions with a target stay: another disk of it is in use", { target, wwid: disk.wwid });
					return false;
				}
			return true;
		});
	}

	async #removeMap(multipath: Multipath, map: Parameters<Multipath["remove"]>[1]): Promise<void> {
		try {
			await multipath.remove(this.#poolId, map);
		} catch (error) {
			if (!isAppError(error)) throw error;
			throw new AppError("in-use", "The LUN is in use on this node.", { cause: error });
		}
	}
}
