/** What NFS pools read and write down: mount tables, options, lists of exports, users. */
import { expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { exportsIn, parseExports } from "./exports.ts";
import { mountOptions, mountSource, otherOptions } from "./mount-options.ts";
import { type MountEntry, mountsAt, nfsVersion, parseMountinfo } from "./mountinfo.ts";
import { qemuUserOf } from "./qemu-user.ts";

const mountinfo = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard
23 22 0:21 / /sys rw,nosuid - sysfs sysfs rw
90 22 0:47 / /run/limiquantix/pools/x/mount rw,nosuid,nodev,noexec,relatime shared:50 master:1 - nfs4 nas:/srv/a\\040b rw,vers=4.2,rsize=1048576,hard,proto=tcp,addr=10.0.0.2
91 22 0:48 / /mnt/with\\040space\\134and\\303\\244 rw - nfs [fd00::1]:/x rw,vers=3,addr=fd00::1
92 90 0:49 / /run/limiquantix/pools/x/mount rw - tmpfs none rw
this is no line
93 22 0:50 / /short rw
`;

test("the mount table is read, whatever is in it", () => {
	const entries = parseMountinfo(mountinfo);
	expect(entries).toHaveLength(5);
	expect(mountsAt(entries, "/run/limiquantix/pools/x/mount").map(({ source }) => source)).toEqual([
		"nas:/srv/a b",
		"none",
	]);
	expect(entries[3]).toMatchObject({ mountPoint: "/mnt/with space\\andä", fsType: "nfs", source: "[fd00::1]:/x" });
	expect(entries.map((entry) => nfsVersion(entry))).toEqual([null, null, "4.2", "3", null]);
	expect(nfsVersion({ ...entries[2], superOptions: ["vers=4"] } as (typeof entries)[number])).toBe("4.0");
	expect(parseMountinfo("")).toEqual([]);
});

test("pools set options on top of ours, and only those that do no harm", () => {
	const options = (mountOptionList: string[], version: "3" | "4.2" | null = null) =>
		mountOptions({ version, mountOptions: mountOptionList }).split(",");
	expect(options([])).toContain("hard");
	expect(options([])).toEqual(expect.arrayContaining(["nosuid", "nodev", "noexec", "retry=0"]));
	expect(options([], "4.2")).toContain("vers=4.2");
	expect(options(["timeo=50"])).toContain("timeo=50");
	expect(options(["timeo=50"]).filter((option) => option.startsWith("timeo"))).toHaveLength(1);
	expect(options(["soft"])).not.toContain("hard");
	for (const bad of [
		"nolock",
		"local_lock=all",
		"ro",
		"suid",
		"dev",
		"exec",
		"vers=3",
		"nocto",
		"x",
		"timeo",
		"timeo=x",
		"hard=1",
	])
		expect(() => options([bad])).toThrow(AppError);
	for (const bad of ["constructor", "__proto__", "sec=none", "nconnect=17", "timeo=1,suid"])
		expect(() => options([bad])).toThrow(AppError);
	expect(mountSource({ server: "fd00::1", exportPath: "/x" })).toBe("[fd00::1]:/x");
	expect(mountSource({ server: "nas", exportPath: "/x" })).toBe("nas:/x");
});

/** As Linux tells of mounts that were made with our options. */
const kernelTold = {
	"4.2":
		"rw,vers=4.2,rsize=1048576,wsize=1048576,namlen=255,acdirmin=0,acdirmax=3,hard,proto=tcp,timeo=100,retrans=2,sec=sys,clientaddr=10.0.0.1,lookupcache=pos,local_lock=none,addr=10.0.0.2",
	"3": "rw,vers=3,rsize=524288,wsize=524288,namlen=255,acdirmin=0,acdirmax=3,hard,proto=tcp6,timeo=100,retrans=2,sec=sys,mountaddr=fd00::1,mountvers=3,mountport=20048,mountproto=udp6,lookupcache=pos,local_lock=none,addr=fd00::1",
	soft: "rw,vers=4.1,rsize=262144,wsize=262144,namlen=255,acdirmin=0,acdirmax=3,soft,proto=tcp,nconnect=4,timeo=20,retrans=1,sec=sys,clientaddr=10.0.0.1,lookupcache=pos,local_lock=none,addr=10.0.0.2",
};
const told = (superOptions: string): MountEntry => ({
	...{ id: "1", mountPoint: "/m", fsType: "nfs4", source: "nas:/x", superOptions: superOptions.split(",") },
});

test("a mount that was made with the settings of now is not taken for another one, whatever the server had a say in", () => {
	const other = (version: "3" | "4.1" | "4.2" | null, given: string[], superOptions: string) =>
		otherOptions(mountOptions({ version, mountOptions: given }), told(superOptions));
	for (const version of [null, "4.2"] as const) expect(other(version, [], kernelTold["4.2"])).toEqual([]);
	for (const version of [null, "3"] as const) expect(other(version, [], kernelTold["3"])).toEqual([]);
	const soft = ["soft", "timeo=20", "retrans=1", "rsize=1048576", "nconnect=8", "sec=sys", "proto=tcp"];
	expect(other("4.1", soft, kernelTold.soft)).toEqual([]);
	expect(other("3", ["proto=tcp6", "noatime", "port=2049"], kernelTold["3"])).toEqual([]);
	expect(other("4.2", ["timeo=9999999"], kernelTold["4.2"].replace("timeo=100", "timeo=6000"))).toEqual([]);
	expect(other("4.2", ["noac"], kernelTold["4.2"].replace("acdirmin=0,acdirmax=3", "noac"))).toEqual([]);
	const times = "acregmin=5,acregmax=5,acdirmin=5,acdirmax=5";
	expect(other("4.2", ["actimeo=5"], kernelTold["4.2"].replace("acdirmin=0,acdirmax=3", times))).toEqual([]);
	expect(other("4.2", [], "rw")).toMatchObject([{ found: expect.stringContaining("acdirmin=30") }]);
});

test("a mount that was made with other settings says in what", () => {
	const other = (version: "3" | "4.1" | "4.2" | null, given: string[]) =>
		otherOptions(mountOptions({ version, mountOptions: given }), told(kernelTold["4.2"])).map(
			({ found, wanted }) => `${found} -> ${wanted}`,
		);
	expect(other("4.1", [])).toEqual(["vers=4.2 -> vers=4.1"]);
	expect(other(null, ["soft", "timeo=50"])).toEqual(["hard -> soft", "timeo=100 -> timeo=50"]);
	expect(other(null, ["softerr"])).toEqual(["hard -> softerr"]);
	expect(other(null, ["retrans=5", "sec=krb5p", "proto=rdma"])).toEqual([
		"retrans=2 -> retrans=5",
		"sec=sys -> sec=krb5p",
		"proto=tcp -> proto=rdma",
	]);
	expect(other(null, ["noac"])).toEqual([expect.stringContaining("-> noac")]);
	expect(other(null, ["acregmax=10"])).toEqual([expect.stringContaining("-> acregmin=3,acregmax=10")]);
});

test("lists of exports", () => {
	const text = "/srv/vms   10.0.0.0/8,node1\n/srv/open  (everyone)\n/srv/all   *\n/bare\n\n";
	expect(parseExports(text)).toEqual([
		{ path: "/srv/vms", clients: ["10.0.0.0/8", "node1"] },
		{ path: "/srv/open", clients: [] },
		{ path: "/srv/all", clients: ["*"] },
		{ path: "/bare", clients: [] },
	]);
	for (const bad of [
		"relative *",
		"/x\u0007 *",
		"Export list:",
		`/${"x".repeat(600)} *`,
		Array(1002).fill("/x *").join("\n"),
	])
		expect(() => parseExports(bad)).toThrow(AppError);
});

test("exports in the tree of NFS 4 are where another file system begins", () => {
	const tree = ["50 ", "50 srv", "60 srv/vms", "60 srv/vms/inside", "61 srv/vms/other", "50 etc", ""].join("\0");
	expect(exportsIn(tree).map(({ path }) => path)).toEqual(["/srv/vms", "/srv/vms/other"]);
	expect(exportsIn(["70 ", "70 folder", ""].join("\0"))).toEqual([{ path: "/", clients: [] }]);
	expect(exportsIn("")).toEqual([]);
	expect(exportsIn("garbage")).toEqual([]);
});

test("QEMU's user is the one that libvirt is set to", () => {
	const users = "root:x:0:0::/root:/bin/sh\nlibvirt-qemu:x:64055:109::/:/bin/false\nvm:x:1000:1001::/:/bin/sh\n";
	expect(qemuUserOf("", users)).toEqual({ uid: 64055, gid: 109 });
	expect(qemuUserOf('#user = "vm"\n', users)).toEqual({ uid: 64055, gid: 109 });
	expect(qemuUserOf('  user = "vm"\n', users)).toEqual({ uid: 1000, gid: 1001 });
	expect(qemuUserOf('user = "+1000"\n', users)).toEqual({ uid: 1000, gid: 1001 });
	expect(qemuUserOf('user = "root"\n', users)).toEqual({ uid: 0, gid: 0 });
	expect(qemuUserOf('user = "nobody-here"\n', users)).toBeNull();
	expect(qemuUserOf("", "")).toBeNull();
});
