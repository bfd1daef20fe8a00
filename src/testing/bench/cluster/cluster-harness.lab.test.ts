/** That the measuring works: its clients say what has failed. With members of etcd: cluster-harness.long.test.ts. */
import { expect, test } from "bun:test";
import { startLoadClient } from "./load.ts";
import { startNetwork } from "./network.ts";

test("the load client says what failed, and counts it only when it was asked to", async () => {
	const network = await startNetwork();
	const load = startLoadClient(network.hubPrefix);
	try {
		const host = await network.addHost();
		const nobody = { url: `http://${host.address}:9/`, method: "GET", headers: {}, bodies: [], status: 200 };
		await expect(load.order({ kind: "warm", clients: [nobody] })).rejects.toThrow();
		const once = { kind: "load", clients: [nobody], durationMs: 50 } as const;
		await expect(load.order({ ...once, failures: "refused" })).rejects.toThrow();
		const counted = await load.order({ ...once, failures: "counted" });
		expect(counted.timesMs).toEqual([]);
		expect(counted.failed).toBeGreaterThan(0);
		expect(counted.failure).not.toBeNull();
		const never = { kind: "next-acknowledged", clients: [nobody], limitMs: 100 } as const;
		await expect(load.order(never)).rejects.toThrow("No write was acknowledged");
	} finally {
		await load.stop();
		await network.stop();
	}
}, 30_000);
