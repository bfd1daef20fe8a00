/** Host ids of pools on a LUN are chosen after the nodes have tried it, and checked where the pool is made. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { IscsiLvmPoolConfig } from "../../model/pool-config.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureId, fixturePool, fixtureTask } from "../../testing/fixtures.ts";

const config = (wwid: string): IscsiLvmPoolConfig => ({
	...{ portals: ["10.0.0.5"], target: "iqn.2026-01.net.example:disks", wwid },
	...{ chapUser: null, mutualChapUser: null, layout: "thick", wipeOnDelete: false, hostIds: {} },
});
const san = { name: "san", type: "iscsi-lvm" as const, config: config("naa.1") };
const other = fixtureId(0x998);
let harness: ApiHarness;

/** A pool of another node, which got a number while this one was being tried. */
async function takesNumber(): Promise<void> {
	const pool = fixturePool({
		...{ id: fixtureId(0x702), name: "theirs", type: "iscsi-lvm", nodeIds: [] },
		config: { ...config("naa.2"), hostIds: { [other]: 1 } },
	});
	const task = fixtureTask("pool.create", { kind: "pool", id: pool.id }, { id: fixtureId(0x703) });
	await harness.store.proposer.proposeSystem({ kind: "poolCreate", pool, task });
}

beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

test("a number that was given to another node while the LUN was tried is not given again", async () => {
	harness.node.onProbe = takesNumber;
	const { body } = await harness.client("admin").call("poolCreate", { body: san });
	expect(harness.node.probed).toMatchObject([{ config: { hostIds: { [clusterIds.node]: 1 } } }]);
	expect(body.config).toMatchObject({ hostIds: { [clusterIds.node]: 2 } });
});

test("one that was given after that is refused by the members that know of it", async () => {
	const propose = harness.store.propose.bind(harness.store);
	harness.store.propose = async (command) => {
		if (command.body.kind === "poolCreate") {
			harness.store.propose = propose;
			await takesNumber();
		}
		return propose(command);
	};
	const failed = await harness
		.client("admin")
		.call("poolCreate", { body: san })
		.catch((error: unknown) => error);
	expect(failed).toMatchObject({ code: "wrong-state" });
	expect(harness.store.all("pool").filter(({ type }) => type === "iscsi-lvm")).toHaveLength(1);
});

test("while some members do not, a pool is made as they make it", async () => {
	harness.cluster.missing.set("host-ids-1", ["node-2"]);
	const commands: unknown[] = [];
	const propose = harness.store.propose.bind(harness.store);
	harness.store.propose = (command) => {
		commands.push(command.body);
		return propose(command);
	};
	await harness.client("admin").call("poolCreate", { body: san });
	expect(commands).toHaveLength(1);
	expect(commands[0]).not.toHaveProperty("checksHostIds");
});
