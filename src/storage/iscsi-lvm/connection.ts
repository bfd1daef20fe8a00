/** How the LUN of a pool gets to this node, and away: sessions, paths, the one device that LVM works on. */
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { type Iscsi, type IscsiTarget, isAt, requireLetIn } from "./iscsi.ts";
import type { Lun, Luns } from "./lun.ts";
import type { Multipath } from "./multipath.ts";
import type { Portal } from "./names.ts";
import { sameWwid } from "./sysfs.ts";
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
	/** The look of each minute: logs in where it is not, at portals that answer again, and asks for new sizes of the LUN. */
	rescan(): Promise<ConnectedLun>;
	/**
	 * Ends the sessions, unless other pools of this node need them; `in-use` while anything is stacked on the LUN, but for `leases`, a
	 * device of device-mapper. `isOthers`: somebody else has the LUN by now, so that the sessions, and its map, stay while it is used.
	 */
	disconnect(options?: { isOthers?: boolean; leases?: string }): Promise<void>;
}

export type ConnectionParts = {
	iscsi: Pick<Iscsi, "login" | "logout" | "sessions" | "rescan" | "tryLogin">;
	luns: Pick<Luns, "find" | "joined" | "seenBy" | "trouble" | "disks" | "isUsed">;
	multipath: Pick<Multipath, "remove" | "resize" | "flush">;
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
		const before = await luns.find(this.#search);
		const { made, reused, failed, undo: leave } = await this.#sessions.join(trial ? {} : this.#poolId);
		const undo = async () => {
			// A map that was there is somebody's: the pool's own, when this is a try of it that has found one more portal.
			const isOthers = before?.map || (trial && this.#sessions.has(this.#poolId));
			const lun = isOthers ? null : await luns.find(this.#search);
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
			if (!trial) await this.#endLeft();
			// What was there before may show another disk or another size by now: the kernel asks for the WWID again.
			const sessions = await iscsi.sessions(target);
			if (made.length < sessions.length) await iscsi.rescan(sessions);
			const { device, sizeBytes } = await this.#withMapGrown(
				await luns.joined(this.#poolId, this.#search, this.#target.portals.length),
			);
			return { device, sizeBytes, undo };
		} catch (error) {
			await undo().catch((failure) => log.warn("A session of a pool was not ended", { target, failure }));
			throw error;
		}
	}

	/** Never fails. Sessions of ours that are dead, and at no portal of the pool, for the target has moved: unless something is stacked on their disks. */
	async #endLeft(): Promise<void> {
		const { iscsi, luns, log } = this.#parts;
		const { target, portals } = this.#target;
		try {
			const left: Portal[] = [];
			for (const { name, state, host, port } of await iscsi.sessions(target)) {
				if (state === "LOGGED_IN" || portals.some((portal) => isAt({ host, port }, portal))) continue;
				const disks = (await luns.disks(target)).filter(({ session }) => session === name);
				const used = await Promise.all(disks.map((disk) => luns.isUsed(disk)));
				if (!used.includes(true)) left.push({ host, port });
			}
			if (left.length > 0) await this.#sessions.end(this.#poolId, left);
		} catch (error) {
			log.warn("A session with a place that a target has left stays", { target, error });
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

	/** Never fails: without those portals it is as it was. The kernel itself makes lost connections again, and not logins that failed. */
	async #loginWhereMissing(): Promise<void> {
		const { iscsi, luns, log } = this.#parts;
		const { target, portals } = this.#target;
		if (this.#isFormer) return;
		try {
			const sessions = await iscsi.sessions(target);
			const missing = portals.filter((portal) => !sessions.some((session) => isAt(session, portal)));
			if (sessions.length === 0 || missing.length === 0) return;
			// Asked before: a login that fails takes its time, and other pools on this target would wait for that.
			const asked = await Promise.allSettled(missing.map((portal) => iscsi.tryLogin(this.#target, portal)));
			if (asked.every(({ status }) => status === "rejected"))
				return log.debug("Portals of an iSCSI pool still do not let this node in", { target, asked });
			const answer = await this.#sessions.complete(this.#poolId);
			// A portal that has two names may have been there already.
			if (answer === null || (await iscsi.sessions(target)).length <= sessions.length) return;
			log.info("Portals of an iSCSI pool are used again", { target, portals: answer.made });
			await luns.seenBy(this.#search, answer.made);
			// Only joined to the map that LVM works on: to begin one now would take its device away from under it.
			const lun = await luns.find(this.#search);
			if (lun?.map) await luns.joined(this.#poolId, this.#search, portals.length);
		} catch (error) {
			log.warn("A portal of an iSCSI pool cannot be used", { target, error });
		}
	}

	async rescan(): Promise<ConnectedLun> {
		const { iscsi, luns } = this.#parts;
		await this.#lookForRefusal();
		await this.#loginWhereMissing();
		await iscsi.rescan(await iscsi.sessions(this.#target.target));
		const lun = await luns.find(this.#search);
		if (lun === null) throw new AppError("storage", `The LUN ${this.#wwid} is not there any more.`);
		return this.#withMapGrown(lun);
	}

	/** A map does not follow its paths by itself. */
	async #withMapGrown(lun: Lun): Promise<Lun> {
		const { luns, multipath } = this.#parts;
		const path = lun.good[0] ?? lun.paths[0];
		if (!lun.map || !path || path.sizeBytes === lun.sizeBytes) return lun;
		await multipath.resize(lun.map);
		return (await luns.find(this.#search)) ?? lun;
	}

	async disconnect({ isOthers = false, leases = "" } = {}): Promise<void> {
		const { luns, multipath, log } = this.#parts;
		const { target } = this.#target;
		const lun = await luns.find(this.#search);
		// Also without a map there may be settings, and a WWID that was made known.
		await this.#removeMap(multipath, isOthers ? null : (lun?.map ?? null));
		await this.#sessions.leave(this.#poolId, async () => {
			// Disks of the target that others on this node use: a group of somebody else, a file system.
			for (const disk of await luns.disks(target)) {
				if (!(await luns.isUsed(disk, leases))) continue;
				// What is stacked on it would never get it back.
				if (!isOthers && disk.wwid === sameWwid(this.#wwid)) throw lunInUse();
				log.warn("The sessions with a target stay: another disk of it is in use", { target, wwid: disk.wwid });
				return false;
			}
			// Nobody needs it, and it would stay without paths.
			if (isOthers && lun?.map) await multipath.flush(lun.map);
			return true;
		});
	}

	async #removeMap(multipath: ConnectionParts["multipath"], map: Parameters<Multipath["remove"]>[1]): Promise<void> {
		try {
			await multipath.remove(this.#poolId, map);
		} catch (error) {
			if (!isAppError(error)) throw error;
			throw lunInUse(error);
		}
	}
}

const lunInUse = (cause?: unknown) =>
	new AppError("in-use", "The LUN is in use on this node.", cause === undefined ? {} : { cause });
