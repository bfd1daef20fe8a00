/** How the LUN of a pool gets to this node, and away: sessions, paths, the one device that LVM works on. */
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { type Iscsi, type IscsiTarget, requireLetIn } from "./iscsi.ts";
import type { Luns } from "./lun.ts";
import type { Multipath } from "./multipath.ts";
import type { Portal } from "./names.ts";
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
	iscsi: Pick<Iscsi, "login" | "logout" | "sessions" | "rescan" | "tryLogin">;
	luns: Pick<Luns, "find" | "joined" | "trouble" | "disks" | "isUsed">;
	multipath: Pick<Multipath, "remove" | "resize">;
	log: Logger;
	/** For what is kept until the machine restarts. */
	runFolder: string;
	/** Of a pool that is gone, with passwords that are not known any more. */
	isFormer?: boolean;
};

export class IscsiConnection implements Connection {
	readonly #isFormer: boolean;
	readonly #poolId: string;
	readonly #target: IscsiTarget;
	readonly #wwid: string;
	readonly #parts: ConnectionParts;
	readonly #sessions: TargetSessions;
	/** Portals whose session was begun by others, or by a process before this: whether the target takes our password is not known by it. */
	#reused: readonly Portal[] = [];
	/** Why the target does not let this node in any more, while a session goes on. */
	#refusal: string | null = null;
	#looking: Promise<void> | null = null;

	constructor(poolId: string, target: IscsiTarget, wwid: string, parts: ConnectionParts) {
		this.#isFormer = parts.isFormer ?? false;
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
		const { made, reused, failed, undo: leave } = await this.#sessions.join(trial ? {} : this.#poolId);
		const undo = async () => {
			const lun = made.length > 0 ? await luns.find(this.#search) : null;
			if (lun?.map) await multipath.remove(this.#poolId, lun.map);
			await leave();
		};
		for (const { portal, error } of failed) log.warn("A portal of an iSCSI pool cannot be used", { portal, error });
		try {
			if (trial) await requireLetIn(this.#parts.iscsi, this.#target, reused);
			else {
				this.#reused = reused;
				// A login has proved it; what was refused at a session that is gone is of no account.
				if (reused.length === 0) this.#refusal = null;
				// The session that is there does its work: this is told, and holds nothing up.
				void this.#lookForRefusal();
			}
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

	/** What is not answered stays as it was known. Without the passwords there is nothing to ask with: the pool is being let go of. */
	#lookForRefusal(): Promise<void> {
		this.#looking ??= this.#askAgain().finally(() => {
			this.#looking = null;
		});
		return this.#looking;
	}

	async #askAgain(): Promise<void> {
		const { iscsi, log } = this.#parts;
		if (this.#reused.length === 0 || this.#isFormer) return;
		const asked = this.#reused;
		const answers = await Promise.allSettled(asked.map((portal) => iscsi.tryLogin(this.#target, portal)));
		// Logged in meanwhile: this is of the session before.
		if (asked !== this.#reused) return;
		const failed = answers.flatMap((answer) => (answer.status === "rejected" ? [answer.reason] : []));
		const refused = failed.find((error) => isAppError(error) && error.context.refused === true);
		if (refused !== undefined) this.#refusal = refused.message;
		else if (failed.length === 0) this.#refusal = null;
		else log.info("Whether a target takes the password of a pool is not known now", { error: failed[0] });
	}

	current(): Promise<ConnectedLun | null> {
		return this.#parts.luns.find(this.#search);
	}

	async trouble() {
		const found = await this.#parts.luns.trouble(this.#search, this.#target.portals);
		if (found.dead !== null || this.#refusal === null) return found;
		return { ...found, weak: `Once the session is lost, there is no other: ${this.#refusal}` };
	}

	async rescan(): Promise<ConnectedLun> {
		const { iscsi, luns, multipath } = this.#parts;
		await this.#lookForRefusal();
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

	async #removeMap(multipath: ConnectionParts["multipath"], map: Parameters<Multipath["remove"]>[1]): Promise<void> {
		try {
			await multipath.remove(this.#poolId, map);
		} catch (error) {
			if (!isAppError(error)) throw error;
			throw new AppError("in-use", "The LUN is in use on this node.", { cause: error });
		}
	}
}
