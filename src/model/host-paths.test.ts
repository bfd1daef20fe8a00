/** Where pools may be, and where images are read from. */
import { expect, test } from "bun:test";
import { imagePathRefusal, isInside, poolPathRefusal } from "./host-paths.ts";

test("no pool in the system's folders, nor in those that all share", () => {
	for (const path of [
		...["/", "/home", "/var", "/var/lib", "/var/lib/libvirt", "/usr", "/opt", "/srv", "/mnt", "/media", "/tmp"],
		...["/etc", "/etc/lqxpool", "/proc/1/root/srv", "/sys/x", "/dev/shm/x", "/boot/x", "/run/x", "/var/run/x", "/root"],
		...["/usr/local/x", "/bin/x", "/sbin", "/lib/x", "/lib64/x"],
	])
		expect(`${path} ${poolPathRefusal(path)}`).not.toBe(`${path} null`);
});

test("pools in folders of their own", () => {
	for (const path of [
		"/srv/a",
		"/mnt/a",
		"/media/a",
		"/opt/a",
		"/home/x",
		"/home/x/a",
		"/var/lib/x",
		"/tmp/x",
		"/data",
	])
		expect(`${path} ${poolPathRefusal(path)}`).toBe(`${path} null`);
	for (const path of ["/etcetera", "/runs/a", "/var/running", "/library"]) expect(poolPathRefusal(path)).toBeNull();
});

test("images are read from everywhere but the system's secrets", () => {
	for (const path of ["/etc/shadow", "/proc/kcore", "/sys/x", "/dev/sda", "/run/x", "/var/run/x", "/boot/vmlinuz"])
		expect(imagePathRefusal(path)).toContain("It is inside /");
	for (const path of ["/root/disk.qcow2", "/srv/a.iso", "/var/lib/libvirt/images/a.qcow2", "/usr/share/x.iso", "/a"])
		expect(imagePathRefusal(path)).toBeNull();
});

test("inside means the folder or below, not a longer name", () => {
	expect([isInside("/a", "/a"), isInside("/a/b", "/a"), isInside("/ab", "/a"), isInside("/a", "/")]).toEqual([
		...[true, true, false, true],
	]);
});
