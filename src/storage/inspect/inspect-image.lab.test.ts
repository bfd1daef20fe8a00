/** What becomes an image, with the real qemu-img as judge: files of its own making, and headers changed at random. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { GiB, MiB, TiB } from "../../lib/units.ts";
import { fails, pattern } from "../conformance.ts";
import { inspectImage, requireQemuAgrees } from "./inspect-image.ts";

let folder = "";
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "limiquantix-inspect-"));
	await writeFile(join(folder, "base.raw"), pattern(MiB));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const qemuImg = (...args: string[]) => run("qemu-img", args, { timeoutMs: 20_000, cwd: folder });
const path = (name: string) => join(folder, name);

const good: { name: string; args: string[] }[] = [
	{ name: "version 2", args: ["create", "-f", "qcow2", "-o", "compat=0.10", "v2.qcow2", "2T"] },
	{ name: "version 3", args: ["create", "-f", "qcow2", "v3.qcow2", "10G"] },
	{ name: "small clusters", args: ["create", "-f", "qcow2", "-o", "cluster_size=512", "small.qcow2", "1G"] },
	{ name: "large clusters", args: ["create", "-f", "qcow2", "-o", "cluster_size=2M", "large.qcow2", "10G"] },
	{ name: "extended entries", args: ["create", "-f", "qcow2", "-o", "extended_l2=on", "extended.qcow2", "10G"] },
	{ name: "compressed", args: ["convert", "-c", "-f", "raw", "-O", "qcow2", "base.raw", "compressed.qcow2"] },
	{
		name: "zstd",
		args: ["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", "base.raw", "zstd.qcow2"],
	},
];
for (const { name, args } of good)
	test(`takes qcow2: ${name}`, async () => {
		await qemuImg(...args);
		const file = args.find((arg) => arg.endsWith(".qcow2")) ?? "";
		const info = JSON.parse((await qemuImg("info", "--output=json", "-f", "qcow2", file)).stdout);
		expect(await inspectImage(path(file), "qcow2")).toEqual({ virtualSizeBytes: info["virtual-size"] });
	});

/** Encrypted ones are made byte by byte in the conformance suite: making one takes seconds, and fails on a busy machine. */
const bad: { name: string; file: string; args: string[] }[] = [
	{
		name: "a backing file",
		file: "overlay.qcow2",
		args: ["create", "-f", "qcow2", "-F", "raw", "-b", "base.raw", "overlay.qcow2"],
	},
	{
		name: "a data file",
		file: "outside.qcow2",
		args: ["create", "-f", "qcow2", "-o", "data_file=outside.data", "outside.qcow2", "1M"],
	},
	{ name: "another format (vmdk)", file: "x.vmdk", args: ["create", "-f", "vmdk", "x.vmdk", "1M"] },
	{ name: "another format (vhd)", file: "x.vhd", args: ["create", "-f", "vpc", "x.vhd", "1M"] },
	{
		name: "another format (fixed vhd)",
		file: "f.vhd",
		args: ["create", "-f", "vpc", "-o", "subformat=fixed", "f.vhd", "1M"],
	},
	{ name: "another format (vhdx)", file: "x.vhdx", args: ["create", "-f", "vhdx", "x.vhdx", "1M"] },
	{ name: "another format (vdi)", file: "x.vdi", args: ["create", "-f", "vdi", "x.vdi", "1M"] },
	{ name: "another format (qed)", file: "x.qed", args: ["create", "-f", "qed", "x.qed", "1M"] },
	{ name: "another format (parallels)", file: "x.parallels", args: ["create", "-f", "parallels", "x.parallels", "1M"] },
];
for (const { name, file, args } of bad)
	test(`refuses ${name}, as qcow2 and as raw`, async () => {
		await qemuImg(...args);
		for (const format of ["qcow2", "raw", "iso"] as const)
			expect(await fails("invalid", inspectImage(path(file), format))).not.toContain(folder);
	});

test("refuses damaged tables, sizes over the limit, and what takes too much", async () => {
	await qemuImg("convert", "-f", "raw", "-O", "qcow2", "base.raw", "damaged.qcow2");
	const bytes = await readFile(path("damaged.qcow2"));
	const l1 = Number(bytes.readBigUInt64BE(40));
	bytes.writeBigUInt64BE(bytes.readBigUInt64BE(l1) + 0x10000n, l1);
	await writeFile(path("damaged.qcow2"), bytes);
	await fails("invalid", inspectImage(path("damaged.qcow2"), "qcow2"));
	await qemuImg("create", "-f", "qcow2", "huge.qcow2", "60T");
	expect(await inspectImage(path("huge.qcow2"), "qcow2")).toEqual({ virtualSizeBytes: 60 * TiB });
	const limits = {
		maxVirtualBytes: TiB,
		addressSpaceBytes: GiB,
		cpuSeconds: 30,
		timeoutMs: 60_000,
		checkCpuSeconds: 30,
		checkTimeoutMs: 60_000,
	};
	expect(await fails("invalid", inspectImage(path("huge.qcow2"), "qcow2", {}, limits))).toContain("limit");
	const little = { ...limits, maxVirtualBytes: 64 * TiB, addressSpaceBytes: 8 * MiB };
	await fails("invalid", inspectImage(path("huge.qcow2"), "qcow2", {}, little));
	await fails("canceled", inspectImage(path("huge.qcow2"), "qcow2", { signal: AbortSignal.abort() }));
});

test("the second gate refuses by itself what the first one would have refused", async () => {
	for (const { file, args } of bad.slice(0, 2)) {
		await qemuImg(...args);
		await fails("invalid", requireQemuAgrees(path(file), "qcow2", MiB));
	}
	await qemuImg("create", "-f", "qcow2", "second.qcow2", "1M");
	await requireQemuAgrees(path("second.qcow2"), "qcow2", MiB);
	await fails("invalid", requireQemuAgrees(path("second.qcow2"), "qcow2", 2 * MiB));
	await fails("invalid", requireQemuAgrees(path("base.raw"), "qcow2", MiB));
});

test("headers changed at random: whatever is taken, qemu-img finds no reference in it", async () => {
	await qemuImg("create", "-f", "qcow2", "-F", "raw", "-b", "base.raw", "with.qcow2");
	await qemuImg("create", "-f", "qcow2", "-o", "data_file=outside2.data", "data.qcow2", "1M");
	await qemuImg("create", "-f", "qcow2", "plain.qcow2", "1M");
	const seeds = [];
	for (const name of ["with.qcow2", "data.qcow2", "plain.qcow2"]) seeds.push(await readFile(path(name)));
	let taken = 0;
	for (let round = 0; round < 150; round++) {
		const bytes = Buffer.from(seeds[round % seeds.length] ?? []);
		// Mostly the fields that matter: features, backing file, extensions.
		for (let count = 1 + Math.floor(Math.random() * 3); count > 0; count--) {
			const at = Math.random() < 0.5 ? 8 + Math.floor(Math.random() * 12) : Math.floor(Math.random() * 260);
			bytes[at] = Math.random() < 0.4 ? 0 : Math.floor(Math.random() * 256);
		}
		await writeFile(path("changed.qcow2"), bytes);
		let size = 0;
		try {
			size = (await inspectImage(path("changed.qcow2"), "qcow2")).virtualSizeBytes;
		} catch (error) {
			if (!isAppError(error, "invalid")) throw error;
			continue;
		}
		taken += 1;
		const header = bytes.subarray(0, 512).toString("hex");
		const { stdout } = await qemuImg("info", "--output=json", "-f", "qcow2", "changed.qcow2");
		const info = JSON.parse(stdout);
		expect({
			header,
			size: info["virtual-size"],
			backing: info["backing-filename"],
			data: info["format-specific"].data["data-file"],
		}).toEqual({ header, size, backing: undefined, data: undefined });
	}
	expect(taken).toBeGreaterThan(10);
}, 60_000);

test("iso: the marker of ISO 9660, and nothing else in front", async () => {
	await writeFile(path("readme.txt"), "hello");
	await run("xorriso", ["-as", "genisoimage", "-quiet", "-o", path("good.iso"), path("readme.txt")], {
		timeoutMs: 20_000,
	});
	const size = (await readFile(path("good.iso"))).length;
	expect(await inspectImage(path("good.iso"), "iso")).toEqual({ virtualSizeBytes: size });
	const both = await open(path("good.iso"), "r+");
	await both.write(Buffer.from("QFI\xfb", "latin1"), 0, 4, 0);
	await both.close();
	expect(await fails("invalid", inspectImage(path("good.iso"), "iso"))).toContain("qcow2");
});
