import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { pinSocket } from "../../lib/pinned-socket.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { guestReadyLine } from "../../testing/lab/guest-image.ts";
import { changedSpec, stepLimitMs, testLimitMs, useLibvirtLab } from "../../testing/lab/libvirt-session.ts";
import { cursorPixels, Screenshot } from "../../testing/lab/screenshot.ts";
import { VncClient } from "../../testing/lab/vnc-client.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import type { DomainSpec } from "../driver.ts";
import { withDisk, withNic } from "../test-domain.ts";
import { decodePng } from "../test-png.ts";
import { xmlFlags } from "./rpc/flags.ts";

const session = useLibvirtLab("driver-guest");

/**
 * The guest's welcome page has a blue header; it comes right after the guest has said that it is up. The guest draws
 * while it is looked at, so the two pictures are taken until they show the same.
 */
async function showsWelcome(id: string, width: number, height: number): Promise<void> {
	const socket = pinSocket(await session.lab.driver.vncSocket(id));
	const viewer = await VncClient.connect({ unixPath: socket.path });
	socket.close();
	await viewer.waitForScreen((picture) => isBlue(picture.pixel(2, 2)), stepLimitMs);
	await waitUntil("the driver's picture to be what VNC shows", stepLimitMs, async () => {
		const screen = await viewer.screenshot();
		const picture = decodePng(await session.lab.driver.screenshot(id));
		expect([picture.width, picture.height]).toEqual([width, height]);
		const shot = new Screenshot(picture.width, picture.height, picture.pixels);
		return isBlue(shot.pixel(2, 2)) && shot.countDifferingPixels(screen) <= cursorPixels;
	});
	await viewer.close();
}
const isBlue = (colour: number): boolean => colour === 0x0000aa || colour === 0x0000a8;

describe("with a guest", () => {
	const boot = async (wanted: DomainSpec): Promise<DomainSpec> => {
		await session.start(wanted);
		await session.lab.guestSays(wanted.id, guestReadyLine);
		return wanted;
	};

	test(
		"vCPUs, memory, disks and NICs come and go; what stays keeps its place",
		async () => {
			const first = withNic(await session.lab.withGuest(session.domain), "nic-0", "br-a");
			await boot(first);
			const disk = await session.lab.makeDisk(`extra-${session.number}.raw`, "raw", 16 * MiB);
			const more = changedSpec(
				withNic(withDisk(first, "disk-x", disk, { bus: "scsi" }, { format: "raw" }), "nic-1", "br-b"),
				(spec) => {
					spec.cpu.vcpus = 2;
					spec.memory.sizeBytes = 384 * MiB;
				},
			);
			expect(await session.lab.driver.applyLive({ ...more, generation: 2 })).toEqual(
				["cpu.vcpus", "memory.sizeBytes", "disks[disk-x]", "nics[nic-1]"].map((field) => ({
					field,
					applied: true,
					reason: null,
				})),
			);
			for (const word of ["add cpu cpu1 2", "add memory", "add block sda 16777216", "add nic eth1"])
				await session.lab.guestSays(session.domain.id, word);
			expect(await session.lab.driver.compare(more)).toEqual([]);
			const live = await session.read(session.domain.id);
			const defined = await session.read(session.domain.id, xmlFlags.inactive);
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
			expect(
				(await session.lab.driver.applyLive({ ...without, generation: 3 })).filter(({ applied }) => !applied),
			).toEqual([]);
			for (const word of ["remove block sda", "remove nic eth0"]) await session.lab.guestSays(session.domain.id, word);
			await session.lab.driver.destroy(session.domain.id);
			await session.lab.driver.start(session.domain.id, { paused: true });
			const again = await session.read(session.domain.id);
			expect(places(again)).toEqual([["nic-1", places(live)[1]?.[1]]]);
			expect(await session.lab.driver.compare(without)).toEqual([]);
			const single = changedSpec(without, (spec) => Object.assign(spec.cpu, { vcpus: 1 }));
			expect(await session.lab.driver.compare(single)).toMatchObject([{ field: "cpu.vcpus", repair: "next-start" }]);
		},
		testLimitMs,
	);

	test(
		"gives memory back, and says so when it does not",
		async () => {
			const wanted = await boot(await session.lab.withGuest(session.domain));
			const less = changedSpec(wanted, (spec) => Object.assign(spec.memory, { sizeBytes: 192 * MiB }));
			expect(await session.lab.driver.applyLive(less)).toEqual([
				{ field: "memory.sizeBytes", applied: true, reason: null },
			]);
			await session.lab.driver.pause(session.domain.id);
			const [memory] = await session.lab.driver.applyLive(wanted);
			expect(memory).toMatchObject({ field: "memory.sizeBytes", applied: false });
			expect(memory?.reason).toContain("192 MiB");
		},
		testLimitMs,
	);

	test(
		"a disk that the guest keeps is reported, and stays",
		async () => {
			const bare = await session.lab.withGuest(session.domain);
			const wanted = withDisk(
				bare,
				"disk-x",
				await session.lab.makeDisk(`kept-${session.number}.qcow2`, "qcow2", 16 * MiB),
			);
			await boot(wanted);
			await session.lab.driver.pause(session.domain.id);
			const [change] = await session.lab.driver.applyLive({ ...bare, generation: 2 });
			expect(change).toMatchObject({ field: "disks[disk-x]", applied: false });
			expect(change?.reason).toContain("did not let go");
			expect((await session.lab.driver.getDomain(session.domain.id))?.runningGeneration).toBe(1);
			expect((await session.lab.driver.compare(bare)).map(({ field }) => field)).toEqual(["disks[disk-x]"]);
		},
		testLimitMs,
	);

	test(
		"reads its seed, shows its screen, and answers on its serial port",
		async () => {
			const seed = join(session.lab.folder, `seed-${session.number}`);
			writeFileSync(`${seed}-meta`, "instance-id: i-1\nlocal-hostname: from-seed\n");
			const graft = ["-graft-points", `meta-data=${seed}-meta`];
			Bun.spawnSync(["xorriso", "-as", "mkisofs", "-quiet", "-V", "cidata", "-o", `${seed}.iso`, ...graft]);
			await boot({ ...(await session.lab.withGuest(session.domain)), seedPath: `${seed}.iso` });
			expect(await session.lab.guestSays(session.domain.id, guestReadyLine)).toContain(
				"LIMIQUANTIX-GUEST hostname from-seed",
			);

			await showsWelcome(session.domain.id, 720, 400);

			const serial = await session.lab.driver.openSerial(session.domain.id);
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
		testLimitMs,
	);

	test(
		"is paused when its disk has no room, says which disk, and goes on when there is room",
		async () => {
			const small = join(session.lab.folder, "small");
			await session.lab.libvirtd.runInNamespace("mkdir", ["-p", small]);
			await session.lab.libvirtd.runInNamespace("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", small]);
			const path = join(small, "full.qcow2");
			await session.lab.libvirtd.runInNamespace("qemu-img", ["create", "-q", "-f", "qcow2", path, String(GiB)]);
			await boot(withDisk(await session.lab.withGuest(session.domain), "disk-full", path, { cache: "writeback" }));
			const serial = await session.lab.driver.openSerial(session.domain.id);
			await serial.write(Buffer.from("\ndd if=/dev/urandom of=/dev/vdb bs=1M count=16 conv=fsync\n"));
			const io = await session.until("the I/O error", (event) => event.kind === "io-error");
			expect(io).toMatchObject({ id: session.domain.id, alias: "ua-disk-full", reason: "no-space" });
			await session.until("the pause", (event) => event.kind === "lifecycle" && event.powerState === "paused");
			expect(await session.lab.driver.getDomain(session.domain.id)).toMatchObject({
				powerState: "paused",
				reason: "io-error",
			});
			// Still no room: it pauses again, and has lost nothing by that.
			session.events.length = 0;
			await session.lab.driver.resume(session.domain.id);
			await session.until("the second I/O error", (event) => event.kind === "io-error");
			await session.until("the second pause", (event) => event.kind === "lifecycle" && event.powerState === "paused");
			await session.lab.libvirtd.runInNamespace("mount", ["-o", "remount,size=64m", small]);
			await session.lab.driver.resume(session.domain.id);
			await session.lab.guestSays(session.domain.id, "16+0 records out");
			expect((await session.lab.driver.getDomain(session.domain.id))?.powerState).toBe("running");
			await serial.close();
			await session.lab.driver.destroy(session.domain.id);
			await session.lab.libvirtd.runInNamespace("umount", [small]);
		},
		testLimitMs,
	);

	test(
		"boots with UEFI, and has figures",
		async () => {
			await boot(
				changedSpec(await session.lab.withGuest(withNic(session.domain, "nic-0", "br-a")), (spec) =>
					Object.assign(spec, { firmware: "uefi" }),
				),
			);
			const figures = present(
				await waitUntil("figures of the balloon", stepLimitMs, async () =>
					(await session.lab.driver.stats()).find(
						({ id, memoryUsedBytes }) => id === session.domain.id && memoryUsedBytes !== null,
					),
				),
				"figures",
			);
			expect(figures.cpuTimeNs).toBeGreaterThan(1e8);
			expect(figures.diskReadBytes).toBeGreaterThan(MiB);
			expect(figures.memoryActualBytes).toBe(256 * MiB);
			expect(figures.memoryUsedBytes ?? 0).toBeWithin(10 * MiB, 256 * MiB);
			await showsWelcome(session.domain.id, 1280, 800);
		},
		testLimitMs,
	);
});
