/** What a pool's form makes of what was typed. */
import { expect, test } from "bun:test";
import type { Pool } from "../../../api/types.ts";
import {
	checkPool,
	configOf,
	credentialsOf,
	foundOn,
	giveAgain,
	lunOf,
	newPool,
	overwriteOf,
	questionOf,
	valuesOf,
	withoutSecrets,
} from "./values.ts";

const target = "iqn.2026-01.net.example:disks";
const iscsi = {
	...{ portals: ["10.0.0.5"], target, wwid: "naa.6001405a", chapUser: "node", mutualChapUser: null },
	...{ layout: "thick" as const, wipeOnDelete: true, hostIds: { n: 3 } },
};
const configs: [Pool["type"], Pool["config"]][] = [
	["local", { path: "/srv/vms" }],
	["nfs", { server: "nas1", exportPath: "/export", folder: null, version: null, mountOptions: [] }],
	["nfs", { server: "nas1", exportPath: "/export", folder: "a/b", version: "4.1", mountOptions: ["nconnect=4"] }],
	["ceph-rbd", { monitors: ["10.0.0.1"], user: "vms", cephPool: "rbd", namespace: null, dataPool: "ec" }],
	["iscsi-lvm", iscsi],
	["iscsi-lvm", { ...iscsi, chapUser: null }],
	["iscsi-lvm", { ...iscsi, mutualChapUser: "disks" }],
];
const poolOf = (type: Pool["type"], config: Pool["config"]): Pool => ({
	...{ id: "p", generation: 1, createdAt: "", updatedAt: "", name: "pool", description: "" },
	...{ type, config, nodeIds: ["n"], phase: "ready", nodes: [] },
});

test("a pool that is only looked at stays what it is, and has nothing to complain of", () => {
	for (const [type, config] of configs) {
		const pool = poolOf(type, config);
		const values = valuesOf(pool);
		expect(configOf(values)).toEqual(config);
		expect(credentialsOf(values)).toEqual({});
		expect(checkPool(values, { known: pool, choose: true })).toEqual({});
	}
});

test("what another type had typed stays, and is neither sent nor checked", () => {
	const values = { ...valuesOf(poolOf("iscsi-lvm", iscsi)), cephKey: "A".repeat(40), chapPassword: "twelve-letters" };
	const local = { ...values, type: "local" as const, path: "/srv" };
	expect(configOf(local)).toEqual({ path: "/srv" });
	expect(credentialsOf(local)).toEqual({});
	expect(checkPool(local, { known: null, choose: true })).toEqual({});
	expect(credentialsOf({ ...values, chap: "none" })).toEqual({});
	expect(JSON.stringify(withoutSecrets(values))).not.toMatch(/AAAA|twelve/);
});

test("a new pool needs its credentials, one that is there only when others are needed than it has", () => {
	const problems = (known: Pool | null, change: object) =>
		Object.keys(checkPool({ ...valuesOf(poolOf("iscsi-lvm", iscsi)), ...change }, { known, choose: true }));
	const known = poolOf("iscsi-lvm", iscsi);
	expect(problems(null, {})).toEqual(["/credentials/chapPassword"]);
	expect(problems(known, { chap: "both", mutualChapUser: "disks" })).toEqual([
		"/credentials/chapPassword",
		"/credentials/mutualChapPassword",
	]);
	expect(problems(known, { chapPassword: "short" })).toEqual(["/credentials/chapPassword"]);
	const both = poolOf("iscsi-lvm", { ...iscsi, mutualChapUser: "disks" });
	const change = { chap: "both", mutualChapUser: "disks", chapPassword: "twelve-letters" };
	expect(problems(both, change)).toEqual(["/credentials/mutualChapPassword"]);
	expect(problems(known, { layout: "thin", nodeIds: ["n", "m"] })).toEqual(["/nodeIds"]);
});

test("a server is asked once enough is known of it", () => {
	const fresh = newPool(["n"]);
	expect(questionOf({ ...fresh, type: "nfs" })).toBeNull();
	expect(questionOf({ ...fresh, type: "nfs", server: "nas1" })).toEqual({ type: "nfs", server: "nas1" });
	const ceph = { ...fresh, type: "ceph-rbd" as const, monitors: ["a"], user: "vms" };
	expect(questionOf(ceph)).toBeNull();
	const cephKey = "A".repeat(40);
	expect(questionOf({ ...ceph, cephKey })).toMatchObject({ monitors: ["a"], credentials: { cephKey } });
	const lun = { ...fresh, type: "iscsi-lvm" as const, portals: ["a"] };
	expect(questionOf(lun)).toMatchObject({ target: null, chapUser: null });
	expect(questionOf(lun, { step: "luns" })).toBeNull();
	expect(questionOf({ ...lun, target }, { step: "luns" })).toMatchObject({ target });
	expect(questionOf({ ...lun, chap: "one", chapUser: "node" })).toBeNull();
});

test("a server of a pool that is there is asked with its credentials, unless others are typed", () => {
	const known = poolOf("iscsi-lvm", iscsi);
	const values = valuesOf(known);
	expect(questionOf(values, { known })).toMatchObject({ poolId: "p", chapUser: "node" });
	expect(questionOf(values, { known })).not.toHaveProperty("credentials");
	expect(questionOf(values)).toBeNull();
	const typed = { ...values, chapPassword: "twelve-letters" };
	expect(questionOf(typed, { known })).toMatchObject({ poolId: "p", credentials: { chapPassword: "twelve-letters" } });
	// What it has is not for other portals.
	const moved = { ...values, portals: [...values.portals, "10.0.0.66"] };
	expect(questionOf(moved, { known })).toBeNull();
	expect(checkPool(moved, { known, choose: false })["/credentials/chapPassword"]).toContain(
		"not sent to new addresses (10.0.0.66)",
	);
	expect(questionOf({ ...moved, chapPassword: "twelve-letters" }, { known })).toMatchObject({ portals: moved.portals });
	// It has none for both directions.
	expect(questionOf({ ...values, chap: "both", mutualChapUser: "disks" }, { known })).toBeNull();
	const ceph = poolOf("ceph-rbd", configs[3]?.[1] as Pool["config"]);
	expect(questionOf(valuesOf(ceph), { known: ceph })).toEqual({
		...{ type: "ceph-rbd", poolId: "p", monitors: ["10.0.0.1"], user: "vms" },
	});
	const other = { ...valuesOf(ceph), monitors: ["10.0.0.66"] };
	expect([questionOf(other, { known: ceph }), giveAgain(other, null)]).toEqual([null, null]);
	expect(checkPool(other, { known: ceph, choose: false })).toHaveProperty(["/credentials/cephKey"]);
	expect(checkPool({ ...other, cephKey: "A".repeat(40) }, { known: ceph, choose: false })).toEqual({});
});

test("what was found on a LUN is destroyed when exactly that was typed, and counts for that LUN only", () => {
	const empty = { ...valuesOf(poolOf("iscsi-lvm", iscsi)), chapPassword: "twelve-letters" };
	const values = { ...empty, found: { names: ["gpt", "LVM2_member of group data"], on: lunOf(empty) } };
	const name = "gpt, LVM2_member of group data";
	const errors = (one: typeof values) => Object.keys(checkPool(one, { known: null, choose: true }));
	expect([foundOn(values), overwriteOf(values), errors(values)]).toEqual([name, {}, ["/overwrite"]]);
	expect(overwriteOf({ ...values, foundConfirmed: "gpt" })).toEqual({});
	const confirmed = { ...values, foundConfirmed: ` ${name}` };
	expect([overwriteOf(confirmed), errors(confirmed)]).toEqual([{ overwrite: values.found.names }, []]);
	for (const other of [
		{ ...confirmed, wwid: "naa.6001405b" },
		{ ...confirmed, target: `${target}2` },
		{ ...confirmed, type: "nfs" as const },
	])
		expect([foundOn(other), overwriteOf(other)]).toEqual([null, {}]);
	expect(overwriteOf(withoutSecrets(confirmed))).toEqual({});
});

test("thin disks are not overwritten, whatever was ticked before", () => {
	const values = { ...valuesOf(poolOf("iscsi-lvm", iscsi)), wipeOnDelete: true };
	expect(configOf({ ...values, layout: "thick" })).toMatchObject({ layout: "thick", wipeOnDelete: true });
	expect(configOf({ ...values, layout: "thin" })).toMatchObject({ layout: "thin", wipeOnDelete: false });
});
