/** Sealing as the cluster does it, with a key that is always there. */
import { systemRandom as random } from "../lib/random.ts";
import { seal } from "../lib/seal.ts";
import type { PoolCredentials } from "../model/pool-config.ts";

const key = new Uint8Array(32).fill(7);

export const fakeSecrets = {
	seal: async (poolId: string, credentials: PoolCredentials): Promise<string> =>
		seal(JSON.stringify(credentials), `pool:${poolId}`, key, random),
};
