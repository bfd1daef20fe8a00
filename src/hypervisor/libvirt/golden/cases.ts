/** The specs whose XML lies beside this file. Imported by tests only. */
import { GiB, MiB } from "../../../lib/units.ts";
import { type DiskSource, fileSource, type RbdSource } from "../../../model/disk-source.ts";
import type { DomainSpec } from "../../driver.ts";
import type { Placement } from "../../facts.ts";
import { smallDomain, testUuid, withCdrom, withDisk, withNic } from "../../test-domain.ts";
import type { MachineContext } from "../domain/plan-machine.ts";

export type GoldenCase = {
	/** File name without `.xml`. */
	name: string;
	domain: DomainSpec;
	context?: MachineContext;
};

const folder = (number: number) => `/var/lib/limiquantix/vms/${smallDomain(number, "/").id}`;
const pool = "/var/lib/limiquantix/pools/local";
const base = (number: number, change: Partial<DomainSpec> = {}): DomainSpec =>
	smallDomain(number, folder(number), change);

function spec(domain: DomainSpec, change: Partial<DomainSpec["spec"]>): DomainSpec {
	return { ...domain, spec: { ...domain.spec, ...change } };
}

const times = <T>(count: number, start: T, step: (value: T, index: number) => T): T => {
	let value = start;
	for (let index = 0; index < count; index++) value = step(value, index);
	return value;
};

const ordinary = (number: number): DomainSpec =>
	withNic(
		withDisk(
			spec(base(number), {
				cpu: { vcpus: 2, maxVcpus: 4, model: "portable" },
				memory: { sizeBytes: 2 * GiB, maxSizeBytes: 8 * GiB },
			}),
			"disk-0",
			`${pool}/a.qcow2`,
		),
		"nic-0",
		"lqx-0123456789",
	);

const port = (bus: string): Placement["address"] => ({
	type: "pci",
	domain: "0x0000",
	bus,
	slot: "0x00",
	function: "0x0",
});

const rbd = (image: string): RbdSource => ({
	...{ kind: "rbd", pool: "vms", namespace: null, image, user: "limiquantix", secretId: testUuid(7000) },
	monitors: [
		{ host: "mon-a.example.org", port: null },
		{ host: "10.0.0.2", port: 3300 },
		{ host: "fd00::3", port: 6789 },
	],
});
const device = (name: string): DiskSource => ({ kind: "block", path: `/dev/lqx-vg/${name}` });

export const goldenCases: GoldenCase[] = [
	{
		name: "minimal-bios",
		domain: spec(base(1), {
			cpu: { vcpus: 1, maxVcpus: 1, model: "portable" },
			memory: { sizeBytes: 64 * MiB, maxSizeBytes: 64 * MiB },
		}),
	},
	{ name: "uefi", domain: spec(ordinary(2), { firmware: "uefi" }) },
	{ name: "secure-boot-tpm", domain: spec(ordinary(3), { firmware: "uefi-secure-boot", tpm: true }) },
	{
		name: "kvm",
		domain: { ...ordinary(4), accelerator: "kvm" },
	},
	{
		name: "kvm-host-cpu",
		domain: {
			...spec(ordinary(5), { cpu: { vcpus: 4, maxVcpus: 4, model: "host" } }),
			accelerator: "kvm",
		},
	},
	{ name: "tcg-host-cpu", domain: spec(ordinary(6), { cpu: { vcpus: 1, maxVcpus: 1, model: "host" } }) },
	{
		name: "many-disks",
		domain: [
			["disk-0", "virtio", "none", true, false, "qcow2"],
			["disk-1", "virtio", "writeback", false, true, "raw"],
			["disk-2", "scsi", "writethrough", true, false, "qcow2"],
			["disk-3", "scsi", "none", true, true, "raw"],
			["disk-4", "sata", "none", true, false, "qcow2"],
			...times<unknown[][]>(7, [], (list, index) => [
				...list,
				[`disk-${index + 5}`, "sata", "writeback", false, false, "raw"],
			]),
		].reduce(
			(domain, [id, bus, cache, discard, readOnly, format]) =>
				withDisk(
					domain,
					String(id),
					`${pool}/${id}.${format}`,
					{ bus, cache, discard, readOnly } as never,
					{ format } as never,
				),
			base(7),
		),
	},
	{
		name: "copy-on-write-chain",
		domain: withDisk(
			base(8),
			"disk-0",
			`${pool}/clone.qcow2`,
			{},
			{
				backing: [
					{ source: fileSource(`${pool}/template.qcow2`), format: "qcow2" },
					{ source: fileSource(`${pool}/images/base.raw`), format: "raw" },
				],
			},
		),
	},
	{ name: "cloud-init", domain: { ...ordinary(9), seedPath: `${folder(9)}/seed.iso` } },
	{
		name: "cdroms-boot-order",
		domain: spec(withCdrom(withCdrom(ordinary(10), "cd-0", `${pool}/images/install.iso`), "cd-1", null), {
			bootOrder: ["cd-0", "nic-0", "disk-0", "gone", "cd-0"],
		}),
	},
	{
		name: "special-characters",
		domain: withNic(
			withDisk(
				base(11, { name: `a<b>&"c'd]]> ä \u{1f600} ${"$(reboot)"} ../..` }),
				"disk-0",
				`/pool/a & b/<disk> "1" 'x',y=z.qcow2`,
			),
			"nic-0",
			"br-a.b_c",
			{ model: "e1000e", linkUp: false },
		),
	},
	{
		name: "kept-places",
		domain: withNic(
			withDisk(withNic(ordinary(12), "nic-1", "br0"), "disk-1", `${pool}/b.raw`, { bus: "scsi" }),
			"nic-2",
			"br0",
		),
		context: {
			libvirtName: "adopted",
			placements: new Map([
				["ua-disk-0", { target: "vdc", address: port("0x07") }],
				["ua-disk-1", { target: "sdb", address: { type: "drive", controller: "0", bus: "0", target: "3", unit: "0" } }],
				["ua-nic-1", { target: null, address: port("0x1e") }],
				["ua-nic-2", { target: null, address: port("0x07") }],
				["ua-_random", { target: null, address: port("0x02") }],
			]),
		},
	},
	{
		name: "rbd-disks",
		domain: {
			...withDisk(
				withDisk(
					withCdrom(base(14), "cd-0", ""),
					"disk-0",
					"",
					{ cache: "writeback" },
					{ source: rbd("volume-0"), format: "raw" },
				),
				"disk-1",
				"",
				{ bus: "scsi", discard: false },
				{ source: rbd("volume-1"), format: "raw" },
			),
			cdroms: [{ id: "cd-0", source: rbd("image-0") }],
		},
	},
	{
		name: "block-disks",
		domain: withDisk(
			withDisk(base(15), "disk-0", "", {}, { source: device("volume-0"), format: "raw" }),
			"disk-1",
			"",
			{ bus: "scsi", cache: "writethrough" },
			{
				source: device("volume-1.2"),
				backing: [
					{ source: device("volume-1.1"), format: "qcow2" },
					{ source: fileSource(`${pool}/images/base.raw`), format: "raw" },
				],
			},
		),
	},
	{
		name: "limited-disks",
		domain: withDisk(
			withDisk(
				base(16),
				"disk-0",
				`${pool}/a.qcow2`,
				{},
				{ qos: { readBytesPerSecond: 100 * MiB, writeBytesPerSecond: 50 * MiB, readIops: 1000, writeIops: 500 } },
			),
			"disk-1",
			`${pool}/b.raw`,
			{ bus: "sata" },
			{
				format: "raw",
				qos: { readBytesPerSecond: null, writeBytesPerSecond: 1, readIops: null, writeIops: null },
			},
		),
	},
	{
		name: "maximum",
		domain: {
			...times(
				64,
				times(
					16,
					times(4, base(13), (domain, index) => withCdrom(domain, `cd-${index}`, `${pool}/${index}.iso`)),
					(domain, index) => withNic(domain, `nic-${index}`, "br0"),
				),
				(domain, index) => withDisk(domain, `disk-${index}`, `${pool}/${index}.qcow2`),
			),
			seedPath: `${folder(13)}/seed.iso`,
			accelerator: "kvm",
		},
	},
];

const largest = goldenCases.find((golden) => golden.name === "maximum");
if (largest)
	largest.domain = spec(largest.domain, {
		firmware: "uefi-secure-boot",
		tpm: true,
		cpu: { vcpus: 200, maxVcpus: 288, model: "host" },
		memory: { sizeBytes: 1024 * GiB, maxSizeBytes: 4096 * GiB },
	});
