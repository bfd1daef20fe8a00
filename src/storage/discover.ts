/** What a storage server offers, by the type of the pool that is to be made of it. */
import { AppError } from "../lib/errors.ts";
import type { PoolDiscover, PoolDiscovered } from "../model/storage.ts";
import { discoverCephPools } from "./ceph-rbd/discover.ts";
import { discoverNfsExports } from "./nfs/exports.ts";
import type { StorageContext } from "./registry.ts";

const nothing: PoolDiscovered = { exports: [], cephPools: [], targets: [], luns: [] };

export async function discoverStorage(
	query: PoolDiscover,
	context: Pick<StorageContext, "runFolder" | "random">,
): Promise<PoolDiscovered> {
	switch (query.type) {
		case "ceph-rbd": {
			const found = await discoverCephPools(query, query.credentials ?? {}, context);
			// An erasure-coded pool keeps data only: no pool of ours begins with one.
			const cephPools = found.filter(({ erasureCoded }) => !erasureCoded);
			return { ...nothing, cephPools: cephPools.map(({ name, namespaces }) => ({ name, namespaces })) };
		}
		case "nfs":
			return { ...nothing, exports: await discoverNfsExports(query.server) };
		default:
			throw new AppError("unsupported", `Storage of type "${query.type}" cannot be looked for yet.`);
	}
}
