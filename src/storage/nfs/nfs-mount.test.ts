/** Unmounting what somebody may use, whose server may be gone. Nothing is mounted. */
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fails } from "../conformance.ts";
import { NfsMount } from "./nfs-mount.ts";
import { isOpenBelow } from "./open-below.ts";
import { FakeMounts } from "./testing/fake-mounts.ts";

const path = "/run/nowhere/mount";

function mounted(more: { busy?: boolean } = {}) {
	const host = new FakeMounts();
	host.add({ path, source: "nas:/x", options: "hard", ...more });
	return { host, mount: new NfsMount(path, { source: "nas:/x", options: "hard", limitMs: 1000, host }) };
}
const detached = ({ calls }: FakeMounts) => calls.filter((call) => call.includes(" -l "));

test("what is open stays mounted when that was to be refused", async () => {
	const { host, mount } = mounted({ busy: true });
	await fails("in-use", mount.unmount({ busy: "refuse" }));
	expect(host.mounts).toHaveLength(1);
	expect(detached(host)).toEqual([]);
	await mount.unmount({ busy: "detach" });
	expect(host.mounts).toEqual([]);
});

test("also when the server is gone, and umount(8) cannot say that it is open", async () => {
	const { host, mount } = mounted();
	host.serverIsGone = true;
	host.openBelow = [path];
	await fails("in-use", mount.unmount({ busy: "refuse" }));
	expect(host.mounts).toHaveLength(1);
	expect(detached(host)).toEqual([]);
	// Nobody has: its settings may be changed to another server.
	host.openBelow = [];
	await mount.unmount({ busy: "refuse" });
	expect(host.mounts).toEqual([]);
	expect(detached(host)).toHaveLength(1);
});

test("what is gone although umount(8) was too late needs nothing more", async () => {
	const { host, mount } = mounted();
	Object.assign(host, { serverIsGone: true, goesAllTheSame: true });
	await mount.unmount({ busy: "refuse" });
	expect(detached(host)).toEqual([]);
});

test("who has something open below a folder", async () => {
	const proc = await mkdtemp(join(tmpdir(), "lqx-proc-"));
	try {
		for (const id of ["1", "20", "self"]) await mkdir(join(proc, id, "fd"), { recursive: true });
		await symlink("/", join(proc, "1", "cwd"));
		await symlink("/run/pools/b/mount/disk.qcow2", join(proc, "20", "fd", "3"));
		await symlink("/run/pools/c", join(proc, "20", "cwd"));
		await symlink("/run/pools/d/x", join(proc, "self", "cwd"));
		const open = await Promise.all(["a", "b", "c", "d"].map((name) => isOpenBelow(`/run/pools/${name}`, proc)));
		expect(open).toEqual([false, true, true, false]);
		expect(await isOpenBelow("/run/pools/b/mount/disk", proc)).toBe(false);
	} finally {
		await rm(proc, { recursive: true });
	}
});
