/**
 * Sessions with a target, by `iscsiadm` (open-iscsi; its daemon iscsid must run). A session that was there before is used and never
 * ended. Nothing logs in by itself at boot (node.startup manual): pools are activated by us.
 */
import { AppError, isAppError } from "../../lib/errors.ts";
import { OperationLocks } from "../operation-locks.ts";
import { boundedRun, stderrOf } from "./bounded-run.ts";
import type { IscsiDatabase } from "./iscsi-database.ts";
import {
	type Chap,
	chapSettings,
	type DiscoveredTarget,
	iscsiExit,
	iscsiReason,
	parseSendTargets,
} from "./iscsi-text.ts";
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

export class Iscsi {
	readonly #sysfs: Sysfs;
	readonly #database: IscsiDatabase;

	constructor(sysfs: Sysfs, database: IscsiDatabase) {
		this.#sysfs = sysfs;
		this.#database = database;
	}

	/** Targets that a portal offers. Leaves no record behind that was not there. */
	async discover(portal: Portal, chap: Chap | null): Promise<DiscoveredTarget[]> {
		const address = portalText(portal);
		const record = ["-m", "discoverydb", "-t", "sendtargets", "-p", address];
		using _portal = await locks.exclusive(`discovery:${address}`, "Another discovery runs at this portal.");
		const before = await this.#database.discoveryRecord(portal);
		const text = before === null ? null : await Bun.file(before).text();
		try {
			if (before === null) await this.#admin([...record, "-o", "new"], `preparing the discovery at ${address}`);
			const path = before ?? (await this.#database.discoveryRecord(portal));
			if (path === null) throw new AppError("storage", "The record that iscsiadm makes of a discovery is not found.");
			await this.#database.change(
				path,
				new Map([
					...chapSettings("discovery.sendtargets", chap),
					["discovery.sendtargets.timeo.login_timeout", `${loginSeconds}`],
					["discovery.sendtargets.timeo.auth_timeout", `${loginSeconds}`],
					["discovery.sendtargets.reopen_max", "1"],
				]),
			);
			const found = await this.#admin(
				[...record, "-o", "nonpersistent", "--discover"],
				`asking ${address} for its targets`,
			);
			return parseSendTargets(found.stdout);
		} finally {
			if (text === null) await this.#admin([...record, "-o", "delete"], "forgetting the discovery").catch(() => {});
			else if (before !== null) await this.#database.write(before, text);
		}
	}

	async sessions(target: string): Promise<IscsiSession[]> {
		return (await this.#sysfs.sessions()).filter((session) => session.target === target);
	}

	/**
	 * Logs in at every portal that has no session yet. Which sessions were made, and what failed at the others; fails when none is
	 * left. An undo of `made` is `logout`.
	 */
	async login({
		target,
		portals,
		chap,
	}: IscsiTarget): Promise<{ made: Portal[]; failed: { portal: Portal; error: AppError }[] }> {
		using _target = await locks.exclusive(`target:${target}`, "Another pool logs in at this target.");
		const there = await this.sessions(target);
		const missing = portals.filter((portal) => !there.some((session) => isAt(session, portal)));
		const failed: { portal: Portal; error: AppError }[] = [];
		const made: Portal[] = [];
		await Promise.all(
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
		const [first] = failed;
		if (first && made.length === 0 && missing.length === portals.length) throw first.error;
		return { made, failed };
	}

	async #loginAt(target: string, portal: Portal, chap: Chap | null, several: boolean): Promise<void> {
		const record = ["-m", "node", "-T", target, "-p", portalText(portal)];
		const what = `logging in to ${target} at ${portalText(portal)}`;
		let path = await this.#database.nodeRecord(target, portal);
		if (path === null) {
			await this.#admin([...record, "-o", "new"], what);
			path = await this.#database.nodeRecord(target, portal);
		}
		if (path === null) throw new AppError("storage", "The record that iscsiadm makes of a target is not found.");
		await this.#database.change(
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
		using _target = await locks.exclusive(`target:${target}`, "Another pool logs in at this target.");
		for (const portal of portals) {
			const there = (await this.sessions(target)).some((session) => isAt(session, portal));
			const record = ["-m", "node", "-T", target, "-p", portalText(portal)];
			if (there) await this.#admin([...record, "--logout"], `logging out of ${target}`, [0, iscsiExit.noRecords]);
			await this.#forget(target, portal);
		}
	}

	async #forget(target: string, portal: Portal): Promise<void> {
		if ((await this.#database.nodeRecord(target, portal)) === null) return;
		const record = ["-m", "node", "-T", target, "-p", portalText(portal), "-o", "delete"];
		await this.#admin(record, "forgetting a target").catch(() => {});
	}

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
			return await boundedRun("iscsiadm", args, { timeoutMs: limitMs, okExitCodes });
		} catch (error) {
			if (!isAppError(error) || error.code === "unavailable" || error.code === "canceled") throw error;
			const context = error.context;
			const timeout = error.code === "timeout";
			const reason = timeout ? "there was no answer in time" : iscsiReason(context.exitCode, stderrOf(error));
			throw new AppError(timeout ? "timeout" : "storage", `iSCSI, ${what}: ${reason}.`, { context, cause: error });
		}
	}
}

/** The host name of a portal may be an alias: then the port alone decides, which is less, but never logs in twice at one place. */
export const isAt = (session: IscsiSession, portal: Portal): boolean =>
	session.port === portal.port && session.host.toLowerCase() === portal.host.toLowerCase();
