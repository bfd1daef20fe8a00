/** What iscsiadm, LVM and wipefs say, and names and records of ours: read as meant, and garbage refused. */
import { expect, test } from "bun:test";
import { AppError, isAppError } from "../../lib/errors.ts";
import { chapOf } from "./create.ts";
import { parseInitiatorName } from "./initiator-name.ts";
import { chapSettings, iscsiReason, parseTargetKeys, withSettings } from "./iscsi-text.ts";
import { parseKeys } from "./login-pdu.ts";
import { lvmConfig, lvmError } from "./lvm.ts";
import { parseAnyLvs, parseGroups, parseLvs, parsePhysicalVolumes, parseThinUsage } from "./lvm-report.ts";
import { groupName, lvName, mapperName, parseLvName, parsePortal, portalText } from "./names.ts";
import { parseTags, tagChanges, tagsOf } from "./records.ts";
import { parseHosts } from "./sanlock.ts";
import { parseWipefs, requireConfirmed } from "./signatures.ts";

const id = "01890000-0000-7000-8000-0000000000aa";
const node = "01890000-0000-7000-8000-00000000000b";
const codeOf = (work: () => unknown): string => {
	try {
		work();
	} catch (error) {
		return isAppError(error) ? error.code : String(error);
	}
	return "nothing failed";
};
const garbage = [
	"",
	"{",
	"null",
	"[]",
	"42",
	'{"report":1}',
	'{"report":[{"lv":[{"lv_name":7}]}]}',
	"\0\0",
	"WARNING: x",
];

test("names have room in sanlock and device-mapper, and come back", () => {
	// "lvm_" and the name: 48 characters with the end.
	expect(`lvm_${groupName(id)}`.length).toBeLessThan(48);
	const longest = lvName({ kind: "volume", id, number: 999_999 });
	expect(mapperName(groupName(id), longest).length).toBeLessThan(128);
	expect(parseLvName(longest)).toEqual({ kind: "volume", id, number: 999_999 });
	expect(parseLvName(lvName({ kind: "image", id }))).toEqual({ kind: "image", id });
	for (const other of [
		"",
		"lvmlock",
		"thin",
		"thin_tdata",
		`v-${id}`,
		`v-${id}-0`,
		`v-${id}-01`,
		`i-${id}-1`,
		`v-${id.toUpperCase()}-1`,
	])
		expect(parseLvName(other)).toBeNull();
	expect(codeOf(() => lvName({ kind: "image", id: "../x" }))).toBe("invalid");
});

test("portals", () => {
	expect(parsePortal("10.0.0.1")).toEqual({ host: "10.0.0.1", port: 3260 });
	expect(parsePortal("san.example:861")).toEqual({ host: "san.example", port: 861 });
	expect(portalText(parsePortal("[fe80::1]:3261"))).toBe("[fe80::1]:3261");
	for (const bad of ["", ":3260", "a:0", "a:70000", "-x", "a b", "fe80::1:3260x", "[::1", "a;b"])
		expect(codeOf(() => parsePortal(bad))).toBe("invalid");
});

test("targets that were discovered, with all of their portals; noise is left out", () => {
	const asked = { host: "10.0.0.9", port: 3261 };
	const keys = parseKeys(
		Buffer.from(
			[
				"TargetAddress=10.0.0.8:3260,1",
				"TargetName=iqn.2026-01.example:a",
				"TargetAddress=10.0.0.1:3260,1",
				"TargetAddress=[fe80::1]:3260,1",
				"TargetAddress=10.0.0.1:3260,2",
				"TargetAddress=:,1",
				"TargetName=-oProxyCommand=x",
				"TargetAddress=10.0.0.2:3260,1",
				"TargetName=iqn.2026-01.example:b",
				"no key of this kind",
				"TargetName=iqn.2026-01.example:c",
				"TargetAddress=storage.example.net",
				"",
			].join("\0"),
		),
	);
	expect(parseTargetKeys(keys, asked)).toEqual([
		{
			target: "iqn.2026-01.example:a",
			portals: [
				{ host: "10.0.0.1", port: 3260 },
				{ host: "fe80::1", port: 3260 },
			],
		},
		{ target: "iqn.2026-01.example:b", portals: [asked] },
		{ target: "iqn.2026-01.example:c", portals: [{ host: "storage.example.net", port: 3260 }] },
	]);
	for (const text of garbage) expect(parseTargetKeys(parseKeys(Buffer.from(text)), asked)).toEqual([]);
});

test("this node's name is read as open-iscsi writes it", () => {
	expect(parseInitiatorName("## comment\nInitiatorName=iqn.1993-08.org.debian:01:abc\n")).toBe(
		"iqn.1993-08.org.debian:01:abc",
	);
	for (const text of ["", "# InitiatorName=iqn.x", "InitiatorName=", "GenerateName=yes", "InitiatorName=a b"])
		expect(codeOf(() => parseInitiatorName(text))).toBe("unavailable");
});

test("settings of a record are changed, added before its end, and taken away; others stay", () => {
	const record =
		"# BEGIN RECORD 2.1.8\nnode.name = iqn.x\nnode.session.auth.password = old\nnode.session.auth.authmethod = None\n# END RECORD\n";
	const chap = { user: "u", password: "p=# w".replace(" ", "_"), mutual: null };
	const changed = withSettings(record, new Map(chapSettings("node.session", chap)));
	expect(changed).toBe(
		"# BEGIN RECORD 2.1.8\nnode.name = iqn.x\nnode.session.auth.authmethod = CHAP\nnode.session.auth.username = u\nnode.session.auth.password = p=#_w\n# END RECORD\n",
	);
	expect(withSettings(changed, new Map(chapSettings("node.session", null)))).toBe(
		"# BEGIN RECORD 2.1.8\nnode.name = iqn.x\nnode.session.auth.authmethod = None\n# END RECORD\n",
	);
	for (const value of ["a\nnode.startup = automatic", "a b", "\0", "ä"])
		expect(codeOf(() => withSettings(record, new Map([["node.x", value]])))).toBe("invalid");
});

test("CHAP wants what belongs together", () => {
	const password = "a".repeat(12);
	expect(chapOf({ chapUser: null, mutualChapUser: null }, null)).toBeNull();
	for (const [ways, credentials] of [
		[{ chapUser: null, mutualChapUser: "t" }, {}],
		[{ chapUser: "n", mutualChapUser: null }, {}],
		[{ chapUser: "n", mutualChapUser: "t" }, { chapPassword: password }],
		[
			{ chapUser: "n", mutualChapUser: "t" },
			{ chapPassword: password, mutualChapPassword: password },
		],
	] as const)
		expect(codeOf(() => chapOf(ways, credentials))).toBe("invalid");
});

test("why iscsiadm failed, in words", () => {
	expect(iscsiReason(24, "")).toContain("CHAP");
	expect(iscsiReason(8, "iscsiadm: initiator reported error (8 - connection timed out)")).toContain("in time");
	expect(iscsiReason(99, "iscsiadm: something new\n")).toBe("something new");
	expect(iscsiReason(undefined, "")).toContain("ended the connection");
});

test("records survive as tags that LVM takes, and are changed in one commit", () => {
	const record = {
		...{ half: node, gone: null, format: "qcow2" as const, sizeBytes: 2 ** 45, on: `i-${id}`, freezes: id, snap: null },
		...{
			parent: null,
			opened: 7,
			rebase: { node, to: null },
			zeroFrom: 4096,
			wipedMiB: 3,
			fileSizeBytes: null,
			sha256: null,
		},
	};
	const tags = tagsOf(record);
	for (const tag of tags) expect(tag).toMatch(/^[A-Za-z0-9_+.\-/=!:&#]{1,1024}$/);
	expect(parseTags("x", [...tags, "somebody.else=1", "lqx.later=2"])).toEqual(record);
	expect(tagChanges(record, { half: null, opened: 8 })).toEqual({
		add: ["lqx.opened=8"],
		remove: [`lqx.half=${node}`, "lqx.opened=7"],
	});
	// A change that was cut short between the two.
	expect(parseTags("x", ["lqx.opened=7", "lqx.opened=8"]).opened).toBe(8);
	for (const tag of [
		"lqx.half=me",
		"lqx.format=vmdk",
		"lqx.size=-1",
		"lqx.size=1e9",
		"lqx.on=/etc/passwd",
		"lqx.on=lvmlock",
		"lqx.rebase=-",
		"lqx.sha256=0",
	])
		expect(codeOf(() => parseTags("x", [tag]))).toBe("corrupt");
});

test("reports of LVM; what is damaged is apart; what is no report is refused", () => {
	const row = (name: string, tags: string) =>
		`{"lv_name":"${name}","lv_uuid":"u","lv_size":"1048576","lv_tags":"${tags}","lv_active_locally":"1","lv_device_open":"0","data_percent":"12.50"}`;
	const lvs = `{"report":[{"lv":[${row(`v-${id}-1`, "lqx.format=raw,other")},${row("lvmlock", "")},${row(`i-${id}`, "lqx.size=x")}]}]}`;
	const { lvs: found, damaged } = parseLvs(lvs);
	expect(found).toMatchObject([{ lv: `v-${id}-1`, lvBytes: 1_048_576, active: true, open: false, dataPercent: 12.5 }]);
	expect([...damaged.keys()]).toEqual([`i-${id}`]);
	const vg = `{"vg_name":"g","vg_size":"10","vg_free":"5","vg_tags":"a,b","vg_lock_type":"sanlock","vg_systemid":"","vg_extent_size":"1"}`;
	expect(parseGroups(`{"report":[{"vg":[${vg}]}]}`)).toMatchObject([
		{ tags: ["a", "b"], lockType: "sanlock", freeBytes: 5 },
	]);
	for (const text of garbage) {
		if (text === '{"report":[{"lv":[{"lv_name":7}]}]}') expect(codeOf(() => parseGroups(text))).toBe("storage");
		for (const parse of [parseLvs, parseAnyLvs, parseThinUsage]) expect(codeOf(() => parse(text))).toBe("storage");
		expect(["storage"]).toContain(codeOf(() => parseGroups(text)));
		expect(["storage"]).toContain(codeOf(() => parsePhysicalVolumes(text)));
	}
	expect(codeOf(() => parseLvs(`{"report":[{"lv":[{"lv_name":"i-${id}","lv_size":"x"}]}]}`))).toBe("storage");
});

test("of all logical volumes those that take space by themselves, whoever made them", () => {
	const row = (name: string, bytes: number, percent = "") => ({
		lv_name: name,
		lv_size: `${bytes}`,
		data_percent: percent,
	});
	const lv = [
		...[row("[lvmlock]", 256), row("thin", 900, "25.50"), row("[thin_tdata]", 900), row("[lvol0_pmspare]", 8)],
		...[row(`v-${id}-1`, 4000, "12.5"), row("somebody's", 10)],
	];
	expect(parseAnyLvs(JSON.stringify({ report: [{ lv }] }))).toEqual([
		{ lv: "lvmlock", lvBytes: 256, dataPercent: null },
		{ lv: "thin", lvBytes: 900, dataPercent: 25.5 },
		{ lv: `v-${id}-1`, lvBytes: 4000, dataPercent: 12.5 },
		{ lv: "somebody's", lvBytes: 10, dataPercent: null },
	]);
});

test("LVM's sentences have codes", () => {
	const said = (stderr: string) => lvmError(new AppError("internal", "x", { context: { stderr } })).code;
	expect(said("  LV locked by other host: lqx-a/v-b-1\n  Failed to lock logical volume lqx-a/v-b-1.")).toBe("in-use");
	expect(said('  Volume group "g" has insufficient free space (3 extents): 64 required.')).toBe("no-space");
	expect(said("  Logical volume g/v in use.")).toBe("in-use");
	expect(said('  Failed to find logical volume "g/v"')).toBe("not-found");
	expect(said("  Cannot access VG g with system ID lqx-x with local system ID lqx-y.")).toBe("wrong-state");
	expect(said("  something new")).toBe("storage");
	// A disk that fails is not one that is empty.
	const failing = '  Error reading device /dev/sdb at 0 length 4096.\n  Volume group "lqx-a" not found\n';
	const error = lvmError(new AppError("internal", "x", { context: { stderr: failing } }));
	expect([error.code, error.context.noGroup]).toEqual(["storage", undefined]);
	expect(error.message).toContain("cannot be read or written");
	expect(lvmError(new AppError("timeout", "x")).code).toBe("timeout");
});

test("LVM is told everything on its command line; locks only where a group is shared", () => {
	expect(lvmConfig({ nodeId: node, hostId: null })).toContain("global/use_lvmlockd=0");
	expect(lvmConfig({ nodeId: node, hostId: 7 })).toContain("global/use_lvmlockd=1 local/host_id=7");
});

test("what is on a LUN must be confirmed by name, all of it", () => {
	const json =
		'{"signatures":[{"device":"sda","offset":"0x1fe","type":"dos","uuid":null,"label":null},{"type":"ext4"},{"type":"dos"}]}';
	expect(parseWipefs(json)).toEqual(["dos", "ext4"]);
	expect(parseWipefs("")).toEqual([]);
	expect(codeOf(() => parseWipefs("{"))).toBe("storage");
	expect(codeOf(() => parseWipefs('{"signatures":[{}]}'))).toBe("storage");
	expect(codeOf(() => requireConfirmed(["dos", "ext4"], ["ext4"]))).toBe("wrong-state");
	expect(codeOf(() => requireConfirmed(["ext4"], ["ext4", "x"]))).toBe("nothing failed");
	expect(codeOf(() => requireConfirmed([], []))).toBe("nothing failed");
});

test("nodes that take part in the locks: others, of this group, that are not gone", () => {
	const said = [
		"s lvm_lqx-one:2:/dev/mapper/lqx--one-lvmlock:0 ",
		"h 1 gen 3 timestamp 105 LIVE",
		"h 2 gen 1 timestamp 99 LIVE",
		"h 3 gen 1 timestamp 0 FREE",
		"h 4 gen 7 timestamp 12 DEAD",
		"h 5 gen 1 timestamp 12 UNKNOWN",
		"s lvm_lqx-other:1:/dev/mapper/lqx--other-lvmlock:0 ",
		"h 1 gen 1 timestamp 105 LIVE",
		"h 9 gen 1 timestamp 105 LIVE",
	].join("\n");
	expect(parseHosts(said, "lvm_lqx-one")).toEqual([1, 5]);
	expect(parseHosts(said, "lvm_lqx-other")).toEqual([9]);
	expect(parseHosts(said, "lvm_lqx")).toEqual([]);
	for (const text of garbage) expect(parseHosts(text, "lvm_lqx-one")).toEqual([]);
});
