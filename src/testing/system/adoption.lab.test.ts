/** Whose a file is: pools, foreign domains and the records, on a real host. */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { element, textElement, writeXml } from "../../lib/xml-writer.ts";
import type { Pool, Volume } from "../../model/storage.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { domainIds, findLeftovers } from "./leftovers.ts";

const limitMs = 120_000;
const at = (id: string) => ({ path: { id } });

async function makePool({ api, done }: LabSystem, name: string, path: string): Promise<Pool> {
	const answer = await api.call("poolCreate", { body: { name, type: "local", config: { path } } });
	await done(answer);
	return (await api.call("poolGet", at(answer.body.id))).body;
}

test(
	"nothing is taken from another pool; a failed adoption leaves a foreign domain; a file that is gone is told",
	async () => {
		await using system = await startLabSystem({ name: "adoption" });
		const { api, libvirtd, daemon, finished, done } = system;
		const folder = mkdtempSync("/tmp/lqx-adoption-");
		const virsh = async (...args: string[]) => (await libvirtd.runInNamespace("virsh", ["--quiet", ...args])).stdout;
		const define = async (name: string, disk: string, memoryBytes = 64 * MiB) => {
			const path = join(folder, `${name}.xml`);
			writeFileSync(path, foreignXml(name, disk, memoryBytes));
			await virsh("define", path);
			return (await virsh("domuuid", name)).trim();
		};
		const foreign = async (id: string) =>
			(await api.call("foreignVmList")).body.items.find((candidate) => candidate.id === id);
		try {
			const outer = await makePool(system, "outer", join(folder, "outer"));

			// A pool inside of another, by way of a link.
			symlinkSync(join(folder, "outer"), join(folder, "link"));
			const path = join(folder, "link", "volumes", ".tmp-inner");
			const body = { name: "inner", type: "local" as const, config: { path } };
			const inner = await failureOf(api.call("poolCreate", { body }));
			expect([inner.code, inner.message]).toEqual(["invalid", expect.stringContaining('storage pool "outer"')]);
			expect(existsSync(path)).toBe(false);

			// A disk that is a volume of another pool than the one that adopted disks are recorded in.
			const made = await api.call("volumeCreate", {
				body: { name: "precious", poolId: outer.id, sizeBytes: 4 * MiB, format: "qcow2" },
			});
			await done(made);
			const file = join(folder, "outer", "volumes", made.body.id, "disk-1.qcow2");
			const thief = await define("thief", file);
			expect((await foreign(thief))?.obstacles.join(" ")).toContain("in the folder of a storage pool");
			const refused = await failureOf(api.call("foreignVmAdopt", at(thief)));
			expect([refused.code, refused.message]).toEqual(["wrong-state", expect.stringContaining("storage pool")]);
			await virsh("undefine", "thief");

			// With the portable processor a VM cannot have that much memory: the definition is refused, the disk taken over.
			const disk = join(folder, "theirs.qcow2");
			await run("qemu-img", ["create", "-q", "-f", "qcow2", "--", disk, String(8 * MiB)], { timeoutMs: 10_000 });
			const large = await define("large", disk, 600 * GiB);
			await virsh("autostart", "large");
			const before = await virsh("dumpxml", "large");
			expect((await foreign(large))?.obstacles).toEqual([]);
			const failed = await finished((await api.call("foreignVmAdopt", at(large))).location);
			expect(failed).toMatchObject({ state: "failed", error: { code: "invalid" } });
			expect((await api.call("vmList")).body.items).toEqual([]);
			expect((await api.call("volumeList")).body.items.map((volume) => volume.name)).toEqual(["precious"]);
			expect(await virsh("dumpxml", "large")).toBe(before);
			expect(await virsh("dominfo", "large")).toMatch(/Autostart:\s+enable/);
			expect([existsSync(disk), await domainIds(system)]).toEqual([true, [large]]);
			expect(await foreign(large)).toMatchObject({ obstacles: [] });
			await virsh("undefine", "large");

			// The same file again, for a domain that can be had; what it was is what it is.
			const small = await define("small", disk);
			await virsh("autostart", "small");
			await done(await api.call("foreignVmAdopt", at(small)));
			const adopted = await system.vm(small);
			expect(adopted.spec).toMatchObject({
				disks: [{ readOnly: true, cache: "writethrough" }],
				...{ autostart: { enabled: true }, bootOrder: ["disk-0"] },
			});
			expect(await virsh("dominfo", "small")).toMatch(/Autostart:\s+disable/);

			// Its file goes, and comes back. Each start of the node looks at once.
			const volumeId = present(adopted.spec.disks[0], "the disk").volumeId;
			const phase = async (wanted: Volume["phase"]) => {
				await daemon.kill9();
				await daemon.start();
				await system.ready();
				return waitUntil(`the volume to be ${wanted}`, 20_000, async () => {
					const volume = (await api.call("volumeGet", at(volumeId))).body;
					return volume.phase === wanted ? volume : undefined;
				});
			};
			renameSync(disk, `${disk}.away`);
			expect((await phase("error")).error?.message).toContain("is missing");
			renameSync(`${disk}.away`, disk);
			expect((await phase("ready")).error).toBeNull();

			await done(await api.call("vmDelete", at(small)));
			await done(await api.call("volumeDelete", at(made.body.id)));
			expect([existsSync(disk), existsSync(file)]).toEqual([false, false]);
			expect(await findLeftovers(system)).toEqual([]);
			await done(await api.call("poolDelete", at(outer.id)));
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	},
	limitMs,
);

const foreignXml = (name: string, disk: string, memoryBytes: number): string =>
	writeXml(
		element("domain", { type: "qemu" }, [
			textElement("name", name),
			textElement("memory", memoryBytes, { unit: "bytes" }),
			textElement("vcpu", "1"),
			element("os", {}, [textElement("type", "hvm", { arch: "x86_64", machine: "q35" })]),
			element("devices", {}, [
				element("disk", { type: "file", device: "disk" }, [
					element("driver", { name: "qemu", type: "qcow2", cache: "writethrough" }),
					element("source", { file: disk }),
					element("target", { dev: "vda", bus: "virtio" }),
					element("readonly"),
				]),
			]),
		]),
	);
