/** Numbers of nodes in shared volume groups: what was chosen from a state of before is refused, for commands that ask for it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import { systemClock } from "../../lib/clock.ts";
import type { IscsiLvmPoolConfig } from "../../model/pool-config.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureMember,
	fixturePool,
	fixtureTask,
} from "../../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

const [one, two, former] = [clusterIds.node, fixtureId(0xabc), fixtureId(0xabd)] as const;
const config = (lun: number, hostIds: Record<string, number>): IscsiLvmPoolConfig => ({
	...{ portals: ["10.0.0.5"], target: "iqn.2026-01.net.example:disks", wwid: `naa.${lun}` },
	...{ chapUser: null, mutualChapUser: null, layout: "thick", wipeOnDelete: false, hostIds },
});
let store: MemoryStore;
const propose = (body: CommandBody) => store.proposer.proposeSystem(body);
function create(lun: number, hostIds: Record<string, number>, checks = true) {
	const id = fixtureId(0x700 + lun);
	const task = fixtureTask("pool.create", { kind: "pool", id }, { id: fixtureId(0x10 + lun) });
	const pool = { id, name: `lun-${lun}`, type: "iscsi-lvm", config: config(lun, hostIds) } as const;
	return propose({
		...{ kind: "poolCreate", pool: fixturePool({ ...pool, nodeIds: Object.keys(hostIds) }), task },
		...(checks ? { checksHostIds: true } : {}),
	});
}
const hostIdsOf = (lun: number) => {
	const { config: made } = present(store.get("pool", fixtureId(0x700 + lun)), "the pool");
	return "hostIds" in made ? made.hostIds : null;
};

beforeEach(async () => {
	store = await openMemoryStore({ commands: [fixtureCluster()] });
	for (const body of fixtureMember({ id: two, name: "node-2" }, systemClock.nowMs()).slice(0, 2)) await propose(body);
	await propose({
		...{ kind: "nodeImport", nodeId: two, formerNodeId: former, renameSuffix: null },
		...{ pools: [], networks: [], images: [], volumes: [], vms: [] },
	});
});

afterEach(() => store.close());

test("of two pools that number their nodes at once, the second is refused, and made with the next try", async () => {
	await create(1, { [one]: 1 });
	await expect(create(2, { [two]: 1 })).rejects.toMatchObject({ code: "wrong-state" });
	expect(store.get("pool", fixtureId(0x702))).toBe(null);
	await create(2, { [two]: 2 });
	const changed = (hostIds: Record<string, number>) =>
		propose({
			...{ kind: "poolUpdate", id: fixtureId(0x702), nodeIds: [two, one] },
			...{ config: config(2, hostIds), checksHostIds: true },
		});
	// Not the one that it has, nobody's but taken, none at all.
	for (const hostIds of [{ [two]: 2, [one]: 3 }, { [two]: 2, [one]: 2 }, { [two]: 2 }] as Record<string, number>[])
		await expect(changed(hostIds)).rejects.toMatchObject({ code: "wrong-state" });
	await changed({ [two]: 2, [one]: 1 });
	expect(hostIdsOf(2)).toEqual({ [two]: 2, [one]: 1 });
});

test("a command of a member of before means what it meant", async () => {
	await create(1, { [one]: 1 });
	await create(2, { [two]: 1 }, false);
	expect(hostIdsOf(2)).toEqual({ [two]: 1 });
});

test("a node that comes back has another id, and gets a number with it where the members know of that", async () => {
	await create(1, { [one]: 1, [two]: 2 });
	await propose({ kind: "nodeRemove", id: two, leaving: false, confirmName: "node-2" });
	const pool = fixturePool({ id: fixtureId(0x701), name: "lun-1", type: "iscsi-lvm", config: config(1, {}) });
	const comeBack = async (number: number, given: { givesHostIds?: true }) => {
		const id = fixtureId(0x990 + number);
		for (const body of fixtureMember({ id, name: `node-${number}` }, systemClock.nowMs()).slice(0, 2))
			await propose(body);
		await propose({
			...{ kind: "nodeImport", nodeId: id, formerNodeId: two, renameSuffix: null, pools: [pool], ...given },
			...{ networks: [], images: [], volumes: [], vms: [] },
		});
		return id;
	};
	const third = await comeBack(3, { givesHostIds: true });
	expect(hostIdsOf(1)).toEqual({ [one]: 1, [third]: 3 });
	await comeBack(4, {});
	expect(hostIdsOf(1)).toEqual({ [one]: 1, [third]: 3 });
});
