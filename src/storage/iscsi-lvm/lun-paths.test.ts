/** What LVM works on where several portals lead to a LUN: a map from the beginning, or the path that it has open already. */
import { beforeEach, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { Luns } from "./lun.ts";
import type { IscsiDisk, Sysfs } from "./sysfs.ts";

const portals = ["10.0.0.1", "10.0.0.2"].map((host) => ({ host, port: 3260 }));
const search = { target: "iqn.2026-11.test:lun", wwid: "naa.6" };
const map = { device: "dm-3", name: "mpatha", uuid: "mpath-36" };
/** Devices of the sessions, by the number of the portal; null: not logged in. */
let devices: (string | null)[];
/** What is stacked on each device, and what dm-3 consists of; null: there is no map. */
let holders: Record<string, string[]>;
let parts: string[] | null;
/** Sessions that have lost their connection, and disks that do not answer. */
let [failed, offline]: string[][] = [];
/** What multipathd was told to join. */
let ensured: string[][];

beforeEach(() => {
	[devices, holders, parts, ensured] = [["sdb", "sdc"], {}, null, []];
	[failed, offline] = [[], []];
});

function luns(): Luns {
	const disk = (session: string): IscsiDisk[] => {
		const device = devices[Number(session.replace("session", ""))] ?? null;
		if (!device) return [];
		const state = offline?.includes(device) ? "transport-offline" : "running";
		return [{ session, device, lun: 1, wwid: "naa.6", vendor: "", model: "", sizeBytes: 1024, state }];
	};
	const sysfs = {
		disks: async (session: string) => disk(session),
		holders: async (device: string) => [...(holders[device] ?? []), ...(parts?.includes(device) ? ["dm-3"] : [])],
		mapperUuid: async (device: string) => (device === "dm-3" ? map.uuid : "LVM-x"),
		parts: async () => parts ?? [],
		sizeBytes: async () => 1024,
		partitions: async () => [],
		number: async () => null,
	} as Partial<Sysfs> as Sysfs;
	const iscsi = {
		sessions: async () =>
			portals.flatMap(({ host, port }, at) => {
				const name = `session${at}`;
				const state = failed?.includes(name) ? "FAILED" : "LOGGED_IN";
				return devices[at] === null ? [] : [{ name, target: search.target, host, port, state }];
			}),
	};
	const multipath = {
		mapOf: async (disks: IscsiDisk[]) => (disks.some(({ device }) => parts?.includes(device)) ? map : null),
		async ensure(_poolId: string, disks: IscsiDisk[]) {
			parts = disks.map(({ device }) => device);
			ensured.push(parts);
			return map;
		},
	};
	type Parts = ConstructorParameters<typeof Luns>;
	return new Luns(
		...([
			sysfs,
			iscsi as unknown as Parts[1],
			multipath as unknown as Parts[2],
			systemClock,
			async () => new Set(),
		] as Parts),
	);
}
const weak = async () => (await luns().trouble(search, portals)).weak;

test("one of two portals is down: the other path becomes a map, and what is lost is said", async () => {
	devices = ["sdb", null];
	expect((await luns().joined("pool", search, 2)).device).toBe("/dev/dm-3");
	expect(ensured).toEqual([["sdb"]]);
	expect(await weak()).toBe("1 of 2 portals do not answer.");
	devices = ["sdb", "sdc"];
	expect(await weak()).toBe("multipathd has not joined 1 of 2 paths to the LUN.");
	parts = ["sdb", "sdc"];
	expect(await weak()).toBeNull();
});

test("a single portal is used as it is", async () => {
	devices = ["sdb", null];
	const lun = await luns().joined("pool", search, 1);
	expect([lun.device, lun.map, ensured]).toEqual(["/dev/sdb", null, []]);
	expect((await luns().trouble(search, portals.slice(0, 1))).weak).toBeNull();
});

for (const used of ["sdb", "sdc"])
	test(`volumes that are open on one bare path stay on it, and the pool says so: ${used}`, async () => {
		holders = { [used]: ["dm-7"] };
		const lun = await luns().joined("pool", search, 2);
		expect([lun.device, ensured]).toEqual([`/dev/${used}`, []]);
		expect(await weak()).toContain("used by one path only");
		// Once nothing is open, the next activation joins them.
		holders = {};
		expect((await luns().joined("pool", search, 2)).device).toBe("/dev/dm-3");
		expect(await weak()).toBeNull();
	});

test("that a LUN is seen through a session is waited for, and not beyond what is there", async () => {
	devices = ["sdb", null];
	await luns().seenBy(search, portals);
	devices = ["sdb", ""];
	const seen = luns().seenBy(search, portals);
	devices = ["sdb", "sdc"];
	await seen;
	expect((await luns().find(search))?.paths).toHaveLength(2);
});

for (const [what, lose] of [
	["session has lost its connection", () => (failed = ["session0"])],
	["disk does not answer", () => (offline = ["sdb"])],
] as const) {
	test(`a target that has moved is used where it is now, when at the place before its ${what}`, async () => {
		lose();
		for (const used of [false, true]) {
			if (used) holders = { sdb: ["dm-7"] };
			const lun = await luns().joined("pool", search, 1);
			expect([lun.device, lun.map, lun.paths.length, ensured]).toEqual(["/dev/sdc", null, 2, []]);
		}
		// Two portals lead to it now: the map is begun without the path of before.
		holders = {};
		expect((await luns().joined("pool", search, 2)).device).toBe("/dev/dm-3");
		expect(ensured).toEqual([["sdc"]]);
	});

	test(`a path of a map whose ${what} stays one, and what LVM works on is the map`, async () => {
		parts = ["sdb", "sdc"];
		lose();
		const lun = await luns().joined("pool", search, 2);
		expect([lun.device, lun.good.map(({ device }) => device), ensured]).toEqual([
			"/dev/dm-3",
			["sdc"],
			[["sdb", "sdc"]],
		]);
		// Nothing works: it is the map still.
		[failed, offline] = [
			["session0", "session1"],
			["sdb", "sdc"],
		];
		expect((await luns().find(search))?.device).toBe("/dev/dm-3");
		expect((await luns().trouble(search, portals)).dead).not.toBeNull();
	});
}

test("a LUN that only a dead session shows is found, and one that a login shows in a moment is waited for", async () => {
	[devices, failed] = [["sdb", null], ["session0"]];
	expect((await luns().require(search)).device).toBe("/dev/sdb");
	devices = ["sdb", ""];
	const found = luns().require(search);
	devices = ["sdb", "sdc"];
	expect((await found).device).toBe("/dev/sdc");
});
