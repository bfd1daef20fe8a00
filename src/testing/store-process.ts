/**
 * A process that owns a store and changes it until it is killed: `bun store-process.ts DATA_DIR`. Prints "ready", then
 * the name of each user that was acknowledged, one a line; prints an error's code and exits with 1 when it cannot start.
 */

import { writeSync } from "node:fs";
import { systemClock } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { openStore } from "../store/open-store.ts";
import { proposer } from "../store/proposer.ts";
import { fixtureCluster, fixtureUser } from "./fixtures.ts";
import { loneNode } from "./store-identity.ts";

const print = (line: string) => writeSync(1, `${line}\n`);

try {
	const store = await openStore({
		...loneNode,
		dataDir: process.argv[2] ?? "",
		clock: systemClock,
		logger: silentLogger,
		fsync: true,
		onFatal: () => process.exit(2),
		policy: { snapshotEntries: 200 },
	});
	const ids = idSource(systemClock, systemRandom);
	const { proposeSystem } = proposer(store, systemClock, ids);
	if (store.count("cluster") === 0) await proposeSystem(fixtureCluster());
	print("ready");
	const first = store.count("user");
	await Promise.all(
		Array.from({ length: 8 }, async (_, worker) => {
			for (let number = 0; ; number++) {
				const name = `u${first}-${worker}-${number}`;
				const user = fixtureUser({ id: ids.newId(), name });
				await proposeSystem({ kind: "userCreate", user, passwordHash: "$argon2id$x" });
				print(name);
			}
		}),
	);
} catch (error) {
	print(isAppError(error) ? error.code : String(error));
	process.exit(1);
}
