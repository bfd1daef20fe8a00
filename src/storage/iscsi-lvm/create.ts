/** The driver of a pool from its configuration and credentials, with the parts that touch this host. */
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Random } from "../../lib/random.ts";
import type { IscsiLvmPoolConfig, PoolCredentials } from "../../model/pool-config.ts";
import type { Step } from "../durable.ts";
import { IscsiConnection } from "./connection.ts";
import { type DiscoveredLun, discoverLuns, discoverTargets } from "./discover.ts";
import { IscsiLvmDriver } from "./driver.ts";
import { VolumeGroup } from "./group.ts";
import { Iscsi, type IscsiTarget, requireLetIn } from "./iscsi.ts";
import { IscsiDatabase } from "./iscsi-database.ts";
import type { Chap, DiscoveredTarget } from "./iscsi-text.ts";
import { Luns } from "./lun.ts";
import { Lvm } from "./lvm.ts";
import { MadeRecords } from "./made-records.ts";
import { Multipath } from "./multipath.ts";
import { type Portal, parsePortal } from "./names.ts";
import { Sysfs } from "./sysfs.ts";
import { TargetSessions, targetsWithSessions } from "./target-sessions.ts";

export type IscsiLvmPool = {
	poolId: string;
	config: IscsiLvmPoolConfig;
	credentials: PoolCredentials | null;
	/** It has held data: an empty LUN then is an error, and never made a group again. */
	wasReady: boolean;
	nodeId: string;
	runFolder: string;
	stagingFolder: string;
	protectedPaths: readonly string[];
	random: Random;
	clock: Clock;
	log: Logger;
	/** How long the removal of a shared pool waits for other nodes to leave it (default 180 s). */
	othersLeaveMs?: number;
	/** Called before each change; for tests that end the process there. */
	onStep?: Step;
};

type Ways = Pick<IscsiLvmPoolConfig, "chapUser" | "mutualChapUser">;

/** Fails with `invalid` when a name has no password, or the other way round. */
export function chapOf(config: Ways, credentials: PoolCredentials | null): Chap | null {
	const { chapPassword, mutualChapPassword } = credentials ?? {};
	if (config.chapUser === null) {
		if (config.mutualChapUser !== null)
			throw new AppError(
				"invalid",
				"A target proves itself by CHAP only to somebody who does so too: the user is missing.",
			);
		return null;
	}
	if (chapPassword === undefined) throw new AppError("invalid", "The CHAP password is missing.");
	if (config.mutualChapUser === null) return { user: config.chapUser, password: chapPassword, mutual: null };
	if (mutualChapPassword === undefined) throw new AppError("invalid", "The CHAP password of the target is missing.");
	if (mutualChapPassword === chapPassword)
		throw new AppError("invalid", "CHAP in both directions needs two different passwords.");
	const mutual = { user: config.mutualChapUser, password: mutualChapPassword };
	return { user: config.chapUser, password: chapPassword, mutual };
}

type HostPart = { clock: Clock; random: Random; stagingFolder: string };

function hostParts({ clock, random, stagingFolder }: HostPart) {
	const sysfs = new Sysfs();
	const made = new MadeRecords(stagingFolder);
	const iscsi = new Iscsi({ sysfs, database: new IscsiDatabase(), made, random });
	const multipath = new Multipath(sysfs, clock, stagingFolder);
	return { sysfs, iscsi, multipath, luns: new Luns(sysfs, iscsi, multipath, clock) };
}

export function createIscsiLvmDriver(pool: IscsiLvmPool): IscsiLvmDriver {
	const { poolId, config, nodeId, clock, log } = pool;
	const hostIds = Object.entries(config.hostIds);
	// Without host ids the group is one node's, and has no locks. A thin pool never has any.
	const shared = config.layout === "thick" && hostIds.length > 0;
	const hostId = config.hostIds[nodeId] ?? null;
	if (shared && hostId === null)
		throw new AppError("invalid", "This node has no host id in the pool, so it cannot take part in its locks.");
	if (new Set(hostIds.map(([, id]) => id)).size < hostIds.length)
		throw new AppError("invalid", "Two nodes of the pool have the same host id.");
	if (config.layout === "thin" && hostIds.length > 1) throw new AppError("invalid", "A thin pool belongs to one node.");
	const first = shared && hostIds.every(([, id]) => (hostId ?? 0) <= id);
	// Without the passwords the pool of before can still be let go of here: it is logged in.
	const isFormer = pool.wasReady && pool.credentials === null && config.chapUser !== null;
	const target: IscsiTarget = {
		target: config.target,
		portals: config.portals.map(parsePortal),
		chap: isFormer ? null : chapOf(config, pool.credentials),
	};
	const { sysfs, ...parts } = hostParts(pool);
	const lvm = new Lvm({ nodeId, hostId: shared ? hostId : null, folder: join(pool.runFolder, "lvm") });
	return new IscsiLvmDriver({
		...{ poolId, nodeId, layout: config.layout, shared, wipeOnDelete: config.wipeOnDelete },
		connection: new IscsiConnection(poolId, target, config.wwid, {
			...parts,
			log,
			runFolder: pool.runFolder,
			isFormer,
		}),
		group: new VolumeGroup({ poolId, nodeId, shared, layout: config.layout, lvm, step: pool.onStep }),
		// Two nodes that find the LUN empty at the same time must not both make the group: the one with the lowest number does.
		mayInitialize: !pool.wasReady && (!shared || first),
		...{ stagingFolder: pool.stagingFolder, protectedPaths: pool.protectedPaths, random: pool.random, clock, log },
		...(pool.onStep ? { onStep: pool.onStep } : {}),
		othersLeaveMs: pool.othersLeaveMs,
		writes: async (path) => {
			const device = await sysfs.deviceOf(path);
			return device === null ? null : sysfs.writes(device);
		},
	});
}

export type IscsiDiscovery = Ways & {
	portals: readonly string[];
	/** Null: the targets are asked for; else the LUNs of this one. */
	target: string | null;
	credentials?: PoolCredentials;
};

/** What is offered to this node, for a pool that is to be made. Nothing stays logged in that was not. */
export async function discoverIscsi(
	query: IscsiDiscovery,
	{ log, runFolder, ...host }: HostPart & { log: Logger; runFolder: string },
): Promise<{ targets: DiscoveredTarget[]; luns: DiscoveredLun[] }> {
	const { iscsi, luns } = hostParts(host);
	const chap = chapOf(query, query.credentials ?? null);
	const portals = query.portals.map(parsePortal);
	if (query.target === null) return { targets: await discoverTargets(iscsi, portals, chap), luns: [] };
	const target: IscsiTarget = { target: query.target, portals, chap };
	const sessions = new TargetSessions(iscsi, target, runFolder);
	const mayUse = (reused: readonly Portal[]) => requireLetIn(iscsi, target, reused);
	return { targets: [], luns: await discoverLuns(sessions, luns, query.target, log, mayUse) };
}

/** A pool of this node, of any type. */
type HostPool = { id: string; config: object };

/**
 * What tries of pools and questions that were cut short have left on this host: sessions, maps, records with passwords. For a node that
 * starts; `pools`: those that it has, `isPoolHere`: also by now, for pools come while it looks. What somebody else has made, or uses, stays.
 */
export async function tidyIscsi(
	pools: readonly HostPool[],
	{
		log,
		runFolder,
		isPoolHere,
		...host
	}: HostPart & { log: Logger; runFolder: string; isPoolHere: (id: string) => boolean },
): Promise<void> {
	const { iscsi, luns, multipath } = hostParts(host);
	const targets = new Set(pools.flatMap(({ config }) => ("target" in config ? [config.target] : [])));
	for (const target of await targetsWithSessions(runFolder)) {
		if (targets.has(target)) continue;
		const sessions = new TargetSessions(iscsi, { target, portals: [], chap: null }, runFolder);
		const mayEnd = async () => {
			const disks = await luns.disks(target);
			for (const disk of disks) if (await luns.isUsed(disk)) return false;
			for (const disk of disks) {
				const map = await multipath.mapOf([disk]);
				if (map) await multipath.flush(map);
			}
			return true;
		};
		await sessions
			.leave({}, mayEnd)
			.catch((error) => log.warn("Sessions that were left were not ended", { target, error }));
	}
	await iscsi.forgetLeft(log);
	const before = new Set(pools.map(({ id }) => id));
	await multipath.forgetOthers((id) => before.has(id) || isPoolHere(id));
}
