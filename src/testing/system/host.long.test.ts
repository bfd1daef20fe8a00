/** VMs that somebody else made, and a host that was restarted. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { element, textElement, writeXml } from "../../lib/xml-writer.ts";
import type { Task } from "../../model/task.ts";
import type { Vm } from "../../model/vm.ts";
import { buildGuestImage } from "../lab/guest-image.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { startLibvirtd } from "../lab/libvirtd.ts";
import { startMountNamespace } from "../lab/mount-namespace.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { cacheDir, labSystem, startLabSystem } from "./lab-system.ts";
import { domainIds, findLeftovers, qemuPids } from "./leftovers.ts";

const limitMs = 240_000;
const at = (id: string) => ({ path: { id } });

test(
	"a VM made with virsh is listed, adopted while it runs, and then like any other",
	async () => {
		await using system = await startLabSystem({ name: "foreign" });
		const { api, libvirtd, guest: image } = system;
		const folder = mkdtempSync("/tmp/lqx-foreign-");
		try {
			const disk = join(folder, "disk.qcow2");
			await run("qemu-img", ["convert", "-f", "qcow2", "-O", "qcow2", "--", image.qcow2Path, disk], {
				timeoutMs: 20_000,
			});
			const serialLog = join(folder, "serial.log");
			const virsh = async (...args: string[]) => (await libvirtd.runInNamespace("virsh", ["--quiet", ...args])).stdout;
			const define = async (name: string, machine: string) => {
				const path = join(folder, `${name}.xml`);
				writeFileSync(path, foreignXml({ name, machine, disk, serialLog }));
				await virsh("define", path);
				return (await virsh("domuuid", name)).trim();
			};
			const good = await define("made-by-hand", "q35");
			const odd = await define("too-odd", "pc");
			await virsh("start", "made-by-hand");
			const pids = await qemuPids(system);

			const { body: listed } = await api.call("foreignVmList");
			const byName = new Map(listed.items.map((vm) => [vm.name, vm]));
			expect(byName.get("made-by-hand")).toMatchObject({ id: good, powerState: "running", vcpus: 1, obstacles: [] });
			expect(byName.get("too-odd")).toMatchObject({ id: odd, powerState: "stopped" });
			expect(byName.get("too-odd")?.obstacles.join(" ")).toContain("machine type");
			expect((await api.call("vmList")).body.items).toEqual([]);
			const refused = await failureOf(api.call("foreignVmAdopt", at(odd)));
			expect([refused.code, refused.message]).toEqual(["wrong-state", expect.stringContaining("machine type")]);

			await system.done(await api.call("foreignVmAdopt", at(good)));
			expect((await api.call("foreignVmList")).body.items.map((vm) => vm.name)).toEqual(["too-odd"]);
			expect(await qemuPids(system)).toEqual(pids);
			const vm = await system.vm(good);
			expect(vm).toMatchObject({ name: "made-by-hand", desiredPower: "running", status: { powerState: "running" } });
			const volumeId = present(vm.spec.disks[0], "the disk").volumeId;
			const { body: volume } = await api.call("volumeGet", at(volumeId));
			expect(volume).toMatchObject({ phase: "ready", format: "qcow2", vmId: good, sizeBytes: 36 * 2 ** 20 });

			await system.done(await api.call("vmShutdown", { ...at(good), body: { timeoutMs: 60_000 } }));
			await system.done(await api.call("vmStart", at(good)));
			const guest = new GuestTerminal(system, good);
			await guest.booted();
			expect((await system.vm(good)).status).toMatchObject({
				powerState: "running",
				differences: [],
				pendingRestart: false,
			});

			// The other one belongs to whoever made it: a delete of ours does not touch it, nor its disk.
			await virsh("undefine", "too-odd");
			await system.done(await api.call("vmDelete", at(good)));
			expect(existsSync(disk)).toBe(false);
			expect(await findLeftovers(system)).toEqual([]);
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	},
	limitMs,
);

function foreignXml(vm: { name: string; machine: string; disk: string; serialLog: string }): string {
	return writeXml(
		element("domain", { type: "qemu" }, [
			textElement("name", vm.name),
			textElement("memory", "262144"),
			textElement("vcpu", "1"),
			element("os", {}, [textElement("type", "hvm", { arch: "x86_64", machine: vm.machine })]),
			element("features", {}, [element("acpi")]),
			element("devices", {}, [
				element("disk", { type: "file", device: "disk" }, [
					element("driver", { name: "qemu", type: "qcow2" }),
					element("source", { file: vm.disk }),
					element("target", { dev: "vda", bus: "virtio" }),
				]),
				element("serial", { type: "file" }, [element("source", { path: vm.serialLog })]),
			]),
		]),
	);
}

test(
	"after a restart of the host VMs with autostart start in their order, each after its delay; others stay off",
	async () => {
		const folder = mkdtempSync("/tmp/lqx-host-");
		const mounts = await startMountNamespace();
		const bootId = join(folder, "boot-id");
		const libvirtFolder = join(folder, "libvirt");
		mkdirSync(libvirtFolder);
		const boot = (number: number) => writeFileSync(bootId, `00000000-0000-4000-8000-00000000000${number}\n`);
		boot(1);
		await mounts.bind(bootId, "/proc/sys/kernel/random/boot_id");
		const guest = await buildGuestImage({ cacheDir });
		const options = { name: "host", folder: libvirtFolder };
		let libvirtd = await startLibvirtd(options);
		const parts = { guest, folder: join(folder, "node"), prefix: mounts.prefix };
		let system = labSystem({ libvirtd, ...parts });
		try {
			await system.daemon.start();
			await system.ready();
			const { api } = system;
			const make = (name: string, autostart: Vm["spec"]["autostart"] | null, start = true) =>
				system.createVm({ name, start, ...(autostart ? { autostart } : {}) });
			const last = await make("last", { enabled: true, order: 20, delayMs: 0 });
			const second = await make("second", { enabled: true, order: 10, delayMs: 0 });
			const first = await make("first", { enabled: true, order: 5, delayMs: 4000 }, false);
			const none = await make("none", null);
			const disabled = await make("disabled", { enabled: false, order: 1, delayMs: 0 });

			// The power goes: everything at once.
			await system.daemon.kill9();
			await libvirtd.stop();
			boot(2);
			libvirtd = await startLibvirtd(options);
			system = { ...system, libvirtd };
			const { daemon } = system;
			await daemon.start();
			await system.ready();
			for (const vm of [first, second, last])
				await system.untilVm(vm.id, `${vm.name} to run`, (now) => now.status.powerState === "running", 60_000);
			for (const vm of [none, disabled])
				expect((await system.vm(vm.id)).status).toMatchObject({
					...{ powerState: "stopped", reason: "The host restarted while the VM ran.", error: null },
				});
			const starts = async (): Promise<Task[]> => {
				const { body } = await api.call("taskList", { query: { kind: ["vm.start"], limit: 100 } });
				return body.items.filter((task) => task.requester.kind === "system").sort(byCreation);
			};
			const tasks = await starts();
			expect(tasks.map((task) => task.targets[0]?.name)).toEqual(["first", "second", "last"]);
			const times = tasks.map((task) => Date.parse(task.createdAt));
			expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(4000);

			// The daemon alone: nothing is started, also not what a person has stopped.
			await system.done(await api.call("vmStop", at(second.id)));
			await daemon.kill9();
			await daemon.start();
			await system.ready();
			await system.untilVm(last.id, "the VM to be taken over", (now) => now.status.powerState === "running");
			const after = await system.createVm({ name: "after", start: false });
			expect((await system.vm(second.id)).status.powerState).toBe("stopped");
			expect(await starts()).toHaveLength(3);
			for (const vm of [first, second, last, none, disabled, after])
				await system.done(await api.call("vmDelete", at(vm.id)));
			expect(await domainIds(system)).toEqual([]);
			expect(await findLeftovers(system)).toEqual([]);
		} finally {
			await system.daemon.stop();
			await libvirtd.stop();
			await mounts.stop();
			rmSync(folder, { recursive: true, force: true });
		}
	},
	limitMs,
);

const byCreation = (a: Task, b: Task): number => (a.id < b.id ? -1 : 1);
