/** What a storage server offers, by the type of the pool that is to be made of it. */
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import type { PoolDiscover, PoolDiscovered } from "../model/storage.ts";
import { discoverCephPools } from "./ceph-rbd/discover.ts";
import { discoverIscsi } from "./iscsi-lvm/create.ts";
import { portalText } from "./iscsi-lvm/names.ts";
import { discoverNfsExports } from "./nfs/exports.ts";
import type { StorageContext } from "./registry.ts";

type DiscoverContext = Pick<StorageContext, "runFolder" | "stagingFolder" | "random">;
const nothing: PoolDiscovered = { exports: [], cephPools: [], targets: [], luns: [] };

export async function discoverStorage(query: PoolDiscover, context: DiscoverContext): Promise<PoolDiscovered> {
	switch (query.type) {
		case "ceph-rbd": {
			return { ...nothing, cephPools: await discoverCephPools(query, query.credentials ?? {}, context) };
		}
		case "nfs":
			return { ...nothing, exports: await discoverNfsExports(query.server, context) };
		case "iscsi-lvm":
			return { ...nothing, ...(await iscsi(query, context)) };
	}
}

async function iscsi(
	query: Extract<PoolDiscover, { type: "iscsi-lvm" }>,
	context: DiscoverContext,
): Promise<Pick<PoolDiscovered, "targets" | "luns">> {
	const { targets, luns } = await discoverIscsi(query, { clock: systemClock, log: silentLogger, ...context });
	return {
		targets: targets.map(({ target, portals }) => ({ name: target, portals: portals.map(portalText) })),
		luns: luns.map(({ wwid, lun, sizeBytes, vendor, model, contents }) => ({
			...{ wwid, lun, sizeBytes, vendor, model },
			content: contents === null ? "not readable" : contents.length === 0 ? null : contents.join(", "),
		})),
	};
}
