/** Work on the disks of a VM whose guest goes on writing; what is on them is compared with what the guest says. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { systemClock } from "../../lib/clock.ts";
import { isAppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { fileSource } from "../../model/disk-source.ts";
import { guestReadyLine } from "../../testing/lab/guest-image.ts";
import { stepLimitMs, testLimitMs, useLibvirtLab } from "../../testing/lab/libvirt-session.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import type { DomainDisk, DomainSpec } from "../driver.ts";
import { withDisk } from "../test-domain.ts";
import { createLibvirtDriver } from "./libvirt-driver.ts";
import { createLibvirtClient } from "./rpc/client.ts";

const session = useLibvirtLab("disk-work");
const sizeBytes = 16 * MiB;

const diskOn = (path: string, format: DomainDisk["format"], backing: DomainDisk["backing"] = []): DomainDisk => ({
	...{ id: "disk-d", source: fileSource(path), format, backing },
});

/** A shell of the guest on its serial port. */
async function openShell(id: string) {
	const serial = await session.lab.driver.openSerial(id);
	let heard = "";
	const listening = (async () => {
		for await (const bytes of serial.output) heard += Buffer.from(bytes).toString();
	})();
	let count = 0;
	return {
		/** What the command says. */
		async run(command: string): Promise<string> {
			count += 1;
			const from = heard.length;
			// The terminal shows the command as well: only a shell makes the end out of it.
			await serial.write(Buffer.from(`${command}; echo end-$((${count}+1000))\n`));
			return waitUntil(`the guest to end "${command}"`, stepLimitMs, () => {
				const said = heard.slice(from);
				return said.includes(`end-${count + 1000}`) ? said : undefined;
			});
		},
		async close() {
			await serial.close();
			await listening;
		},
	};
}

type Shell = Awaited<ReturnType<typeof openShell>>;

/** `megabytes` from `at` on become the letter. */
const writeLetter = (shell: Shell, letter: string, at: number) =>
	shell.run(`tr '\\0' ${letter} </dev/zero | dd of=/dev/vdb bs=1M count=1 seek=${at} iflag=fullblock conv=fsync`);

const lettersOf = (rawPath: string): string => {
	const bytes = readFileSync(rawPath);
	return Array.from({ length: 4 }, (_, at) => String.fromCharCode(bytes[at * MiB] ?? 0).replace("\0", ".")).join("");
};

const boot = async (domain: DomainSpec): Promise<DomainSpec> => {
	await session.start(domain);
	await session.lab.guestSays(domain.id, guestReadyLine);
	return domain;
};

describe("a disk that the guest writes to", () => {
	test(
		"goes on in an overlay, is merged, and is copied to other formats, and nothing is lost",
		async () => {
			const { lab, domain, number } = session;
			const base = await lab.makeDisk(`base-${number}.raw`, "raw", sizeBytes);
			const below = { source: { kind: "file" as const, path: base }, format: "raw" as const };
			const overlay = diskOn(await lab.makeOverlay(`over-${number}.qcow2`, below), "qcow2", [below]);
			const wanted = await boot(withDisk(await lab.withGuest(domain), "disk-d", base, {}, { format: "raw" }));
			const shell = await openShell(domain.id);
			await writeLetter(shell, "A", 0);
			await lab.driver.switchDisks(domain.id, [{ diskId: "disk-d", disk: overlay }]);
			await writeLetter(shell, "B", 1);
			expect(lettersOf(base)).toBe("A...");
			await lab.driver.commitDisk(domain.id, "disk-d", { base: below.source, top: overlay.source });
			expect(lettersOf(base)).toBe("AB..");
			await writeLetter(shell, "C", 2);
			expect(lettersOf(base)).toBe("ABC.");

			const limits = { readBytesPerSecond: null, writeBytesPerSecond: 2 * MiB, readIops: null, writeIops: null };
			const limited = wanted.disks.map((disk) => (disk.id === "disk-d" ? { ...disk, qos: limits } : disk));
			expect(await lab.driver.applyLive({ ...wanted, disks: limited })).toMatchObject([{ applied: true }]);
			const startedAtMs = performance.now();
			await shell.run("dd if=/dev/zero of=/dev/vdb bs=1M count=4 seek=8 conv=fsync");
			expect(performance.now() - startedAtMs).toBeGreaterThan(1500);
			expect(await lab.driver.applyLive(wanted)).toMatchObject([{ applied: true }]);

			// Writes all over the disk, one after the other, until told.
			await shell.run(
				"w() { i=0; while [ ! -e /run/s ]; do i=$((i+7)); echo $i | dd of=/dev/vdb bs=512 seek=$((i%32768)) conv=notrunc; done 2>/dev/null; echo w-$i; }",
			);
			await shell.run("w & sleep 0");
			const qcow2 = diskOn(await lab.makeDisk(`copy-${number}.qcow2`, "qcow2", sizeBytes), "qcow2");
			const canceling = new AbortController();
			const canceled = lab.driver.copyDisk(domain.id, "disk-d", qcow2, {
				...{ bytesPerSecond: MiB / 4, signal: canceling.signal },
				progress: () => canceling.abort(),
			});
			await expect(canceled).rejects.toMatchObject({ code: "canceled" });
			expect(await lab.driver.diskLayers(domain.id)).toContainEqual({ diskId: "disk-d", layers: [base] });
			await lab.driver.copyDisk(domain.id, "disk-d", qcow2);
			const raw = diskOn(await lab.makeDisk(`copy-${number}.raw`, "raw", sizeBytes), "raw");
			await lab.driver.copyDisk(domain.id, "disk-d", raw);
			const writer = await shell.run("touch /run/s; wait; sync; echo 3 >/proc/sys/vm/drop_caches");
			expect(Number(/\bw-(\d+)/.exec(writer)?.[1])).toBeGreaterThan(100);
			const said = /\b[0-9a-f]{64}\b/.exec(await shell.run("sha256sum /dev/vdb"))?.[0];
			await shell.close();
			await lab.driver.destroy(domain.id);
			const path = join(lab.folder, `copy-${number}.raw`);
			expect(createHash("sha256").update(readFileSync(path)).digest("hex")).toBe(present(said, "the guest's digest"));
		},
		testLimitMs,
	);

	test(
		"is a block device: grows with it, goes on in an overlay on another one, and moves to a third",
		async () => {
			const { lab, domain, number } = session;
			const devices = [0, 1, 2].map((index) => join(lab.folder, `device-${number}-${index}`));
			const loops: string[] = [];
			try {
				for (const path of devices) {
					await run("truncate", ["-s", String(sizeBytes), "--", path], { timeoutMs: 5000 });
					const loop = (await run("losetup", ["--find", "--show", "--", path], { timeoutMs: 5000 })).stdout.trim();
					loops.push(loop);
					// The lab's /dev has what was there when the lab began.
					const node = [loop, "b", "7", loop.replace("/dev/loop", "")];
					await lab.libvirtd.runInNamespace("mknod", node, { okExitCodes: [0, 1] });
				}
				const [first = "", second = "", third = ""] = loops;
				const device = (path: string, format: DomainDisk["format"]) => ({
					source: { kind: "block" as const, path },
					format,
				});
				const disk = device(first, "raw");
				await boot(withDisk(await lab.withGuest(domain), "disk-d", "", {}, disk));
				const grown = 2 * sizeBytes;
				const grow = () => lab.driver.resizeDisk(domain.id, "disk-d", grown);
				await expect(grow()).rejects.toMatchObject({ code: "wrong-state" });
				truncateSync(devices[0] ?? "", grown);
				await run("losetup", ["--set-capacity", first], { timeoutMs: 5000 });
				await grow();
				await grow();
				await lab.guestSays(domain.id, `change block vdb ${grown}`);

				const made = ["create", "-q", "-f", "qcow2", "-b", first, "-F", "raw", "--", second, String(grown)];
				await lab.libvirtd.runInNamespace("qemu-img", made);
				const overlay = { id: "disk-d", ...device(second, "qcow2"), backing: [disk] };
				await lab.driver.switchDisks(domain.id, [{ diskId: "disk-d", disk: overlay }]);
				const shell = await openShell(domain.id);
				await writeLetter(shell, "E", 1);
				truncateSync(devices[2] ?? "", grown);
				await run("losetup", ["--set-capacity", third], { timeoutMs: 5000 });
				await lab.driver.copyDisk(domain.id, "disk-d", { id: "disk-d", ...device(third, "raw"), backing: [] });
				await writeLetter(shell, "F", 2);
				await shell.close();
				expect(await lab.driver.diskLayers(domain.id)).toContainEqual({ diskId: "disk-d", layers: [third] });
				await lab.driver.destroy(domain.id);
				expect(lettersOf(third)).toBe(".EF.");
				expect(lettersOf(first)).toBe("....");
			} finally {
				await lab.driver.destroy(domain.id);
				for (const loop of loops) await run("losetup", ["--detach", loop], { timeoutMs: 5000 });
			}
		},
		testLimitMs,
	);
});

describe("a copy whose libvirtd dies", () => {
	test(
		"goes on in QEMU, and is adopted by whoever comes next",
		async () => {
			const { lab, domain, number } = session;
			const path = await lab.makeFullDisk(`full-${number}.raw`, 48 * MiB);
			const target = diskOn(await lab.makeDisk(`new-${number}.qcow2`, "qcow2", 48 * MiB), "qcow2");
			const wanted = await session.start(withDisk(domain, "disk-d", path, {}, { format: "raw" }));
			const begun = Promise.withResolvers<void>();
			const copying = lab.driver
				.copyDisk(domain.id, "disk-d", target, { bytesPerSecond: MiB / 4, progress: () => begun.resolve() })
				.then(
					() => "done",
					(error) => (isAppError(error) ? error.code : String(error)),
				);
			await begun.promise;
			await lab.libvirtd.kill9();
			expect(await copying).toBe("unavailable");
			await lab.libvirtd.restart();
			const deps = { clock: systemClock, logger: silentLogger };
			const client = createLibvirtClient({ uri: lab.libvirtd.uri, random: systemRandom, ...deps });
			const driver = createLibvirtDriver({ client, folderOf: () => domain.folder, ...deps });
			try {
				await client.open();
				const job = await waitUntil("libvirtd to have the domain back", stepLimitMs, async () => {
					const jobs = await driver.blockJobs(domain.id).catch(() => []);
					return jobs[0];
				});
				expect(job).toMatchObject({ diskId: "disk-d", kind: "copy", ready: false });
				await driver.copyDisk(domain.id, "disk-d", target);
				expect(await driver.compare({ ...wanted, disks: [target] })).toEqual([]);
			} finally {
				await driver.close();
				await client.close();
			}
			await waitUntil("the first connection", stepLimitMs, () => lab.driver.info().state === "connected");
			await lab.driver.destroy(domain.id);
			const compare = ["compare", "-f", "raw", "-F", "qcow2", "--", path, join(lab.folder, `new-${number}.qcow2`)];
			expect((await run("qemu-img", compare, { timeoutMs: 20_000 })).exitCode).toBe(0);
		},
		testLimitMs,
	);
});

describe("keys", () => {
	test(
		"are given to nobody, and gone when libvirtd restarts",
		async () => {
			const { lab, domain } = session;
			const { id } = domain;
			await lab.driver.putSecret({ id, kind: "ceph", name: "lqx-test", value: Buffer.from("key-1") });
			await lab.driver.putSecret({ id, kind: "ceph", name: "lqx-test", value: Buffer.from("key-2") });
			expect(await lab.client.secretLookupByUuid(id)).toMatchObject({ uuid: id, usageId: "lqx-test" });
			const described = (await session.virsh("secret-dumpxml", id)).stdout;
			expect(described).toContain("ephemeral='yes' private='yes'");
			await expect(session.virsh("secret-get-value", id)).rejects.toMatchObject({ code: "internal" });
			await lab.libvirtd.restart();
			await waitUntil("the connection", stepLimitMs, () => lab.driver.info().state === "connected");
			await expect(lab.client.secretLookupByUuid(id)).rejects.toMatchObject({ code: "not-found" });
			await lab.driver.removeSecret(id);
			await lab.driver.putSecret({ id, kind: "ceph", name: "lqx-test", value: Buffer.from("key-3") });
			await lab.driver.removeSecret(id);
			await expect(lab.client.secretLookupByUuid(id)).rejects.toMatchObject({ code: "not-found" });
		},
		testLimitMs,
	);
});
