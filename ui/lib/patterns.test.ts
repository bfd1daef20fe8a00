/** The browser's copies of the model's patterns are equal to the model. */
import { expect, test } from "bun:test";
import * as access from "../../src/model/access.ts";
import * as cluster from "../../src/model/cluster.ts";
import * as network from "../../src/model/network.ts";
import * as poolConfig from "../../src/model/pool-config.ts";
import * as schema from "../../src/model/schema.ts";
import * as storage from "../../src/model/storage.ts";
import * as vm from "../../src/model/vm.ts";
import * as patterns from "./patterns.ts";

test("patterns of forms are those of the model", () => {
	expect(patterns.namePattern).toBe(schema.namePattern);
	expect(patterns.macPattern).toBe(vm.macPattern);
	expect(patterns.interfaceNamePattern).toBe(network.interfaceNamePattern);
	expect(patterns.sha256Pattern).toBe(storage.sha256Pattern);
	const written = JSON.stringify({ ...schema, ...access, ...cluster, ...network, ...poolConfig, ...storage, ...vm });
	for (const [name, pattern] of Object.entries(patterns)) {
		if (!name.endsWith("Pattern") || typeof pattern !== "string") continue;
		if (name === "ipv4Pattern") continue;
		expect(written.includes(JSON.stringify(pattern)), `${name} ${pattern}`).toBe(true);
	}
	expect(JSON.stringify(network.NetworkConfig).includes(JSON.stringify(patterns.ipv4Pattern))).toBe(true);
	expect(poolConfig.PoolCredentials.properties.chapPassword.minLength).toBe(patterns.minChapPasswordLength);
	expect(access.Password.minLength).toBe(patterns.minPasswordLength);
});
