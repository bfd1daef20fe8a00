/** Where the credentials that are kept of a pool may be used. */
import { expect, test } from "bun:test";
import { credentialsObstacle, foreignPlaces, neededCredentials } from "./kept-credentials.ts";

const ceph = { monitors: ["10.0.0.1", "Mon2.example.net:3300", "[fd00::1]:6789"], user: "vms", cephPool: "rbd" };
const cephPool = { ...ceph, namespace: null, dataPool: null };
const lun = {
	...{ portals: ["10.0.0.5", "[fd00::5]:3261"], target: "iqn.2026-01.net.example:disks", wwid: "naa.6001405a" },
	...{ chapUser: "node", mutualChapUser: null, layout: "thick" as const, wipeOnDelete: false, hostIds: {} },
};

test("its own monitors and portals, however they are written, and no others", () => {
	const monitors = (...asked: string[]) => foreignPlaces(cephPool, { monitors: asked });
	expect(monitors("10.0.0.1", "10.0.0.1:3300", "10.0.0.1:6789", "mon2.EXAMPLE.net:3300", "[FD00::1]:6789")).toEqual([]);
	expect(monitors("10.0.0.1:7000", "mon2.example.net", "[fd00::1]", "10.0.0.2", "10.0.0.1")).toEqual([
		...["10.0.0.1:7000", "mon2.example.net", "[fd00::1]", "10.0.0.2"],
	]);
	const portals = (...asked: string[]) => foreignPlaces(lun, { portals: asked });
	expect(portals("10.0.0.5:3260", "10.0.0.5", "[fd00::5]:3261")).toEqual([]);
	expect(portals("10.0.0.5:3261", "[fd00::5]", "10.0.0.50")).toEqual(["10.0.0.5:3261", "[fd00::5]", "10.0.0.50"]);
	expect(foreignPlaces({ path: "/srv" }, { portals: ["10.0.0.5"] })).toEqual(["10.0.0.5"]);
});

test("what is reached without any may be anywhere", () => {
	expect(neededCredentials({ portals: [], chapUser: null, mutualChapUser: null })).toEqual([]);
	expect(neededCredentials({ ...lun, mutualChapUser: "disks" })).toEqual(["chapPassword", "mutualChapPassword"]);
	expect(neededCredentials(cephPool)).toEqual(["cephKey"]);
	expect(neededCredentials({})).toEqual([]);
	const pool = { name: "san", config: lun };
	expect(credentialsObstacle(pool, { portals: ["10.0.0.6"], chapUser: null, mutualChapUser: null })).toBeNull();
	expect(credentialsObstacle(pool, lun)).toBeNull();
});

test("the answer says which are not its own", () => {
	expect(credentialsObstacle({ name: "san", config: lun }, { ...lun, portals: ["10.0.0.5", "10.0.0.6"] })).toBe(
		"The password of the storage pool san is used at its own portals only: give it again for 10.0.0.6.",
	);
	expect(credentialsObstacle({ name: "rbd", config: cephPool }, { ...cephPool, monitors: ["evil"] })).toBe(
		"The key of the storage pool rbd is used at its own monitors only: give it again for evil.",
	);
});
