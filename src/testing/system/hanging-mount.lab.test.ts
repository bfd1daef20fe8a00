/** A mount of the host whose server is gone, under a pool and under the disks of domains that others made: the node goes on. */
import { expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { element, textElement, writeXml } from "../../lib/xml-writer.ts";
import { startHangingMount } from "../lab/hanging-mount.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { startLabSystem } from "./lab-system.ts";
import { findLeftovers } from "./leftovers.ts";

const limitMs = 240_000;
/** A pool is looked at every 5 s, and a look has 5 s; more is a machine that is busy. */
const noticedMs = 20_000;
const silent = /does not answer/;
const at = (id: string) => ({ path: { id } });

const foreignXml = (name: string, disk: string): string =>
	writeXml(
		element("domain", { type: "qemu" }, [
			textElement("name", name),
			textElement("memory", 64 * MiB, { unit: "bytes" }),
			textElement("vcpu", "1"),
			element("os", {}, [textElement("type", "hvm", { arch: "x86_64", machine: "q35" })]),
			element("devices", {}, [
				element("disk", { type: "file", device: "disk" }, [
					element("driver", { name: "qemu", type: "qcow2" }),
					element("source", { file: disk }),
					element("target", { dev: "vda", bus: "virtio" }),
				]),
			]),
		]),
	);

test(
	"a dead mount under a pool and under foreign domains: both say so, everything else works, and it heals",
	async () => {
		await using mount = await startHangingMount();
		await using system = await startLabSystem({ name: "hanging-mount" });
		const { api, libvirtd, done, finished } = system;
		const virsh = async (...args: string[]) => (await libvirtd.runInNamespace("virsh", ["--quiet", ...args])).stdout;
		const disk = async (name: string) => {
			const path = join(mount.path, name);
			await run("qemu-img", ["create", "-q", "-f", "qcow2", "--", path, String(8 * MiB)], { timeoutMs: 10_000 });
			return path;
		};
		const define = async (name: string, path: string) => {
			const file = join(system.daemon.runDir, `${name}.xml`);
			writeFileSync(file, foreignXml(name, path));
			await virsh("define", file);
			return (await virsh("domuuid", name)).trim();
		};
		const pool = async (id: string) => (await api.call("poolGet", at(id))).body;

		// A pool on the mount; a domain that is adopted, by way of a link, while it runs; and one that stays foreign.
		const made = await api.call("poolCreate", {
			body: { name: "on-mount", type: "local", config: { path: join(mount.path, "pool") } },
		});
		await done(made);
		const link = join(system.daemon.runDir, "link");
		symlinkSync(mount.path, link);
		await disk("taken.qcow2");
		const taken = await define("taken", join(link, "taken.qcow2"));
		await virsh("start", "taken");
		await done(await api.call("foreignVmAdopt", at(taken)));
		const foreign = await define("foreign", await disk("foreign.qcow2"));
		const volumeId = present((await system.vm(taken)).spec.disks[0], "the adopted disk").volumeId;

		mount.hang();
		const hung = await waitUntil("the pool to be shown as hanging", noticedMs, async () => {
			const [node] = (await pool(made.body.id)).nodes;
			return node?.health === "error" ? node : undefined;
		});
		expect(hung.reason).toMatch(silent);
		await waitUntil("the volume elsewhere to be missed", 60_000, async () => {
			const volume = (await api.call("volumeGet", at(volumeId))).body;
			return volume.phase === "error" && silent.test(volume.error?.message ?? "");
		});

		// Asked again and again while it hangs, what cannot be answered says why.
		for (let count = 0; count < 3; count++) {
			const listed = (await api.call("foreignVmList")).body.items.find(({ id }) => id === foreign);
			expect(listed?.obstacles.join(" ")).toMatch(/does not answer|cannot be looked at/);
			expect((await failureOf(api.call("foreignVmAdopt", at(foreign)))).code).toBe("wrong-state");
		}
		const image = await api.call("imageCreate", {
			body: { name: "hung", format: "qcow2", source: { kind: "path", path: join(mount.path, "foreign.qcow2") } },
		});
		const task = await finished(image.taskLocation ?? image.location ?? null);
		expect([task.state, task.error?.code]).toEqual(["failed", "timeout"]);
		expect(task.error?.message).toMatch(silent);

		// The rest of the node: health, other VMs from the beginning to the end, the adopted VM's state.
		expect((await api.call("healthGet")).status).toBe(200);
		const other = await system.createVm({ name: "other" });
		await system.untilVm(other.id, "the other VM to run", ({ status }) => status.powerState === "running");
		await done(await api.call("vmDelete", at(other.id)));
		expect((await system.vm(taken)).status.powerState).toBe("running");
		expect((await pool(made.body.id)).nodes.map(({ health }) => health)).toEqual(["error"]);

		// A start of the daemon while it hangs.
		await system.daemon.kill9();
		await system.daemon.start();
		await waitUntil("the node to be there again", noticedMs, async () => {
			const health = (await api.call("healthGet")).body;
			return health.hypervisor === "connected";
		});
		const again = await system.createVm({ name: "again" });
		await done(await api.call("vmDelete", at(again.id)));

		mount.goOn();
		await waitUntil("the pool to be healthy", 60_000, async () =>
			(await pool(made.body.id)).nodes.every(({ health }) => health === "healthy"),
		);
		await waitUntil("the volume to be back", 60_000, async () => {
			return (await api.call("volumeGet", at(volumeId))).body.phase === "ready";
		});
		await waitUntil("the foreign domain to be free", 30_000, async () => {
			const items = (await api.call("foreignVmList")).body.items;
			return items.find(({ id }) => id === foreign)?.obstacles.length === 0;
		});
		await virsh("undefine", "foreign");
		await done(await api.call("vmStop", at(taken)));
		await done(await api.call("vmDelete", at(taken)));
		await done(await api.call("imageDelete", at(image.body.id)));
		expect(await findLeftovers(system)).toEqual([]);
		await done(await api.call("poolDelete", at(made.body.id)));
		expect(await Bun.file(join(mount.behind, "pool", "limiquantix-pool.json")).exists()).toBe(false);
	},
	limitMs,
);
