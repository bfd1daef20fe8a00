/** What the state keeps of a pool's credentials, for a server that somebody names. */
import { AppError } from "../lib/errors.ts";
import { type Asked, credentialsObstacle, neededCredentials } from "../model/kept-credentials.ts";
import type { PoolCredentials } from "../model/pool-config.ts";
import type { Pool } from "../model/storage.ts";
import type { NodeContext } from "./context.ts";

/** Null when it has none, or none is needed. `invalid`, with the fields, for places that are not the pool's own: whoever asks gives them again. */
export async function keptCredentials(
	{ credentials }: Pick<NodeContext, "credentials">,
	pool: Pick<Pool, "id" | "name" | "config">,
	asked: Asked,
): Promise<PoolCredentials | null> {
	const needed = neededCredentials(asked);
	if (needed.length === 0) return null;
	const message = credentialsObstacle(pool, asked);
	if (message === null) return credentials(pool.id);
	throw new AppError("invalid", message, { fields: needed.map((name) => ({ path: `/credentials/${name}`, message })) });
}
