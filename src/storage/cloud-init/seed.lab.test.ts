/** The seed as others see it: cloud-init's own schema and renderers, PyYAML, xorriso, libblkid, a Linux guest. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { buildGuestImage, guestReadyLine } from "../../testing/lab/guest-image.ts";
import { startQemu } from "../../testing/lab/qemu-process.ts";
import { type SeedDocuments, seedDocuments } from "./documents.ts";
import { sampleContext as context, documentsOf, form, samples } from "./samples.ts";
import { writeSeedIso } from "./seed-iso.ts";

const limit = { timeoutMs: 20_000 };
let folder = "";
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "limiquantix-seed-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

for (const sample of samples.filter(({ spec }) => spec.kind === "form")) {
	test(`cloud-init's schema accepts the user-data: ${sample.name}`, async () => {
		const path = join(folder, "user-data");
		await writeFile(path, documentsOf(sample).userData);
		const { stdout } = await run("cloud-init", ["schema", "--config-file", path], limit);
		expect(stdout).toContain("Valid cloud-config");
	});

	test(`PyYAML reads the same as we wrote: ${sample.name}`, async () => {
		const { userData, metaData, networkConfig } = documentsOf(sample);
		for (const text of [userData, metaData, networkConfig ?? "{}"]) {
			const script = "import sys, yaml, json; print(json.dumps(yaml.safe_load(sys.stdin.read())))";
			const { stdout } = await run("/usr/bin/python3", ["-c", script], { ...limit, stdin: text });
			const { parse } = await import("yaml");
			expect(JSON.parse(stdout)).toEqual(parse(text));
		}
	});
}

test("cloud-init renders the network config for every kind of guest", async () => {
	const { networkConfig } = documentsOf(
		present(
			samples.find(({ name }) => name === "everything"),
			"the sample",
		),
	);
	const path = join(folder, "network-config");
	await writeFile(path, networkConfig ?? "");
	const outputs = {
		eni: "debian",
		netplan: "ubuntu",
		networkd: "arch",
		"network-manager": "fedora",
		sysconfig: "centos",
	};
	for (const [output, distro] of Object.entries(outputs)) {
		const out = join(folder, output);
		const flags = ["--network-data", path, "--kind", "yaml", "--directory", out, "--distro", distro];
		await run(
			"cloud-init",
			["devel", "net-convert", ...flags, "--mac", "eth0,52:54:00:12:34:56", "--output-kind", output],
			limit,
		);
		const entries = await readdir(out, { recursive: true, withFileTypes: true });
		let text = "";
		for (const entry of entries.filter((one) => one.isFile()))
			text += await readFile(join(entry.parentPath, entry.name), "utf8");
		for (const value of ["192.0.2.10", "192.0.2.1", "192.0.2.53", "2001:db8::10"])
			expect(`${output}: ${text}`).toContain(value);
	}
});

const wanted = (documents: SeedDocuments) => ({
	"meta-data": documents.metaData,
	"network-config": documents.networkConfig ?? "",
	"user-data": documents.userData,
});

/** With a user-data of many sectors. */
async function bigSeed(): Promise<{ path: string; documents: SeedDocuments }> {
	const userData = `#!/bin/sh\n${"echo täst\n".repeat(40_000)}`;
	const spec = { kind: "raw", userData, metaData: null, networkConfig: "version: 2\n" } as const;
	const documents = seedDocuments(spec, context);
	const path = join(folder, "seed.iso");
	await writeSeedIso(path, documents);
	return { path, documents };
}

test("the file is whole sectors, for its owner only, and replaced in one step", async () => {
	const { path } = await bigSeed();
	const first = await stat(path);
	expect(first.mode & 0o777).toBe(0o600);
	expect(first.size % 2048).toBe(0);
	const before = await readFile(path);
	await bigSeed();
	expect(await readFile(path)).toEqual(before);
	expect((await stat(path)).ino).not.toBe(first.ino);
	expect(await readdir(folder)).not.toContain("seed.iso.new");
});

test("xorriso reads label, names and content, by Rock Ridge and by Joliet", async () => {
	const { path, documents } = await bigSeed();
	for (const [tree, flags] of [
		["rockridge", ["-read_fs", "nojoliet"]],
		["joliet", ["-read_fs", "norock"]],
	] as const) {
		const out = join(folder, tree);
		const result = await run("xorriso", [...flags, "-osirrox", "on", "-indev", path, "-extract", "/", out], limit);
		expect(result.stderr).toContain("Volume id    : 'cidata'");
		expect(result.stderr).not.toMatch(/WARNING|SORRY|FAILURE/);
		const found: Record<string, string> = {};
		for (const name of (await readdir(out)).sort()) found[name] = await readFile(join(out, name), "utf8");
		expect(found).toEqual(wanted(documents));
	}
});

test("libblkid finds an iso9660 labelled cidata", async () => {
	const { path } = await bigSeed();
	const { stdout } = await run("blkid", ["--probe", "--output", "export", path], limit);
	expect(stdout).toContain("LABEL=cidata\n");
	expect(stdout).toContain("TYPE=iso9660\n");
});

test("a Linux guest finds it and reads instance id and host name", async () => {
	const image = await buildGuestImage({ cacheDir: join(import.meta.dir, "../../../.cache") });
	const path = join(folder, "guest.iso");
	await writeSeedIso(path, seedDocuments(form({ hostname: "seeded-7" }), context));
	const cdrom = ["-blockdev", `driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=${path}`];
	const bus = ["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=seed"];
	await using guest = await startQemu({ diskQcow2: image.qcow2Path, memoryMib: 256, extraArgs: [...cdrom, ...bus] });
	await guest.serial.waitFor(guestReadyLine, 90_000);
	expect(guest.serial.text).toContain("LIMIQUANTIX-GUEST hostname seeded-7\r\n");
	expect(guest.serial.text).toContain(`LIMIQUANTIX-GUEST instance-id ${context.instanceId}\r\n`);
}, 300_000);
