/** A VM from a real disk image, through the API of the built node, as a person would use it: seen, typed at, changed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import type { Vm, VmUpdate } from "../../model/vm.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import type { Screenshot } from "../lab/screenshot.ts";
import { cursorPixels } from "../lab/screenshot.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { domainIds, findLeftovers, qemuPids } from "./leftovers.ts";
import { calmScreen, openVnc, pictureOf } from "./picture.ts";

const limitMs = 240_000;

let system: LabSystem;
beforeAll(async () => {
	system = await startLabSystem({ name: "lifecycle" });
	await system.image();
}, 120_000);
afterAll(() => system?.[Symbol.asyncDispose]());

const at = (id: string) => ({ path: { id } });

async function update(id: string, body: VmUpdate): Promise<Vm> {
	const answer = await system.api.call("vmUpdate", { ...at(id), body });
	if (answer.taskLocation) await system.done(answer);
	return system.vm(id);
}

/** Deletes the VM and looks whether anything of it is left. */
async function deleteWhole(vm: Vm): Promise<void> {
	const files = [join(system.daemon.dataDir, "vms", vm.id), ...vm.spec.disks.map((disk) => volumePath(disk.volumeId))];
	expect(files.map((path) => existsSync(path))).toEqual(files.map(() => true));
	await system.done(await system.api.call("vmDelete", at(vm.id)));
	expect((await failureOf(system.api.call("vmGet", at(vm.id)))).code).toBe("not-found");
	expect(files.filter((path) => existsSync(path))).toEqual([]);
	expect(await domainIds(system)).not.toContain(vm.id);
	expect(await findLeftovers(system)).toEqual([]);
}

const volumePath = (id: string) => join(system.daemon.dataDir, "pools/local/volumes", id);

const domainState = async (id: string): Promise<string> =>
	(await system.libvirtd.runInNamespace("virsh", ["--quiet", "domstate", id])).stdout.trim();

const isWelcome = (screen: Screenshot) => screen.pixel(2, 2) % 0x100 > 0x80 && screen.countDistinctColours() >= 5;

for (const firmware of ["bios", "uefi"] as const)
	test(
		`${firmware}: created, seen, typed at, paused, shut down, started again, deleted`,
		async () => {
			const { api } = system;
			const vm = await system.createVm({ name: `screen-${firmware}`, firmware });
			expect(vm.status).toMatchObject({
				powerState: "running",
				accelerator: "tcg",
				error: null,
				pendingRestart: false,
			});
			const guest = new GuestTerminal(system, vm.id);
			await guest.booted();
			// The last that comes onto the screen by itself.
			await guest.says(/LIMIQUANTIX-GUEST address eth0 /);
			const said = await guest.text();
			for (const fact of [`firmware ${firmware}`, "boot-count 1", "cpus 1"])
				expect(said).toContain(`LIMIQUANTIX-GUEST ${fact}\r\n`);
			for (const port of ["org.limiquantix.agent.0", "org.qemu.guest_agent.0", "com.redhat.spice.0"])
				expect(said).toMatch(new RegExp(`GUEST port vport\\dp\\d ${RegExp.escape(port)}\r`));

			const vnc = await openVnc(system, vm.id);
			await vnc.waitForScreen(isWelcome, 20_000);
			// It is said before it is drawn.
			const live = await waitUntil("the picture to be what a viewer sees", 20_000, async () => {
				const seen = await calmScreen(vnc);
				const picture = await pictureOf(system, vm.id);
				return picture.countDifferingPixels(seen) <= cursorPixels ? seen : undefined;
			});
			const from = await guest.mark();
			await vnc.typeText("echo Typed-$((6*7)) > /dev/ttyS0\n");
			await guest.says("Typed-42", { from });
			const typed = await vnc.screenshot();
			expect(typed.differsFrom(live, 500)).toBe(true);

			const onlyLooking = await openVnc(system, vm.id, { viewOnly: true });
			await onlyLooking.typeText("echo Never > /dev/ttyS0\n");
			await onlyLooking.close();

			await system.done(await api.call("vmPause", at(vm.id)));
			expect((await system.vm(vm.id)).status.powerState).toBe("paused");
			expect(await domainState(vm.id)).toBe("paused");
			await system.done(await api.call("vmResume", at(vm.id)));
			expect((await system.vm(vm.id)).status.powerState).toBe("running");
			const woken = await guest.mark();
			await vnc.typeText("echo Woken > /dev/ttyS0\n");
			await guest.says("Woken", { from: woken });
			expect(await guest.text()).not.toContain("Never");

			const started = (await system.vm(vm.id)).status.startedAt;
			const shutdown = await system.done(await api.call("vmShutdown", at(vm.id)));
			expect(await guest.text()).toContain("LIMIQUANTIX-GUEST power-button pressed");
			expect(await guest.text()).toContain("LIMIQUANTIX-GUEST STOPPING");
			expect(await vnc.closed).toBeNumber();
			const off = await system.vm(vm.id);
			expect(off.status).toMatchObject({ powerState: "stopped", startedAt: null, addresses: [], error: null });
			expect(off.desiredPower).toBe("stopped");
			expect(shutdown.message ?? "").not.toContain("stopped");
			expect((await failureOf(api.call("vmScreenshotGet", at(vm.id)))).code).toBe("wrong-state");

			const again = await guest.mark();
			await system.done(await api.call("vmStart", at(vm.id)));
			expect((await system.vm(vm.id)).status.startedAt).not.toBe(started);
			// Once is enough: booting is most of this test.
			if (firmware === "bios") await guest.says("LIMIQUANTIX-GUEST boot-count 2", { from: again, limitMs: 120_000 });
			await deleteWhole(await system.vm(vm.id));
			expect(await qemuPids(system)).toEqual([]);
		},
		limitMs,
	);

test(
	"a guest that does not listen is stopped when the time is up; one that switches itself off is stopped; a reset starts anew",
	async () => {
		const { api } = system;
		const vm = await system.createVm({ name: "power", nics: [] });
		const guest = new GuestTerminal(system, vm.id);
		await guest.booted();
		await guest.run("touch /run/ignore-power-button");
		const task = await system.done(await api.call("vmShutdown", { ...at(vm.id), body: { timeoutMs: 3000 } }));
		expect(await guest.text()).toContain("power-button pressed");
		expect(await guest.text()).not.toContain("STOPPING");
		expect(task.message).toContain("did not shut down within 3 s");
		expect((await system.vm(vm.id)).status).toMatchObject({ powerState: "stopped", error: null });

		let from = await guest.mark();
		await system.done(await api.call("vmStart", at(vm.id)));
		await guest.booted(from);
		from = await guest.mark();
		await system.done(await api.call("vmReset", at(vm.id)));
		await guest.says("boot-count 3", { from, limitMs: 60_000 });
		await guest.booted(from);
		expect((await system.vm(vm.id)).status.powerState).toBe("running");

		await guest.type("poweroff\n");
		const off = await system.untilVm(vm.id, "the VM to be off", (now) => now.status.powerState === "stopped");
		expect(off.status).toMatchObject({ reason: "Shut down by the guest.", error: null });
		expect(off.desiredPower).toBe("stopped");
		await deleteWhole(off);
	},
	limitMs,
);

test(
	"what is changed while it runs: CPUs, memory, disks, its name; the rest waits for the next start",
	async () => {
		const { api } = system;
		const vm = await system.createVm({ name: "changes", nics: [] });
		const guest = new GuestTerminal(system, vm.id);
		await guest.booted();

		let from = await guest.mark();
		let now = await update(vm.id, { vcpus: 2 });
		await guest.says(/add cpu cpu\d+ 2\r/, { from });
		expect(await guest.run("nproc")).toBe("2");
		expect(now.status).toMatchObject({ pendingRestart: false, differences: [], observedGeneration: now.generation });

		const memory = Number(await guest.run("awk '/^MemTotal/ { print $2 }' /proc/meminfo"));
		from = await guest.mark();
		now = await update(vm.id, { memoryBytes: 384 * MiB });
		expect(now.status.pendingRestart).toBe(false);
		await guest.says(/add memory \d+/, { from });
		const total = async () => Number(await guest.run("awk '/^MemTotal/ { print $2 }' /proc/meminfo"));
		expect(await total()).toBeGreaterThan(memory + 100 * 1024);

		const volume = await api.call("volumeCreate", { body: { name: "data", sizeBytes: 8 * MiB } });
		await system.done(volume);
		from = await guest.mark();
		const disk = { id: "data", volumeId: volume.body.id, bus: "virtio", cache: "none", discard: true } as const;
		now = await update(vm.id, { disks: [...now.spec.disks, { ...disk, readOnly: false }] });
		await guest.says(`add block vdb ${8 * MiB}`, { from });
		expect(now.status).toMatchObject({ pendingRestart: false, differences: [] });
		expect(await guest.run("echo kept > /dev/vdb; head -c 4 /dev/vdb")).toContain("kept");
		from = await guest.mark();
		await system.done(await api.call("volumeResize", { ...at(volume.body.id), body: { sizeBytes: 16 * MiB } }));
		await guest.says(`block vdb ${16 * MiB}`, { from });
		expect((await api.call("volumeGet", at(volume.body.id))).body.sizeBytes).toBe(16 * MiB);

		const pids = await qemuPids(system);
		now = await update(vm.id, { name: "renamed", firmware: "uefi" });
		expect(now.name).toBe("renamed");
		expect(now.status.pendingRestart).toBe(true);
		expect(now.status.differences.map(({ field, repair }) => [field, repair])).toContainEqual([
			"firmware",
			"next-start",
		]);
		expect(await guest.run("[ -d /sys/firmware/efi ] && echo uefi || echo bios")).toBe("bios");
		expect(await qemuPids(system)).toEqual(pids);

		await system.done(await api.call("vmShutdown", at(vm.id)));
		from = await guest.mark();
		await system.done(await api.call("vmStart", at(vm.id)));
		await guest.says("LIMIQUANTIX-GUEST firmware uefi", { from, limitMs: 120_000 });
		now = await system.vm(vm.id);
		expect(now.status).toMatchObject({ powerState: "running", pendingRestart: false, differences: [] });
		const { stdout } = await system.libvirtd.runInNamespace("virsh", ["--quiet", "desc", "--title", vm.id]);
		expect(stdout.trim()).toBe("renamed");
		await guest.booted(from);
		expect(await guest.run("head -c 4 /dev/vdb")).toBe("kept");

		// Taken off while it runs; the volume stays, alone.
		from = await guest.mark();
		now = await update(vm.id, { disks: now.spec.disks.slice(0, 1) });
		await guest.says("remove block vdb", { from });
		expect(now.status.pendingRestart).toBe(false);
		expect((await api.call("volumeGet", at(volume.body.id))).body.vmId).toBeNull();
		await deleteWhole(now);
		await system.done(await api.call("volumeDelete", at(volume.body.id)));
		expect(await findLeftovers(system)).toEqual([]);
	},
	limitMs,
);

test(
	"a VM without a disk starts from the disc that is put into its drive while it runs",
	async () => {
		const { api } = system;
		const answer = await api.call("imageCreate", {
			body: { name: "disc", format: "iso", source: { kind: "path", path: system.guest.isoPath } },
		});
		await system.done(answer);
		const vm = await system.createVm({ name: "disc", disks: [], nics: [], cdroms: [{ imageId: null }] });
		const guest = new GuestTerminal(system, vm.id);
		const cdromId = present(vm.spec.cdroms[0], "the drive").id;
		const change = (imageId: string | null) =>
			api.call("vmMediaChange", { ...at(vm.id), body: { cdromId, imageId } }).then((changed) => system.done(changed));
		await change(answer.body.id);
		await system.done(await api.call("vmReset", at(vm.id)));
		await guest.booted();
		expect(await guest.text()).not.toContain("boot-count");
		expect((await failureOf(api.call("imageDelete", at(answer.body.id)))).code).toBe("in-use");

		await change(null);
		const now = await system.vm(vm.id);
		expect(now.spec.cdroms).toEqual([{ id: cdromId, imageId: null }]);
		expect(now.status).toMatchObject({ pendingRestart: false, differences: [] });
		const { stdout } = await system.libvirtd.runInNamespace("virsh", ["--quiet", "domblklist", "--details", vm.id]);
		expect(stdout).toMatch(/cdrom +sda +-/);
		await deleteWhole(now);
		await system.done(await api.call("imageDelete", at(answer.body.id)));
		expect(await findLeftovers(system)).toEqual([]);
	},
	limitMs,
);

test(
	"the guest has an address from DHCP and the host name of its cloud-init data; both are told",
	async () => {
		const { api } = system;
		const vm = await system.createVm({
			name: "web-1",
			cloudInit: {
				kind: "form",
				hostname: "inside-1",
				users: [{ name: "root", sshKeys: ["ssh-ed25519 AAAA test"], passwordHash: null, sudo: false }],
				packages: [],
				network: null,
			},
		});
		const guest = new GuestTerminal(system, vm.id);
		await guest.booted();
		expect(await guest.run("hostname")).toBe("inside-1");
		expect(await guest.text()).toContain(`LIMIQUANTIX-GUEST instance-id ${vm.id}`);
		const [, address = ""] = await guest.says(/address eth0 ([\d.]+)\//);
		const nic = present(vm.spec.nics[0], "the NIC");
		const seen = await system.untilVm(vm.id, "its address", (now) => now.status.addresses.length > 0);
		expect(seen.status.addresses).toEqual([{ nicId: nic.id, mac: nic.mac, address }]);
		const { body: leases } = await api.call("networkLeaseList", at(nic.networkId));
		expect(leases.items.filter((lease) => lease.vmId === vm.id)).toMatchObject([
			{ mac: nic.mac, address, hostname: "inside-1", vmId: vm.id },
		]);
		await deleteWhole(await system.vm(vm.id));
	},
	limitMs,
);
