/** What a storage server offers, by the type of the pool that is to be made of it. */
import { AppError } from "../lib/errors.ts";
import type { PoolDiscover, PoolDiscovered } from "../model/storage.ts";

export async function discoverStorage(query: PoolDiscover): Promise<PoolDiscovered> {
	throw new AppError("unsupported", `Storage of type "${query.type}" cannot be looked for yet.`);
}
