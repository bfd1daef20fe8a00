import { describe, expect, test } from "bun:test";
import {
	chmodSync,
	cpSync,
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
import { MiB } from "../../lib/units.ts";
import { startLab } from "../../testing/lab/libvirt-lab.ts";
import { changedSpec, stepLimitMs, testLimitMs, useLibvirtLab } from "../../testing/lab/libvirt-session.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { smallDomain, withCdrom, withDisk } from "../test-domain.ts";
import { xmlFlags } from "./rpc/flags.ts";

const session = useLibvirtLab("driver");

const qemuPid = (id: string): number =>
	present(
		session.lab.libvirtd.namespace.processIds().find((pid) => {
			const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
			return words[0]?.includes("qemu-system") && words.includes(id);
		}),
		"the QEMU of the domain",
	);
describe("a domain and its libvirtd", () => {
	test(
		"outlives the death of libvirtd, and is found again",
		async () => {
			await session.start(session.domain);
			await session.lab.libvirtd.kill9();
			await session.until(
				"the loss of libvirtd",
				(event) => event.kind === "connection" && event.state === "disconnected",
			);
			expect(session.lab.driver.info().state).not.toBe("connected");
			expect(session.lab.driver.info().reason).toBeTruthy();
			await expect(session.lab.driver.getDomain(session.domain.id)).rejects.toMatchObject({ code: "unavailable" });
			await expect(session.lab.driver.start(session.domain.id, { paused: false })).rejects.toMatchObject({
				code: "unavailable",
			});
			await session.lab.libvirtd.restart();
			await session.until(
				"the return of libvirtd",
				(event) => event.kind === "connection" && event.state === "connected",
			);
			expect(await session.lab.driver.getDomain(session.domain.id)).toMatchObject({
				powerState: "running",
				runningGeneration: 1,
			});
			expect(await session.lab.driver.compare(session.domain)).toEqual([]);
			expect(session.lab.driver.info()).toMatchObject({ state: "connected", reason: null });
		},
		testLimitMs,
	);

	test(
		"fails when its QEMU dies, and starts again",
		async () => {
			await session.start(session.domain);
			process.kill(qemuPid(session.domain.id), "SIGKILL");
			await session.until("the crash", (event) => event.kind === "lifecycle" && event.powerState === "failed");
			expect(await session.lab.driver.getDomain(session.domain.id)).toMatchObject({
				powerState: "failed",
				reason: "crashed",
			});
			await session.lab.driver.destroy(session.domain.id);
			await session.lab.driver.start(session.domain.id, { paused: false });
			expect((await session.lab.driver.getDomain(session.domain.id))?.powerState).toBe("running");
		},
		testLimitMs,
	);

	test(
		"leaves neither UEFI variables nor TPM state behind",
		async () => {
			const swtpm = join(session.lab.libvirtd.folder, "lib/swtpm");
			const wanted = changedSpec(session.domain, (spec) =>
				Object.assign(spec, { firmware: "uefi-secure-boot", tpm: true }),
			);
			await session.start(wanted);
			expect(existsSync(join(session.domain.folder, "nvram.fd"))).toBe(true);
			expect(readdirSync(swtpm)).toContain(session.domain.id);
			await session.lab.driver.destroy(session.domain.id);
			await session.lab.driver.undefine(session.domain.id);
			expect(existsSync(join(session.domain.folder, "nvram.fd"))).toBe(false);
			expect(readdirSync(swtpm)).not.toContain(session.domain.id);
		},
		testLimitMs,
	);

	test(
		"takes up the TPM state that a backup brings back (docs/operators-guide.md)",
		async () => {
			const { lab, domain } = session;
			const state = join(lab.libvirtd.folder, "lib/swtpm", domain.id);
			const permanent = () => readFileSync(join(state, "tpm2/tpm2-00.permall"));
			const wanted = changedSpec(domain, (spec) => Object.assign(spec, { tpm: true }));
			const oneLife = async () => {
				await lab.driver.define(wanted);
				await lab.driver.start(domain.id, { paused: true });
				await lab.driver.destroy(domain.id);
			};
			await oneLife();
			const before = permanent();
			cpSync(state, join(lab.folder, "backup"), { recursive: true });
			await lab.driver.undefine(domain.id);
			await oneLife();
			expect(permanent().equals(before)).toBe(false);
			await lab.driver.undefine(domain.id);
			cpSync(join(lab.folder, "backup"), state, { recursive: true });
			await oneLife();
			expect(permanent().equals(before)).toBe(true);
		},
		testLimitMs,
	);

	test(
		"tells of a reset",
		async () => {
			await session.start(session.domain);
			await session.lab.driver.reset(session.domain.id);
			await session.until("the reset", (event) => event.kind === "reboot" && event.id === session.domain.id);
		},
		testLimitMs,
	);

	test("has a name that XML must carry", async () => {
		await session.lab.driver.define({ ...session.domain, name: `a<b>&"c'd]]> ä` });
		expect(await session.lab.driver.getDomain(session.domain.id)).toMatchObject({ name: `a<b>&"c'd]]> ä` });
		await expect(session.lab.driver.define({ ...session.domain, name: "a\u0000b" })).rejects.toMatchObject({
			code: "invalid",
		});
	});

	test("is refused when its folder makes socket paths too long", async () => {
		await expect(
			session.lab.driver.define({ ...session.domain, folder: `/tmp/${"x".repeat(100)}` }),
		).rejects.toMatchObject({
			code: "invalid",
		});
	});
});

describe("devices that somebody else plugged in", () => {
	test(
		"are reported, left alone, and not in the way of ours",
		async () => {
			await session.start(session.domain);
			const stray = await session.lab.makeDisk(`stray-${session.number}.qcow2`, "qcow2", 16 * MiB);
			const source = ["--subdriver", "qcow2", "--live"];
			const name = `lqx-${session.domain.id}`;
			for (const target of ["vda", "sda"]) {
				const path =
					target === "vda" ? stray : await session.lab.makeDisk(`stray-s-${session.number}.qcow2`, "qcow2", 16 * MiB);
				const bus = target === "vda" ? "virtio" : "scsi";
				await session.virsh("attach-disk", name, path, target, "--targetbus", bus, ...source);
			}
			const manual = { field: "device", wanted: "absent", repair: "manual" };
			expect(await session.lab.driver.compare(session.domain)).toMatchObject([manual, manual]);
			const ours = withDisk(
				withDisk(session.domain, "disk-v", await session.lab.makeDisk(`v-${session.number}.qcow2`, "qcow2", 16 * MiB)),
				"disk-s",
				await session.lab.makeDisk(`s-${session.number}.qcow2`, "qcow2", 16 * MiB),
				{ bus: "scsi" },
			);
			expect((await session.lab.driver.applyLive(ours)).map(({ applied }) => applied)).toEqual([true, true]);
			const live = await session.read(session.domain.id);
			expect(live.facts.disks.map(({ id, placement }) => [id, placement?.target]).sort()).toEqual([
				[null, "sda"],
				[null, "vda"],
				["disk-s", "sdb"],
				["disk-v", "vdb"],
			]);
			expect(await session.lab.driver.compare(ours)).toMatchObject([manual, manual]);
		},
		testLimitMs,
	);
});

describe("a start that fails", () => {
	test(
		"says why, and leaves the domain stopped and startable",
		async () => {
			const path = await session.lab.makeDisk(`late-${session.number}.qcow2`, "qcow2", 16 * MiB);
			renameSync(path, `${path}.away`);
			await session.lab.driver.define(withDisk(session.domain, "disk-0", path));
			await expect(session.lab.driver.start(session.domain.id, { paused: false })).rejects.toMatchObject({
				code: "hypervisor",
				message: expect.stringContaining(path),
			});
			expect((await session.lab.driver.getDomain(session.domain.id))?.powerState).toBe("stopped");
			writeFileSync(path, "no qcow2");
			await expect(session.lab.driver.start(session.domain.id, { paused: false })).rejects.toMatchObject({
				code: "hypervisor",
			});
			expect((await session.lab.driver.getDomain(session.domain.id))?.powerState).toBe("stopped");
			expect(session.events.filter((event) => event.kind === "lifecycle" && event.powerState === "failed")).toEqual([]);
			renameSync(`${path}.away`, path);
			await session.lab.driver.start(session.domain.id, { paused: false });
			expect((await session.lab.driver.getDomain(session.domain.id))?.powerState).toBe("running");
		},
		testLimitMs,
	);
});

describe("IO threads", () => {
	const threadsOf = async (id: string, flags = 0) => {
		const { ioThreads, root } = await session.read(id, flags);
		const disks = root.child("devices")?.all("disk") ?? [];
		return [ioThreads, ...disks.map((disk) => disk.attributeOf("iothread", "driver"))];
	};

	test(
		"virtio disks have one; where a domain runs without, as of an older version, a disk that comes has none until the next start",
		async () => {
			const { id } = session.domain;
			const [first, second] = await Promise.all(
				["first", "second"].map((name) => session.lab.makeDisk(`threads-${name}.qcow2`, "qcow2", 16 * MiB)),
			);
			const wanted = withDisk(session.domain, "disk-1", first ?? "");
			await session.lab.driver.define(wanted);
			const { client } = session.lab;
			const xml = await client.domainGetXMLDesc({ uuid: id }, xmlFlags.inactive);
			const older = xml.replace(/<iothreads>.*<\/iothreads>/, "").replaceAll(/ iothread='\d+'/g, "");
			expect(older).not.toBe(xml);
			await client.domainDefineXMLFlags(older, 0);
			await session.lab.driver.start(id, { paused: true });
			expect(await threadsOf(id)).toEqual([0, null]);
			const more = withDisk(wanted, "disk-2", second ?? "");
			expect(await session.lab.driver.compare(more)).toMatchObject([{ field: "disks[disk-2]", repair: "automatic" }]);
			expect(await session.lab.driver.applyLive({ ...more, generation: 2 })).toMatchObject([{ applied: true }]);
			expect(await threadsOf(id)).toEqual([0, null, null]);
			expect(await threadsOf(id, xmlFlags.inactive)).toEqual([1, "1", "1"]);
			expect(await session.lab.driver.compare(more)).toEqual([]);
			await session.lab.driver.destroy(id);
			await session.lab.driver.start(id, { paused: true });
			expect(await threadsOf(id)).toEqual([1, "1", "1"]);
		},
		testLimitMs,
	);
});

describe("the screen's socket", () => {
	test(
		"is not given when something else lies there",
		async () => {
			await session.start(session.domain);
			const path = await session.lab.driver.vncSocket(session.domain.id);
			expect(path).toBe(join(session.domain.folder, "qemu/vnc.sock"));
			expect(statSync(path).isSocket()).toBe(true);
			renameSync(path, `${path}.real`);
			symlinkSync(`${path}.real`, path);
			await expect(session.lab.driver.vncSocket(session.domain.id)).rejects.toMatchObject({ code: "hypervisor" });
		},
		testLimitMs,
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
				await waitUntil("the connection", stepLimitMs, () => other.driver.info().state === "connected");
				const disk = await other.makeDisk("user.qcow2", "qcow2", 16 * MiB);
				const wanted = changedSpec(
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
		testLimitMs,
	);
});
