import { describe, expect, test } from "bun:test";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { fileSource } from "../../model/disk-source.ts";
import { changedSpec, testLimitMs, useLibvirtLab } from "../../testing/lab/libvirt-session.ts";
import { foreignFixture, withCdrom, withDisk, withNic } from "../test-domain.ts";
import { xmlFlags } from "./rpc/flags.ts";

const session = useLibvirtLab("foreign");

describe("domains that others made", () => {
	test(
		"are described, adopted while they run, and keep their name",
		async () => {
			const disk = await session.lab.makeDisk(`foreign-${session.number}.qcow2`, "qcow2", 16 * MiB);
			const file = join(session.lab.folder, "foreign.xml");
			const mac = "52:54:00:aa:bb:01";
			writeFileSync(
				file,
				`<domain type='qemu'><name>theirs</name><uuid>${session.domain.id}</uuid><memory unit='MiB'>128</memory><vcpu>1</vcpu>
				<os><type arch='x86_64' machine='q35'>hvm</type></os><cpu mode='maximum'/><devices>
				<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vdb' bus='virtio'/></disk>
				<interface type='bridge'><mac address='${mac}'/><source bridge='br-a'/><model type='virtio'/></interface>
				<graphics type='vnc'/></devices></domain>`,
			);
			await session.virsh("define", file);
			await session.virsh("autostart", "theirs");
			expect(await session.lab.driver.getDomain(session.domain.id)).toMatchObject({
				name: "theirs",
				ours: false,
				definedGeneration: null,
			});
			expect(await session.lab.driver.inspectForeign(session.domain.id)).toEqual({
				...foreignFixture({
					...{ id: session.domain.id, autostart: true, cpuModel: "host" },
					disks: [{ target: "vdb", path: disk, format: "qcow2", bus: "virtio" }],
					nics: [{ mac, model: "virtio", bridge: "br-a", network: null }],
					bootOrder: [{ kind: "disk", index: 0 }],
				}),
				changes: expect.arrayContaining([expect.stringContaining("screen"), expect.stringContaining("graphics card")]),
			});
			await session.virsh("start", "theirs");
			const live = await session.read(session.domain.id);

			const ours = withNic(
				withDisk({ ...session.domain, name: "adopted" }, "disk-0", disk, { discard: false }),
				"nic-0",
				"br-a",
				{ mac },
			);
			await session.lab.driver.define(ours);
			expect(await session.lab.driver.getDomain(session.domain.id)).toMatchObject({
				...{ name: "adopted", ours: true, definedGeneration: 1, runningGeneration: null, powerState: "running" },
			});
			const differences = await session.lab.driver.compare(ours);
			expect(differences.map(({ field }) => field)).toContain("name");
			expect(differences.filter(({ repair }) => repair === "manual")).toEqual([]);
			await expect(session.lab.driver.vncSocket(session.domain.id)).rejects.toMatchObject({ code: "wrong-state" });
			await expect(session.lab.driver.inspectForeign(session.domain.id)).rejects.toMatchObject({ code: "wrong-state" });
			const defined = await session.read(session.domain.id, xmlFlags.inactive);
			expect(defined.libvirtName).toBe("theirs");
			expect(defined.facts.disks[0]?.placement).toEqual(live.facts.disks[0]?.placement ?? null);
			expect(defined.facts.nics[0]?.placement?.address).toEqual(live.facts.nics[0]?.placement?.address ?? {});
			expect((await session.virsh("dominfo", "theirs")).stdout).toMatch(/Autostart:\s+disable/);

			await session.lab.driver.resizeDisk(session.domain.id, "disk-0", 32 * MiB);
			const path = await session.lab.makeDisk(`moved-${session.number}.raw`, "raw", 32 * MiB);
			const copy = { id: "disk-0", source: fileSource(path), format: "raw" as const, backing: [] };
			await session.lab.driver.copyDisk(session.domain.id, "disk-0", copy);
			expect(await session.lab.driver.diskLayers(session.domain.id)).toEqual([{ diskId: "disk-0", layers: [path] }]);

			await session.lab.driver.destroy(session.domain.id);
			await session.lab.driver.start(session.domain.id, { paused: true });
			expect(await session.lab.driver.compare({ ...ours, disks: [copy] })).toEqual([]);
			expect(await session.lab.driver.vncSocket(session.domain.id)).toBe(join(session.domain.folder, "qemu/vnc.sock"));
		},
		testLimitMs,
	);

	test(
		"are what they were: media, links and the boot order are read, and a file behind a link keeps its place",
		async () => {
			const disk = await session.lab.makeDisk(`linked-${session.number}.qcow2`, "qcow2", 16 * MiB);
			const data = await session.lab.makeDisk(`data-${session.number}.raw`, "raw", 16 * MiB);
			const alias = join(session.lab.folder, "alias");
			symlinkSync(session.lab.folder, alias);
			const file = join(session.lab.folder, "foreign.xml");
			const [first, second] = ["52:54:00:aa:bb:02", "52:54:00:aa:bb:03"];
			writeFileSync(
				file,
				`<domain type='qemu'><name>rich</name><uuid>${session.domain.id}</uuid><memory unit='MiB'>128</memory><vcpu>1</vcpu>
				<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><cpu mode='maximum'/><devices>
				<disk type='file' device='disk'><driver name='qemu' type='raw' cache='writethrough'/><source file='${data}'/><target dev='vdf' bus='virtio'/><readonly/><serial>THEIRS</serial><boot order='3'/></disk>
				<disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/><source file='${join(alias, basename(disk))}'/><target dev='vdd' bus='virtio'/><boot order='2'/></disk>
				<disk type='file' device='cdrom'><target dev='sdc' bus='sata'/><readonly/></disk>
				<interface type='bridge'><mac address='${first}'/><source bridge='br-a'/><model type='virtio'/><link state='down'/></interface>
				<interface type='bridge'><mac address='${second}'/><source bridge='br-b'/><model type='e1000e'/><boot order='1'/></interface>
				</devices></domain>`,
			);
			await session.virsh("define", file);
			const foreign = await session.lab.driver.inspectForeign(session.domain.id);
			expect(foreign).toMatchObject({
				disks: [
					{ target: "vdd", discard: true, readOnly: false, cache: "writeback" },
					{ target: "vdf", discard: false, readOnly: true, cache: "writethrough" },
				],
				nics: [
					{ mac: first, linkUp: false },
					{ mac: second, linkUp: true, model: "e1000e" },
				],
				...{ cdroms: [{ target: "sdc" }], cpuModel: "host", obstacles: [] },
				bootOrder: [
					{ kind: "nic", index: 1 },
					{ kind: "disk", index: 0 },
					{ kind: "disk", index: 1 },
				],
			});
			expect(foreign.changes.join("\n")).toContain("Disk vdf: its serial number becomes another one; it is THEIRS.");
			await session.virsh("start", "rich", "--paused");
			const live = await session.read(session.domain.id);

			const cache = { cache: "writeback" } as const;
			const base = withCdrom(
				changedSpec(session.domain, (spec) => {
					spec.cpu = { vcpus: 1, maxVcpus: 1, model: "host" };
					spec.memory = { sizeBytes: 128 * MiB, maxSizeBytes: 128 * MiB };
				}),
				"cdrom-0",
				null,
			);
			const disks = withDisk(withDisk(base, "disk-0", disk, cache), "disk-1", data, {
				...{ cache: "writethrough", readOnly: true, discard: false },
			});
			const nics = withNic(
				withNic(disks, "nic-0", "br-a", { mac: first, linkUp: false }),
				...(["nic-1", "br-b", { mac: second, model: "e1000e" }] as const),
			);
			const raw = nics.disks.map((one) => (one.id === "disk-1" ? { ...one, format: "raw" as const } : one));
			const ours = changedSpec({ ...nics, disks: raw }, (spec) => {
				spec.bootOrder = ["nic-1", "disk-0", "disk-1"];
			});
			await session.lab.driver.define(ours);
			// What runs is known again although it names the disk through a link.
			expect((await session.lab.driver.compare(ours)).filter(({ repair }) => repair === "manual")).toEqual([]);
			const defined = await session.read(session.domain.id, xmlFlags.inactive);
			const places = ({ facts: { disks, cdroms, nics } }: typeof live) =>
				[...[...disks, ...cdroms].map(({ placement }) => placement), ...nics.map((nic) => nic.placement?.address)]
					.map((place) => JSON.stringify(place))
					.sort();
			expect(places(defined)).toEqual(places(live));
			await session.lab.driver.destroy(session.domain.id);
			await session.lab.driver.start(session.domain.id, { paused: true });
			expect(await session.lab.driver.compare(ours)).toEqual([]);
		},
		testLimitMs,
	);

	test(
		"bring their UEFI variables along",
		async () => {
			const file = join(session.lab.folder, "foreign.xml");
			const nvram = join(session.lab.folder, "theirs_VARS.fd");
			writeFileSync(
				file,
				`<domain type='qemu'><name>efi</name><uuid>${session.domain.id}</uuid><memory unit='MiB'>128</memory><vcpu>1</vcpu>
				<os><type arch='x86_64' machine='q35'>hvm</type>
				<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
				<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>${nvram}</nvram></os><features><acpi/></features></domain>`,
			);
			await session.virsh("define", file);
			await session.virsh("start", "efi", "--paused");
			expect((await session.lab.driver.inspectForeign(session.domain.id)).obstacles.join()).toContain("stop it first");
			await session.virsh("destroy", "efi");
			expect((await session.lab.driver.inspectForeign(session.domain.id)).obstacles).toEqual([]);
			const variables = readFileSync(nvram);
			variables.writeUInt32BE(0x4c515821, variables.length - 4);
			writeFileSync(nvram, variables);
			const ours = changedSpec(session.domain, (spec) => Object.assign(spec, { firmware: "uefi" }));
			await session.lab.driver.define(ours);
			expect(readFileSync(join(session.domain.folder, "nvram.fd")).equals(variables)).toBe(true);
			await session.lab.driver.define({ ...ours, generation: 2 });
			await session.lab.driver.start(ours.id, { paused: true });
			expect(await session.lab.driver.compare(ours)).toEqual([]);
		},
		testLimitMs,
	);

	test(
		"with snapshots or a saved state are not to be adopted yet",
		async () => {
			const disk = await session.lab.makeDisk(`snap-${session.number}.qcow2`, "qcow2", 16 * MiB);
			const file = join(session.lab.folder, "foreign.xml");
			writeFileSync(
				file,
				`<domain type='qemu'><name>snap</name><uuid>${session.domain.id}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
				<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
				<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
				</devices></domain>`,
			);
			await session.virsh("define", file);
			await session.virsh("snapshot-create-as", "snap", "one");
			expect((await session.lab.driver.inspectForeign(session.domain.id)).obstacles.join()).toContain("snapshots");
			await session.virsh("snapshot-delete", "snap", "one");
			expect((await session.lab.driver.inspectForeign(session.domain.id)).obstacles).toEqual([]);
			await session.virsh("start", "snap");
			await session.virsh("managedsave", "snap");
			expect((await session.lab.driver.inspectForeign(session.domain.id)).obstacles.join()).toContain("saved state");
		},
		testLimitMs,
	);
});
