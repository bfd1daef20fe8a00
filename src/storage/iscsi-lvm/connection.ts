/** How the LUN of a pool gets to this node, and away: sessions, paths, the one device that LVM works on. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { errnoOf } from "../file-errors.ts";
import type { Iscsi, IscsiTarget } from "./iscsi.ts";
import type { Luns } from "./lun.ts";
import type { Multipath } from "./multipath.ts";
import type { Portal } from "./names.ts";

export type ConnectedLun = { device: string; sizeBytes: number };

export interface Connection {
	/** Logs in where it is not, finds the LUN by its WWID, joins its paths. `undo` ends what was begun by this call. */
	connect(): Promise<ConnectedLun & { undo: () => Promise<void> }>;
	/** As it is now, asking no device; null when it is not there. */
	current(): Promise<ConnectedLun | null>;
	/** Why no command may touch the LUN now, and what is lost though it works. */
	trouble(): Promise<{ dead: string | null; weak: string | null }>;
	/** New sizes of the LUN. */
	rescan(): Promise<ConnectedLun>;
	/** Ends the sessions, unless other pools of this node need them. */
	disconnect(): Promise<void>;
}

/** Which pools of this process use a target: the last one that goes ends its sessions. */
const users = new Map<string, Set<string>>();

const Made = Type.Array(Type.Object({ host: Type.String(), port: Type.Integer() }));

export type ConnectionParts = {
	iscsi: Iscsi;
	luns: Luns;
	multipath: Multipath;
	log: Logger;
	/** Where it is kept which sessions are ours, until the machine restarts: others are never ended. */
	sessionsFile: string;
};

export class IscsiConnection implements Connection {
	readonly #poolId: string;
	readonly #target: IscsiTarget;
	readonly #wwid: string;
	readonly #parts: ConnectionParts;

	constructor(poolId: string, target: IscsiTarget, wwid: string, parts: ConnectionParts) {
		this.#poolId = poolId;
		this.#target = target;
		this.#wwid = wwid;
		this.#parts = parts;
	}

	get #search() {
		return { target: this.#target.target, wwid: this.#wwid };
	}

	async connect(): Promise<ConnectedLun & { undo: () => Promise<void> }> {
		const { iscsi, luns, multipath, log } = this.#parts;
		const { target } = this.#target;
		const { made, failed } = await iscsi.login(this.#target);
		// What was there before may show another disk or another size by now: the kernel asks for the WWID again.
		const sessions = await iscsi.sessions(target);
		if (made.length < sessions.length) await iscsi.rescan(sessions);
		for (const { portal, error } of failed) log.warn("A portal of an iSCSI pool cannot be used", { portal, error });
		const pools = users.get(target) ?? new Set();
		const isNew = !pools.has(this.#poolId);
		users.set(target, pools.add(this.#poolId));
		if (made.length > 0) await this.#keep([...(await this.#kept()), ...made]);
		const undo = async () => {
			if (isNew) pools.delete(this.#poolId);
			if (made.length === 0) return;
			const lun = await luns.find(this.#search);
			if (lun?.map) await multipath.remove(this.#poolId, lun.map);
			await iscsi.logout(target, made);
			await this.#keep((await this.#kept()).filter((portal) => !made.some((one) => same(one, portal))));
		};
		try {
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
		const { iscsi, luns, multipath, log } = this.#parts;
		const { target } = this.#target;
		const pools = users.get(target);
		pools?.delete(this.#poolId);
		const lun = await luns.find(this.#search);
		if (lun?.map) await this.#removeMap(multipath, lun.map);
		if (pools && pools.size > 0) return;
		// Disks of the target that others on this node use: a group of somebody else, a file system.
		for (const disk of await luns.disks(target))
			if ((await luns.isUsed(disk)) && disk.wwid !== this.#wwid) {
				log.warn("The sessions with a target stay: another disk of it is in use", { target, wwid: disk.wwid });
				return;
			}
		await iscsi.logout(target, await this.#kept());
		await this.#keep([]);
	}

	async #kept(): Promise<Portal[]> {
		try {
			const value: unknown = JSON.parse(await readFile(this.#parts.sessionsFile, "utf8"));
			return Value.Check(Made, value) ? value : [];
		} catch (error) {
			if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return [];
			throw error;
		}
	}

	async #keep(portals: readonly Portal[]): Promise<void> {
		const { sessionsFile } = this.#parts;
		if (portals.length === 0) return rm(sessionsFile, { force: true });
		await mkdir(dirname(sessionsFile), { recursive: true, mode: 0o700 });
		await writeFile(sessionsFile, JSON.stringify(portals), { mode: 0o600 });
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

const same = (a: Portal, b: Portal): boolean => a.host === b.host && a.port === b.port;
