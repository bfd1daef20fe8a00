import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
	chmodSync,
	existsSync,
	readdirSync,
	readFileSync,
	renameSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { guestReadyLine } from "../../testing/lab/guest-image.ts";
import { Screenshot } from "../../testing/lab/screenshot.ts";
import { VncClient } from "../../testing/lab/vnc-client.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import type { DomainEvent, DomainSpec } from "../driver.ts";
import { pinSocket } from "../pinned-socket.ts";
import { smallDomain, withCdrom, withDisk, withNic } from "../test-domain.ts";
import { decodePng } from "../test-png.ts";
import { readDomain } from "./domain/domain-reader.ts";
import { type LibvirtLab, startLab } from "./lab.ts";
import { xmlFlags } from "./rpc/flags.ts";

const limitMs = 120_000;
const stepMs = 30_000;

let lab: LibvirtLab;
let number = 0;
let domain: DomainSpec;
let events: DomainEvent[];
let stopListening: () => void;

const start = async (wanted: DomainSpec): Promise<DomainSpec> => {
	await lab.driver.define(wanted);
	await lab.driver.start(wanted.id, { paused: false });
	return wanted;
};
const until = (what: string, match: (event: DomainEvent) => boolean) =>
	waitUntil(what, stepMs, () => events.find(match));
const change = (wanted: DomainSpec, edit: (spec: DomainSpec["spec"]) => void): DomainSpec => {
	const spec = structuredClone(wanted.spec);
	edit(spec);
	return { ...wanted, spec };
};
const qemuPid = (id: string): number =>
	present(
		lab.libvirtd.namespace.processIds().find((pid) => {
			const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
			return words[0]?.includes("qemu-system") && words.includes(id);
		}),
		"the QEMU of the domain",
	);
const readXmlOf = async (id: string, flags = 0) => readDomain(await lab.client.domainGetXMLDesc({ uuid: id }, flags));

const virsh = (...args: string[]) => lab.libvirtd.runInNamespace("virsh", ["-c", lab.libvirtd.uri, ...args]);

beforeAll(async () => {
	lab = await startLab({ name: "driver", guestLimitMs: 4000 });
	const bridge = (...args: string[]) => lab.libvirtd.runInNamespace("ip", ["link", ...args]);
	for (const name of ["br-a", "br-b"]) {
		await bridge("add", name, "type", "bridge");
		await bridge("set", name, "up");
	}
}, limitMs);
afterAll(async () => {
	await lab?.close();
}, limitMs);
beforeEach(() => {
	number += 1;
	domain = smallDomain(number, lab.vmFolder(number));
	events = [];
	stopListening = lab.driver.onEvent((event) => events.push(event));
});
afterEach(async () => {
	stopListening();
	if (await lab.driver.getDomain(domain.id)) {
		await lab.driver.destroy(domain.id);
		await lab.driver.undefine(domain.id);
	}
}, limitMs);

describe("a domain and its libvirtd", () => {
	test(
		"outlives the death of libvirtd, and is found again",
		async () => {
			await start(domain);
			await lab.libvirtd.kill9();
			await until("the loss of libvirtd", (event) => event.kind === "connection" && event.state === "disconnected");
			expect(lab.driver.info().state).not.toBe("connected");
			expect(lab.driver.info().reason).toBeTruthy();
			await expect(lab.driver.getDomain(domain.id)).rejects.toMatchObject({ code: "unavailable" });
			await expect(lab.driver.start(domain.id, { paused: false })).rejects.toMatchObject({ code: "unavailable" });
			await lab.libvirtd.restart();
			await until("the return of libvirtd", (event) => event.kind === "connection" && event.state === "connected");
			expect(await lab.driver.getDomain(domain.id)).toMatchObject({ powerState: "running", runningGeneration: 1 });
			expect(await lab.driver.compare(domain)).toEqual([]);
			expect(lab.driver.info()).toMatchObject({ state: "connected", reason: null });
		},
		limitMs,
	);

	test(
		"fails when its QEMU dies, and starts again",
		async () => {
			await start(domain);
			process.kill(qemuPid(domain.id), "SIGKILL");
			await until("the crash", (event) => event.kind === "lifecycle" && event.powerState === "failed");
			expect(await lab.driver.getDomain(domain.id)).toMatchObject({ powerState: "failed", reason: "crashed" });
			await lab.driver.destroy(domain.id);
			await lab.driver.start(domain.id, { paused: false });
			expect((await lab.driver.getDomain(domain.id))?.powerState).toBe("running");
		},
		limitMs,
	);

	test(
		"leaves neither UEFI variables nor TPM state behind",
		async () => {
			const swtpm = join(lab.libvirtd.folder, "lib/swtpm");
			const wanted = change(domain, (spec) => Object.assign(spec, { firmware: "uefi-secure-boot", tpm: true }));
			await start(wanted);
			expect(existsSync(join(domain.folder, "nvram.fd"))).toBe(true);
			expect(readdirSync(swtpm)).toContain(domain.id);
			await lab.driver.destroy(domain.id);
			await lab.driver.undefine(domain.id);
			expect(existsSync(join(domain.folder, "nvram.fd"))).toBe(false);
			expect(readdirSync(swtpm)).not.toContain(domain.id);
		},
		limitMs,
	);

	test(
		"tells of a reset",
		async () => {
			await start(domain);
			await lab.driver.reset(domain.id);
			await until("the reset", (event) => event.kind === "reboot" && event.id === domain.id);
		},
		limitMs,
	);

	test("has a name that XML must carry", async () => {
		await lab.driver.define({ ...domain, name: `a<b>&"c'd]]> ä` });
		expect(await lab.driver.getDomain(domain.id)).toMatchObject({ name: `a<b>&"c'd]]> ä` });
		await expect(lab.driver.define({ ...domain, name: "a\u0000b" })).rejects.toMatchObject({ code: "invalid" });
	});

	test("is refused when its folder makes socket paths too long", async () => {
		await expect(lab.driver.define({ ...domain, folder: `/tmp/${"x".repeat(100)}` })).rejects.toMatchObject({
			code: "invalid",
		});
	});
});

describe("devices that somebody else plugged in", () => {
	test(
		"are reported, left alone, and not in the way of ours",
		async () => {
			await start(domain);
			const stray = await lab.makeDisk(`stray-${number}.qcow2`, "qcow2", 16 * MiB);
			const source = ["--subdriver", "qcow2", "--live"];
			const name = `lqx-${domain.id}`;
			for (const target of ["vda", "sda"]) {
				const path = target === "vda" ? stray : await lab.makeDisk(`stray-s-${number}.qcow2`, "qcow2", 16 * MiB);
				const bus = target === "vda" ? "virtio" : "scsi";
				await virsh("attach-disk", name, path, target, "--targetbus", bus, ...source);
			}
			const manual = { field: "device", wanted: "absent", repair: "manual" };
			expect(await lab.driver.compare(domain)).toMatchObject([manual, manual]);
			const ours = withDisk(
				withDisk(domain, "disk-v", await lab.makeDisk(`v-${number}.qcow2`, "qcow2", 16 * MiB)),
				"disk-s",
				await lab.makeDisk(`s-${number}.qcow2`, "qcow2", 16 * MiB),
				{ bus: "scsi" },
			);
			expect((await lab.driver.applyLive(ours)).map(({ applied }) => applied)).toEqual([true, true]);
			const live = await readXmlOf(domain.id);
			expect(live.facts.disks.map(({ id, placement }) => [id, placement?.target]).sort()).toEqual([
				[null, "sda"],
				[null, "vda"],
				["disk-s", "sdb"],
				["disk-v", "vdb"],
			]);
			expect(await lab.driver.compare(ours)).toMatchObject([manual, manual]);
		},
		limitMs,
	);
});

describe("a start that fails", () => {
	test(
		"says why, and leaves the domain stopped and startable",
		async () => {
			const path = await lab.makeDisk(`late-${number}.qcow2`, "qcow2", 16 * MiB);
			renameSync(path, `${path}.away`);
			await lab.driver.define(withDisk(domain, "disk-0", path));
			await expect(lab.driver.start(domain.id, { paused: false })).rejects.toMatchObject({
				code: "hypervisor",
				message: expect.stringContaining(path),
			});
			expect((await lab.driver.getDomain(domain.id))?.powerState).toBe("stopped");
			writeFileSync(path, "no qcow2");
			await expect(lab.driver.start(domain.id, { paused: false })).rejects.toMatchObject({ code: "hypervisor" });
			expect((await lab.driver.getDomain(domain.id))?.powerState).toBe("stopped");
			expect(events.filter((event) => event.kind === "lifecycle" && event.powerState === "failed")).toEqual([]);
			renameSync(`${path}.away`, path);
			await lab.driver.start(domain.id, { paused: false });
			expect((await lab.driver.getDomain(domain.id))?.powerState).toBe("running");
		},
		limitMs,
	);
});

describe("the screen's socket", () => {
	test(
		"is not given when something else lies there",
		async () => {
			await start(domain);
			const path = await lab.driver.vncSocket(domain.id);
			expect(path).toBe(join(domain.folder, "qemu/vnc.sock"));
			expect(statSync(path).isSocket()).toBe(true);
			renameSync(path, `${path}.real`);
			symlinkSync(`${path}.real`, path);
			await expect(lab.driver.vncSocket(domain.id)).rejects.toMatchObject({ code: "hypervisor" });
		},
		limitMs,
	);
});

/** The guest's welcome page has a blue header; it comes right after the guest has said that it is up. */
async function showsWelcome(id: string, width: number, height: number): Promise<void> {
	const socket = pinSocket(await lab.driver.vncSocket(id));
	const viewer = await VncClient.connect({ unixPath: socket.path });
	socket.close();
	const screen = await viewer.waitForScreen((picture) => isBlue(picture.pixel(2, 2)), stepMs);
	await viewer.close();
	const picture = decodePng(await lab.driver.screenshot(id));
	expect([picture.width, picture.height]).toEqual([width, height]);
	const shot = new Screenshot(picture.width, picture.height, picture.pixels);
	expect(isBlue(shot.pixel(2, 2))).toBe(true);
	// A clock or cursor may have moved between the two.
	expect(shot.countDifferingPixels(screen)).toBeLessThan(2000);
}
const isBlue = (colour: number): boolean => colour === 0x0000aa || colour === 0x0000a8;

describe("with a guest", () => {
	const boot = async (wanted: DomainSpec): Promise<DomainSpec> => {
		await start(wanted);
		await lab.guestSays(wanted.id, guestReadyLine);
		return wanted;
	};

	test(
		"vCPUs, memory, disks and NICs come and go; what stays keeps its place",
		async () => {
			const first = withNic(await lab.withGuest(domain), "nic-0", "br-a");
			await boot(first);
			const disk = await lab.makeDisk(`extra-${number}.raw`, "raw", 16 * MiB);
			const more = change(
				withNic(withDisk(first, "disk-x", disk, { bus: "scsi" }, { format: "raw" }), "nic-1", "br-b"),
				(spec) => {
					spec.cpu.vcpus = 2;
					spec.memory.sizeBytes = 384 * MiB;
				},
			);
			expect(await lab.driver.applyLive({ ...more, generation: 2 })).toEqual(
				["cpu.vcpus", "memory.sizeBytes", "disks[disk-x]", "nics[nic-1]"].map((field) => ({
					field,
					applied: true,
					reason: null,
				})),
			);
			for (const word of ["add cpu cpu1 2", "add memory", "add block sda 16777216", "add nic eth1"])
				await lab.guestSays(domain.id, word);
			expect(await lab.driver.compare(more)).toEqual([]);
			const live = await readXmlOf(domain.id);
			const defined = await readXmlOf(domain.id, xmlFlags.inactive);
			const places = (read: typeof live) => read.facts.nics.map((nic) => [nic.id, nic.placement?.address]);
			expect(places(defined)).toEqual(places(live));

			const fewer: DomainSpec = {
				...more,
				nics: more.nics.slice(1),
				spec: { ...more.spec, nics: more.spec.nics.slice(1) },
			};
			const without = {
				...fewer,
				disks: fewer.disks.slice(0, 1),
				spec: { ...fewer.spec, disks: fewer.spec.disks.slice(0, 1) },
			};
			expect((await lab.driver.applyLive({ ...without, generation: 3 })).filter(({ applied }) => !applied)).toEqual([]);
			for (const word of ["remove block sda", "remove nic eth0"]) await lab.guestSays(domain.id, word);
			await lab.driver.destroy(domain.id);
			await lab.driver.start(domain.id, { paused: true });
			const again = await readXmlOf(domain.id);
			expect(places(again)).toEqual([["nic-1", places(live)[1]?.[1]]]);
			expect(await lab.driver.compare(without)).toEqual([]);
			const single = change(without, (spec) => Object.assign(spec.cpu, { vcpus: 1 }));
			expect(await lab.driver.compare(single)).toMatchObject([{ field: "cpu.vcpus", repair: "next-start" }]);
		},
		limitMs,
	);

	test(
		"gives memory back, and says so when it does not",
		async () => {
			const wanted = await boot(await lab.withGuest(domain));
			const less = change(wanted, (spec) => Object.assign(spec.memory, { sizeBytes: 192 * MiB }));
			expect(await lab.driver.applyLive(less)).toEqual([{ field: "memory.sizeBytes", applied: true, reason: null }]);
			await lab.driver.pause(domain.id);
			const [memory] = await lab.driver.applyLive(wanted);
			expect(memory).toMatchObject({ field: "memory.sizeBytes", applied: false });
			expect(memory?.reason).toContain("192 MiB");
		},
		limitMs,
	);

	test(
		"a disk that the guest keeps is reported, and stays",
		async () => {
			const bare = await lab.withGuest(domain);
			const wanted = withDisk(bare, "disk-x", await lab.makeDisk(`kept-${number}.qcow2`, "qcow2", 16 * MiB));
			await boot(wanted);
			await lab.driver.pause(domain.id);
			const [change] = await lab.driver.applyLive({ ...bare, generation: 2 });
			expect(change).toMatchObject({ field: "disks[disk-x]", applied: false });
			expect(change?.reason).toContain("did not let go");
			expect((await lab.driver.getDomain(domain.id))?.runningGeneration).toBe(1);
			expect((await lab.driver.compare(bare)).map(({ field }) => field)).toEqual(["disks[disk-x]"]);
		},
		limitMs,
	);

	test(
		"reads its seed, shows its screen, and answers on its serial port",
		async () => {
			const seed = join(lab.folder, `seed-${number}`);
			writeFileSync(`${seed}-meta`, "instance-id: i-1\nlocal-hostname: from-seed\n");
			const graft = ["-graft-points", `meta-data=${seed}-meta`];
			Bun.spawnSync(["xorriso", "-as", "mkisofs", "-quiet", "-V", "cidata", "-o", `${seed}.iso`, ...graft]);
			await boot({ ...(await lab.withGuest(domain)), seedPath: `${seed}.iso` });
			expect(await lab.guestSays(domain.id, guestReadyLine)).toContain("LIMIQUANTIX-GUEST hostname from-seed");

			await showsWelcome(domain.id, 720, 400);

			const serial = await lab.driver.openSerial(domain.id);
			let heard = "";
			const listening = (async () => {
				for await (const bytes of serial.output) {
					heard += Buffer.from(bytes).toString();
					if (heard.includes("answer-42")) return;
				}
			})();
			await serial.write(Buffer.from("\necho answer-$((6*7))\n"));
			await listening;
			await serial.close();
		},
		limitMs,
	);

	test(
		"is paused when its disk has no room, and says which disk",
		async () => {
			const small = join(lab.folder, "small");
			await lab.libvirtd.runInNamespace("mkdir", ["-p", small]);
			await lab.libvirtd.runInNamespace("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", small]);
			const path = join(small, "full.qcow2");
			await lab.libvirtd.runInNamespace("qemu-img", ["create", "-q", "-f", "qcow2", path, String(GiB)]);
			await boot(withDisk(await lab.withGuest(domain), "disk-full", path, { cache: "writeback" }));
			const serial = await lab.driver.openSerial(domain.id);
			await serial.write(Buffer.from("\ndd if=/dev/urandom of=/dev/vdb bs=1M count=16\n"));
			const io = await until("the I/O error", (event) => event.kind === "io-error");
			expect(io).toMatchObject({ id: domain.id, alias: "ua-disk-full", reason: "no-space" });
			await until("the pause", (event) => event.kind === "lifecycle" && event.powerState === "paused");
			expect(await lab.driver.getDomain(domain.id)).toMatchObject({ powerState: "paused", reason: "io-error" });
			await serial.close();
			await lab.driver.destroy(domain.id);
			await lab.libvirtd.runInNamespace("umount", [small]);
		},
		limitMs,
	);

	test(
		"boots with UEFI, and has figures",
		async () => {
			await boot(
				change(await lab.withGuest(withNic(domain, "nic-0", "br-a")), (spec) =>
					Object.assign(spec, { firmware: "uefi" }),
				),
			);
			const figures = present(
				await waitUntil("figures of the balloon", stepMs, async () =>
					(await lab.driver.stats()).find(({ id, memoryUsedBytes }) => id === domain.id && memoryUsedBytes !== null),
				),
				"figures",
			);
			expect(figures.cpuTimeNs).toBeGreaterThan(1e8);
			expect(figures.diskReadBytes).toBeGreaterThan(MiB);
			expect(figures.memoryActualBytes).toBe(256 * MiB);
			expect(figures.memoryUsedBytes ?? 0).toBeWithin(10 * MiB, 256 * MiB);
			await showsWelcome(domain.id, 1280, 800);
		},
		limitMs,
	);
});

describe("domains that others made", () => {
	test(
		"are described, adopted while they run, and keep their name",
		async () => {
			const disk = await lab.makeDisk(`foreign-${number}.qcow2`, "qcow2", 16 * MiB);
			const file = join(lab.folder, "foreign.xml");
			const mac = "52:54:00:aa:bb:01";
			writeFileSync(
				file,
				`<domain type='qemu'><name>theirs</name><uuid>${domain.id}</uuid><memory unit='MiB'>128</memory><vcpu>1</vcpu>
				<os><type arch='x86_64' machine='q35'>hvm</type></os><cpu mode='maximum'/><devices>
				<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vdb' bus='virtio'/></disk>
				<interface type='bridge'><mac address='${mac}'/><source bridge='br-a'/><model type='virtio'/></interface>
				<graphics type='vnc'/></devices></domain>`,
			);
			await virsh("define", file);
			await virsh("autostart", "theirs");
			expect(await lab.driver.getDomain(domain.id)).toMatchObject({
				name: "theirs",
				ours: false,
				definedGeneration: null,
			});
			expect(await lab.driver.inspectForeign(domain.id)).toEqual({
				id: domain.id,
				name: "theirs",
				powerState: "stopped",
				vcpus: 1,
				maxVcpus: 1,
				memoryBytes: 128 * MiB,
				maxMemoryBytes: 128 * MiB,
				firmware: "bios",
				disks: [{ target: "vdb", path: disk, format: "qcow2", bus: "virtio" }],
				nics: [{ mac, model: "virtio", bridge: "br-a", network: null }],
				obstacles: [],
			});
			await virsh("start", "theirs");
			const live = await readXmlOf(domain.id);

			const ours = withNic(
				withDisk({ ...domain, name: "adopted" }, "disk-0", disk, { discard: false }),
				"nic-0",
				"br-a",
				{ mac },
			);
			await lab.driver.define(ours);
			expect(await lab.driver.getDomain(domain.id)).toMatchObject({
				...{ name: "adopted", ours: true, definedGeneration: 1, runningGeneration: null, powerState: "running" },
			});
			const differences = await lab.driver.compare(ours);
			expect(differences.map(({ field }) => field)).toContain("name");
			expect(differences.filter(({ repair }) => repair === "manual")).toEqual([]);
			await expect(lab.driver.vncSocket(domain.id)).rejects.toMatchObject({ code: "wrong-state" });
			await expect(lab.driver.inspectForeign(domain.id)).rejects.toMatchObject({ code: "wrong-state" });
			const defined = await readXmlOf(domain.id, xmlFlags.inactive);
			expect(defined.libvirtName).toBe("theirs");
			expect(defined.facts.disks[0]?.placement).toEqual(live.facts.disks[0]?.placement ?? null);
			expect(defined.facts.nics[0]?.placement?.address).toEqual(live.facts.nics[0]?.placement?.address ?? {});
			expect((await virsh("dominfo", "theirs")).stdout).toMatch(/Autostart:\s+disable/);

			await lab.driver.destroy(domain.id);
			await lab.driver.start(domain.id, { paused: true });
			expect(await lab.driver.compare(ours)).toEqual([]);
			expect(await lab.driver.vncSocket(domain.id)).toBe(join(domain.folder, "qemu/vnc.sock"));
		},
		limitMs,
	);

	test(
		"with snapshots or a saved state are not to be adopted yet",
		async () => {
			const disk = await lab.makeDisk(`snap-${number}.qcow2`, "qcow2", 16 * MiB);
			const file = join(lab.folder, "foreign.xml");
			writeFileSync(
				file,
				`<domain type='qemu'><name>snap</name><uuid>${domain.id}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
				<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
				<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
				</devices></domain>`,
			);
			await virsh("define", file);
			await virsh("snapshot-create-as", "snap", "one");
			expect((await lab.driver.inspectForeign(domain.id)).obstacles.join()).toContain("snapshots");
			await virsh("snapshot-delete", "snap", "one");
			expect((await lab.driver.inspectForeign(domain.id)).obstacles).toEqual([]);
			await virsh("start", "snap");
			await virsh("managedsave", "snap");
			expect((await lab.driver.inspectForeign(domain.id)).obstacles.join()).toContain("saved state");
		},
		limitMs,
	);
});

describe("QEMU as an ordinary user", () => {
	test(
		"has its socket and disk, and the daemon its picture",
		async () => {
			const other = await startLab({ name: "user" });
			try {
				const conf = join(other.libvirtd.folder, "etc/qemu.conf");
				const text = readFileSync(conf, "utf8");
				writeFileSync(conf, text.replace(/(user|group) = "root"/g, '$1 = "libvirt-qemu"'));
				// The node's data folder lets others pass; a temporary folder does not.
				for (const folder of [other.folder, other.libvirtd.folder]) chmodSync(folder, 0o711);
				await other.libvirtd.restart();
				await waitUntil("the connection", stepMs, () => other.driver.info().state === "connected");
				const disk = await other.makeDisk("user.qcow2", "qcow2", 16 * MiB);
				const wanted = change(
					withCdrom(withDisk(smallDomain(1, other.vmFolder(1)), "disk-0", disk), "cd-0", null),
					(spec) => Object.assign(spec, { firmware: "uefi", tpm: true }),
				);
				await other.driver.define(wanted);
				await other.driver.start(wanted.id, { paused: false });
				const socket = await other.driver.vncSocket(wanted.id);
				expect(statSync(socket).uid).not.toBe(0);
				expect((await other.driver.screenshot(wanted.id)).length).toBeGreaterThan(100);
				await other.driver.destroy(wanted.id);
				await other.driver.undefine(wanted.id);
			} finally {
				await other.close();
			}
		},
		limitMs,
	);
});
