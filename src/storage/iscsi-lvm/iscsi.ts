/**
 * Sessions with a target, by `iscsiadm` (open-iscsi; its daemon iscsid must run). A session that was there before is used and never
 * ended. Nothing logs in by itself at boot (node.startup manual): pools are activated by us. Records that an administrator has made are put
 * back as they were.
 */

import { readFile } from "node:fs/promises";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Random } from "../../lib/random.ts";
import { OperationLocks } from "../operation-locks.ts";
import { boundedRun, stderrOf } from "./bounded-run.ts";
import { initiatorName } from "./initiator-name.ts";
import type { IscsiDatabase } from "./iscsi-database.ts";
import { type Chap, chapSettings, type DiscoveredTarget, iscsiExit, iscsiReason } from "./iscsi-text.ts";
import { sendTargets, tryLogin } from "./login.ts";
import type { MadeRecords } from "./made-records.ts";
import { type Portal, portalText } from "./names.ts";
import type { IscsiSession, Sysfs } from "./sysfs.ts";

/** A portal that does not answer is given up after this. */
const loginSeconds = 10;
const limitMs = 25_000;
/**
 * How long the kernel holds what it cannot send before it fails it. With several paths another one takes over then; with a single one
 * the VM's disk fails, its VM pauses, and goes on when the target is back.
 */
const replacementSeconds = { onePath: 20, severalPaths: 5 };

const locks = new OperationLocks(60_000);

export type IscsiTarget = { target: string; portals: readonly Portal[]; chap: Chap | null };

export type LoggedIn = {
	made: Portal[];
	/** Where a session was there already, whatever it was begun with. */
	reused: Portal[];
	failed: { portal: Portal; error: AppError }[];
};

export type IscsiParts = {
	sysfs: Pick<Sysfs, "sessions">;
	database: IscsiDatabase;
	made: MadeRecords;
	random: Random;
	/** Runs a program; for tests. */
	run?: typeof boundedRun;
	/** This node's iSCSI name; for tests. */
	name?: typeof initiatorName;
};

export class Iscsi {
	readonly #parts: IscsiParts;

	constructor(parts: IscsiParts) {
		this.#parts = parts;
	}

	/** Targets that a portal offers. Nothing of this is written anywhere. */
	async discover(portal: Portal, chap: Chap | null): Promise<DiscoveredTarget[]> {
		return sendTargets({ portal, chap, initiator: await this.#name(), random: this.#parts.random });
	}

	/** Whether the target would let this node in now, whatever sessions there are: fails as a login would (login.ts). */
	async tryLogin({ target, chap }: Omit<IscsiTarget, "portals">, portal: Portal): Promise<void> {
		await tryLogin({ target, portal, chap, initiator: await this.#name(), random: this.#parts.random });
	}

	#name = (): Promise<string> => (this.#parts.name ?? initiatorName)();

	async sessions(target: string): Promise<IscsiSession[]> {
		return (await this.#parts.sysfs.sessions()).filter((session) => session.target === target);
	}

	/**
	 * Logs in at every portal that has no session yet; `begin` is told which those are, before. Which sessions were made, and what failed
	 * at the others; fails when none is left. An undo of `made` is `logout`.
	 */
	async login(
		{ target, portals, chap }: IscsiTarget,
		begin: (missing: readonly Portal[]) => Promise<void> = async () => {},
	): Promise<LoggedIn> {
		using _target = await this.#lock(target);
		const there = await this.sessions(target);
		const missing = portals.filter((portal) => !there.some((session) => isAt(session, portal)));
		const failed: { portal: Portal; error: AppError }[] = [];
		const made: Portal[] = [];
		if (missing.length > 0) await begin(missing);
		// All of them end before the lock goes, whatever becomes of one.
		const ends = await Promise.allSettled(
			missing.map(async (portal) => {
				try {
					await this.#loginAt(target, portal, chap, portals.length > 1);
					made.push(portal);
				} catch (error) {
					if (!isAppError(error)) throw error;
					await this.#forget(target, portal);
					failed.push({ portal, error });
				}
			}),
		);
		for (const end of ends) if (end.status === "rejected") throw end.reason;
		const [first] = failed;
		if (first && made.length === 0 && missing.length === portals.length) throw first.error;
		return { made, reused: portals.filter((portal) => !missing.includes(portal)), failed };
	}

	async #loginAt(target: string, portal: Portal, chap: Chap | null, several: boolean): Promise<void> {
		const { database, made } = this.#parts;
		const record = ["-m", "node", "-T", target, "-p", portalText(portal)];
		const what = `logging in to ${target} at ${portalText(portal)}`;
		let path = await database.nodeRecord(target, portal);
		await made.note(target, portal, path === null ? null : await readFile(path, "utf8"));
		if (path === null) {
			await this.#admin([...record, "-o", "new"], what);
			path = await database.nodeRecord(target, portal);
		}
		if (path === null) throw new AppError("storage", "The record that iscsiadm makes of a target is not found.");
		await database.change(
			path,
			new Map([
				...chapSettings("node.session", chap),
				["node.startup", "manual"],
				["node.conn[0].startup", "manual"],
				["node.session.scan", "auto"],
				["node.session.initial_login_retry_max", "1"],
				["node.conn[0].timeo.login_timeout", `${loginSeconds}`],
				["node.conn[0].timeo.auth_timeout", `${loginSeconds}`],
				["node.conn[0].timeo.logout_timeout", `${loginSeconds}`],
				["node.conn[0].timeo.noop_out_interval", "2"],
				["node.conn[0].timeo.noop_out_timeout", "3"],
				[
					"node.session.timeo.replacement_timeout",
					`${several ? replacementSeconds.severalPaths : replacementSeconds.onePath}`,
				],
			]),
		);
		await this.#admin([...record, "--login"], what, [0, iscsiExit.sessionExists]);
	}

	/** Ends the sessions at these portals and forgets their records, passwords included. No session is no error. */
	async logout(target: string, portals: readonly Portal[]): Promise<void> {
		using _target = await this.#lock(target);
		for (const portal of portals) {
			const there = (await this.sessions(target)).some((session) => isAt(session, portal));
			const record = ["-m", "node", "-T", target, "-p", portalText(portal)];
			if (there) await this.#admin([...record, "--logout"], `logging out of ${target}`, [0, iscsiExit.noRecords]);
			await this.#forget(target, portal);
		}
	}

	/** The record as it was before us: gone, or the administrator's. What is not ours stays. */
	async #forget(target: string, portal: Portal): Promise<void> {
		const { database, made } = this.#parts;
		const ours = await made.get(target, portal);
		if (ours === null) return;
		const path = await database.nodeRecord(target, portal);
		const record = ["-m", "node", "-T", target, "-p", portalText(portal), "-o", "delete"];
		try {
			if (path !== null && ours.before !== null) await database.write(path, ours.before);
			else if (path !== null) await this.#admin(record, "forgetting a target", [0, iscsiExit.noRecords]);
		} catch (error) {
			// The mark stays: at the next start it is tried again.
			if (!isAppError(error)) throw error;
			return;
		}
		await made.forget(target, portal);
	}

	/** Records that a login which was cut short has left, with their passwords; those of sessions stay. For a node that starts. */
	async forgetLeft(log: Logger): Promise<void> {
		for (const { target, host, port } of await this.#parts.made.all(log))
			try {
				using _target = await this.#lock(target);
				const hasSession = (await this.sessions(target)).some((session) => isAt(session, { host, port }));
				if (!hasSession) await this.#forget(target, { host, port });
			} catch (error) {
				log.warn("A record of open-iscsi that was left stays", { target, host, port, error });
			}
	}

	#lock = (target: string): Promise<Disposable> =>
		locks.exclusive(`target:${target}`, "Another pool logs in at this target.");

	/** New LUNs, and new sizes of those that are known. */
	async rescan(sessions: readonly IscsiSession[]): Promise<void> {
		for (const { name, state } of sessions)
			if (state === "LOGGED_IN")
				await this.#admin(
					["-m", "session", "-r", name.replace("session", ""), "--rescan"],
					"looking at the LUNs again",
				);
	}

	async #admin(args: string[], what: string, okExitCodes = [0]) {
		try {
			return await (this.#parts.run ?? boundedRun)("iscsiadm", args, { timeoutMs: limitMs, okExitCodes });
		} catch (error) {
			if (!isAppError(error) || error.code === "unavailable" || error.code === "canceled") throw error;
			const context = error.context;
			const timeout = error.code === "timeout";
			const reason = timeout ? "there was no answer in time" : iscsiReason(context.exitCode, stderrOf(error));
			throw new AppError(timeout ? "timeout" : "storage", `iSCSI, ${what}: ${reason}.`, { context, cause: error });
		}
	}
}

/**
 * The kernel keeps the name of the host by which it was logged in, so names are compared, and no addresses: a place that has two names is two
 * portals, and gets two sessions, which are two paths of one map.
 */
export const isAt = (session: Pick<IscsiSession, "host" | "port">, portal: Portal): boolean =>
	session.port === portal.port && session.host.toLowerCase() === portal.host.toLowerCase();

/** A session that is there (`reused`) proves nothing about these credentials: the target is asked whether it takes them. */
export async function requireLetIn(
	iscsi: Pick<Iscsi, "tryLogin">,
	target: IscsiTarget,
	reused: readonly Portal[],
): Promise<void> {
	const answers = await Promise.allSettled(reused.map((portal) => iscsi.tryLogin(target, portal)));
	const failed = answers.flatMap((answer) => (answer.status === "rejected" ? [answer.reason] : []));
	const refused = failed.find((error) => isAppError(error) && error.context.refused === true);
	if (refused !== undefined) throw refused;
	// One that does not answer is as one that cannot be logged in to: others may.
	if (failed.length > 0 && failed.length === target.portals.length) throw failed[0];
}
