/**
 * A Ceph pool whose cluster hangs, or whose key is not taken, and a libvirtd that has forgotten the key: what is said, what goes on
 * meanwhile, and that everything is as before afterwards, seen from inside the guest.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { note } from "../note.ts";
import { type CephSystem, startCephSystem } from "./ceph-system.ts";
import { GuestTerminal } from "./guest-terminal.ts";

let lab: CephSystem;
let poolId: string;
beforeAll(async () => {
	lab = await startCephSystem("ceph-away");
	poolId = await lab.makePool("rbd");
	await lab.system.image();
}, 300_000);
afterAll(() => lab?.[Symbol.asyncDispose](), 60_000);

const poolNow = async () => (await lab.system.api.call("poolGet", { path: { id: poolId } })).body;
const untilPool = (phase: "ready" | "error", limitMs: number) =>
	waitUntil(`the pool to be ${phase}`, limitMs, async () => {
		const pool = await poolNow();
		return pool.phase === phase ? pool : undefined;
	});

/** The root disk in the local pool, so that its shell answers whatever its other disk does. */
async function vmWithRbdDisk(name: string, start = true) {
	const { system } = lab;
	const vm = await system.createVm({
		...{ name, nics: [], start },
		disks: [{ imageId: (await system.image()).id }, { sizeBytes: 32 * MiB, poolId }],
	});
	return { vm, guest: new GuestTerminal(system, vm.id), volumeId: vm.spec.disks[1]?.volumeId ?? "" };
}

async function gone(...ids: string[]): Promise<void> {
	const { system } = lab;
	for (const id of ids) {
		if ((await system.vm(id)).status.powerState !== "stopped")
			await system.done(await system.api.call("vmStop", { path: { id } }));
		await system.done(await system.api.call("vmDelete", { path: { id } }));
	}
	expect(await lab.images()).toEqual([]);
}

test("libvirtd was restarted and has forgotten the key: it has it again, and a VM starts", async () => {
	const { system, virsh } = lab;
	const { vm, guest } = await vmWithRbdDisk("secret", false);
	const secrets = async () => (await virsh("secret-list")).split("\n").filter((line) => line.includes("ceph"));
	const startAndStop = async (from: number): Promise<number> => {
		await system.done(await system.api.call("vmStart", { path: { id: vm.id } }));
		await guest.booted(from);
		expect(await guest.run("cat /sys/block/vdb/size")).toBe(String((32 * MiB) / 512));
		await system.done(await system.api.call("vmStop", { path: { id: vm.id } }));
		return guest.mark();
	};
	let from = await startAndStop(0);
	const before = await secrets();
	expect(before).toHaveLength(1);
	for (const end of ["restarted", "killed"] as const) {
		if (end === "killed") await system.libvirtd.kill9();
		await system.libvirtd.restart();
		// Nobody has asked for a VM yet.
		await waitUntil("libvirt to have the key again", 60_000, async () =>
			(await secrets()).join() === before.join() ? true : undefined,
		);
		await system.ready();
		from = await startAndStop(from);
	}
	const secretId = /[0-9a-f-]{36}/.exec(before.join())?.[0] ?? "";
	// Ephemeral and private: libvirt gives it to nobody, and writes it nowhere.
	expect(await virsh("secret-dumpxml", secretId)).toMatch(/ephemeral='yes' private='yes'/);
	expect(await virsh("dumpxml", vm.id)).not.toContain(lab.cephKey);
	await gone(vm.id);
}, 300_000);

test("a key that the cluster does not take is said by the pool, by who makes one, and by a VM that does not start", async () => {
	const { system, ceph, pool, cephKey } = lab;
	const { api } = system;
	const { vm, guest } = await vmWithRbdDisk("keyless", false);
	const wrong = Buffer.from(cephKey, "base64");
	wrong[20] = (wrong[20] ?? 0) ^ 1;
	const credentials = { cephKey: wrong.toString("base64") };
	const config = { ...pool.config, cephPool: "other" };
	const refusal = await failureOf(api.call("poolCreate", { body: { name: "other", ...pool, config, credentials } }));
	expect(refusal.message).toContain("refuses the user or the key");
	// The cluster's administrator gives the user another key.
	const replaced = await ceph.ceph("auth", "get", "client.limiquantix", "--format", "json");
	const [{ caps }] = JSON.parse(replaced.stdout);
	await ceph.ceph("auth", "rm", "client.limiquantix");
	const key = await ceph.makeUser("limiquantix", Object.entries(caps as Record<string, string>).flat());
	expect(key).not.toBe(cephKey);
	const bad = await untilPool("error", 60_000);
	expect(bad.nodes[0]?.reason).toContain("refuses the user or the key");
	const failed = await system.finished((await api.call("vmStart", { path: { id: vm.id } })).taskLocation);
	expect(failed).toMatchObject({ state: "failed", error: { message: expect.stringContaining("the key") } });
	await api.call("poolUpdate", { path: { id: poolId }, body: { credentials: { cephKey: key } } });
	await untilPool("ready", 60_000);
	await system.done(await api.call("vmStart", { path: { id: vm.id } }));
	await guest.booted();
	lab.cephKey = key;
	lab.pool.credentials.cephKey = key;
	await gone(vm.id);
}, 300_000);

test("the OSDs hang: the guest's writes wait and go on, everybody else is served", async () => {
	const { system, ceph } = lab;
	const { api } = system;
	const { vm, guest, volumeId } = await vmWithRbdDisk("writer");
	const { vm: victim } = await vmWithRbdDisk("victim");
	const other = await system.createVm({ name: "neighbour", nics: [], start: false });
	await guest.booted();
	await new GuestTerminal(system, victim.id).booted();
	// Each number is on the disk before the next one is written. What it has done so far, the guest keeps in its memory.
	await guest.run(
		"rm -f /tmp/stop /tmp/ended; echo 0 > /tmp/n; (while [ ! -e /tmp/stop ]; do n=$(($(cat /tmp/n) + 1)); printf '%08d' $n | dd of=/dev/vdb bs=8 seek=$((n % 4096)) conv=notrunc,fsync 2>/tmp/said || echo $n >> /tmp/failed; echo $n > /tmp/n; done; echo > /tmp/ended) & echo begun",
	);
	const count = async () => Number(await guest.run("cat /tmp/n"));
	await waitUntil("the guest to write", 30_000, async () => ((await count()) > 3 ? true : undefined));
	const before = await count();

	ceph.freeze("osd");
	const frozenMs = performance.now();
	let thawed = false;
	try {
		// Ten seconds, and what a busy machine adds.
		const bad = await untilPool("error", 15_000);
		const noticedMs = performance.now() - frozenMs;
		note(`ceph-away: the pool was in error after ${(noticedMs / 1000).toFixed(1)} s`);
		expect(bad.nodes[0]?.reason).toContain("did not answer in time");
		// It cannot be asked: QEMU may stand still as a whole (docs/decisions/0053-ceph-rbd.md). It is not paused, and has not ended.
		expect((await system.vm(vm.id)).status.powerState).toBe("running");
		// Others start, and who waits for the cluster is stopped.
		await system.done(await api.call("vmStart", { path: { id: other.id } }));
		await new GuestTerminal(system, other.id).booted();
		await system.done(await api.call("vmStop", { path: { id: victim.id } }));
		const refused = await api.call("vmStart", { path: { id: victim.id } });
		const failed = await system.finished(refused.taskLocation);
		expect(failed).toMatchObject({
			state: "failed",
			error: { message: expect.stringContaining("did not answer in time") },
		});
		// A daemon that starts now serves all the same, and finds the VM running.
		await system.daemon.term();
		await system.daemon.start();
		await waitUntil("the node to be connected", 60_000, async () =>
			(await api.call("healthGet")).body.hypervisor === "connected" ? true : undefined,
		);
		await system.untilVm(vm.id, "the VM to be seen", ({ status }) => status.powerState === "running");
		expect((await poolNow()).phase).toBe("error");
		ceph.resume("osd");
		thawed = true;
		await untilPool("ready", 120_000);
		const later = await count();
		expect(later).toBeGreaterThanOrEqual(before);
		await waitUntil("the guest to write on", 120_000, async () => ((await count()) > later + 3 ? true : undefined));
	} finally {
		if (!thawed) ceph.resume("osd");
	}
	const last = Number(await guest.run("touch /tmp/stop; while [ ! -e /tmp/ended ]; do sleep 0.1; done; cat /tmp/n"));
	expect(await guest.run("cat /tmp/failed 2>/dev/null; echo none")).toBe("none");
	const read = `echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vdb bs=8 skip=${last % 4096} count=1 2>/dev/null`;
	expect(await guest.run(read)).toBe(String(last).padStart(8, "0"));
	expect((await api.call("volumeGet", { path: { id: volumeId } })).body).toMatchObject({
		phase: "ready",
		error: null,
	});
	await system.done(await api.call("vmStart", { path: { id: victim.id } }));
	await new GuestTerminal(system, victim.id).booted();
	await gone(vm.id, victim.id, other.id);
}, 420_000);
