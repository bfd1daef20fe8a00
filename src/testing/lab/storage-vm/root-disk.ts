/**
 * The root of the storage lab VM: Debian 13 with everything that stores and shares (NFS, iSCSI, LIO, LVM, multipath), QEMU and
 * libvirt. No systemd runs in it and no package was configured: what scripts of packages would have made, and is needed, is
 * made here.
 */
import { copyFile, cp, mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { present } from "../../../lib/assert.ts";
import { run } from "../../../lib/run.ts";
import { unpackDebian } from "./debian-root.ts";
import { makeFilledDisk } from "./filled-disk.ts";

export const rootPackages = [
	"linux-image-cloud-amd64",
	...["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "findutils", "gawk", "grep", "gzip"],
	...["hostname", "kmod", "libc-bin", "mount", "netbase", "procps", "sed", "tar", "udev", "util-linux", "strace"],
	...["nfs-kernel-server", "nfs-common", "rpcbind"],
	...["open-iscsi", "sg3-utils", "multipath-tools"],
	...["lvm2", "lvm2-lockd", "thin-provisioning-tools", "sanlock", "dmsetup", "e2fsprogs", "xfsprogs", "fio"],
	...["iproute2", "iputils-ping", "nftables", "dnsmasq-base"],
	...["qemu-system-x86", "qemu-utils", "qemu-block-extra", "seabios", "libvirt-daemon-system", "libvirt-clients"],
	...["dbus", "xorriso"],
];

const limitMs = 60_000;
/** Of no use to a machine that nobody sits at. */
const left = [
	...["usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/info", "usr/include"],
	// libvirt would ask each of them at its start what it can do.
	...["usr/bin/qemu-system-i386", "usr/bin/qemu-system-x86_64-microvm"],
];

/** Users and groups beside those of base-passwd, with the numbers that Debian gives where it fixes them. */
const users = [
	{ name: "libvirt-qemu", uid: 64055, gid: 106, home: "/var/lib/libvirt" },
	{ name: "_rpc", uid: 110, gid: 65534, home: "/run/rpcbind" },
	{ name: "statd", uid: 111, gid: 65534, home: "/var/lib/nfs" },
	{ name: "sanlock", uid: 112, gid: 112, home: "/run/sanlock" },
	{ name: "messagebus", uid: 113, gid: 113, home: "/nonexistent" },
	{ name: "libvirt-dnsmasq", uid: 114, gid: 114, home: "/var/lib/libvirt/dnsmasq" },
];
const groups = [
	...["kvm:x:106:libvirt-qemu", "libvirt:x:107:", "libvirt-qemu:x:64055:libvirt-qemu", "sanlock:x:112:"],
	...["messagebus:x:113:", "libvirt-dnsmasq:x:114:", "input:x:115:", "sgx:x:116:", "render:x:117:", "clock:x:118:"],
];

/** Makes `out`/root.raw, ext4, and `out`/kernel, `out`/busybox and `out`/modules, which it is booted with. */
export async function makeRootDisk(out: string): Promise<void> {
	const work = join(out, "work");
	await mkdir(work);
	const root = await unpackDebian(work, rootPackages);
	const release = present((await readdir(join(root, "usr/lib/modules")))[0], "the modules of the kernel");
	await prepareModules(root, release);
	await run("ldconfig", ["-r", root], { timeoutMs: limitMs });
	await configure(root);
	for (const path of left) await rm(join(root, path), { recursive: true, force: true });
	await copyFile(join(root, "boot", `vmlinuz-${release}`), join(out, "kernel"));
	await copyFile(join(root, "usr/bin/busybox"), join(out, "busybox"));
	await cp(join(root, "usr/lib/modules", release, "kernel"), join(out, "modules"), { recursive: true });
	await rm(join(root, "boot"), { recursive: true });
	await makeFilledDisk({ from: root, to: join(out, "root.raw"), spareBytes: 0 });
	await rm(work, { recursive: true });
}

/** Decompressed once, here, instead of at each load under emulation. */
async function prepareModules(root: string, release: string): Promise<void> {
	const modules = join(root, "usr/lib/modules", release);
	const packed = (await readdir(modules, { recursive: true })).filter((path) => path.endsWith(".ko.xz"));
	const halves = [0, 1].map((half) => packed.filter((_, at) => at % 2 === half));
	await Promise.all(halves.map((paths) => run("xz", ["-d", "--", ...paths], { timeoutMs: limitMs, cwd: modules })));
	for (const path of packed) await dropSignature(join(modules, path.slice(0, -".xz".length)));
	await run("chroot", [root, "/usr/sbin/depmod", release], { timeoutMs: limitMs });
}

const signatureMark = "~Module signature appended~\n";
const signatureHeadBytes = 12;

/** Nobody asks for it, and checking it takes longer than the rest of loading. See module_signature.h of Linux. */
async function dropSignature(path: string): Promise<void> {
	const data = await readFile(path);
	const headAt = data.length - signatureMark.length - signatureHeadBytes;
	if (headAt < 0 || data.toString("latin1", headAt + signatureHeadBytes) !== signatureMark) return;
	// The last of the head's fields.
	const signatureBytes = data.readUInt32BE(headAt + 8);
	await truncate(path, headAt - signatureBytes);
}

async function configure(root: string): Promise<void> {
	const write = (path: string, lines: readonly string[]) => writeFile(join(root, path), `${lines.join("\n")}\n`);
	const master = (name: string) => readFile(join(root, "usr/share/base-passwd", `${name}.master`), "utf8");
	// No password is asked for and none is known: "*" stands where nobody logs in.
	const own = users.map(({ name, uid, gid, home }) => `${name}:*:${uid}:${gid}::${home}:/usr/sbin/nologin`);
	await write("etc/passwd", [(await master("passwd")).trimEnd(), ...own]);
	await write("etc/group", [(await master("group")).trimEnd(), ...groups]);
	await write("etc/nsswitch.conf", ["passwd: files", "group: files", "hosts: files", "services: files", "rpc: files"]);
	await write("etc/hosts", ["127.0.0.1 localhost storage-vm"]);
	await write("etc/fstab", []);
	await write("etc/machine-id", ["5f0c6e1d8a7b4d2c9e3f1a2b3c4d5e6f"]);
	await symlink("gawk", join(root, "usr/bin/awk"));
	for (const path of ["lab", "repo", "tools", "data", "etc/exports.d", "var/lib/nfs/sm", "var/lib/nfs/v4recovery"])
		await mkdir(join(root, path), { recursive: true });
	for (const path of ["etab", "rmtab", "xtab", "state"]) await write(`var/lib/nfs/${path}`, []);
}
