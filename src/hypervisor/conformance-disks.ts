/**
 * The part of the conformance suite that is about the disks of a running domain: limits, overlays, copies, commits; and the
 * keys for disks elsewhere. Called by conformance.ts only.
 */
import { expect } from "bun:test";
import { AppError, isAppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { fileSource } from "../model/disk-source.ts";
import type { ConformanceTools } from "./conformance-changes.ts";
import type { DiskLimits, DomainDisk, DomainSpec } from "./driver.ts";
import { testUuid, withDisk } from "./test-domain.ts";

const fullBytes = 48 * MiB;
/** With this, what is `fullBytes` long takes longer than any test. */
const slow = { bytesPerSecond: MiB / 8 };

export function disksConformance({ part, fresh, running, gone, driver, harness }: ConformanceTools): void {
	const disk = (path: string, format: DomainDisk["format"], backing: DomainDisk["backing"] = []): DomainDisk => ({
		...{ id: "disk-0", source: fileSource(path), format, backing },
	});
	const layer = (path: string, format: DomainDisk["format"] = "qcow2") => ({
		source: { kind: "file" as const, path },
		format,
	});
	const withDisks = (domain: DomainSpec, disks: DomainDisk[]): DomainSpec => ({ ...domain, disks });
	const layersOf = async ({ id }: DomainSpec, diskId = "disk-0") =>
		(await driver().diskLayers(id)).find((found) => found.diskId === diskId)?.layers;
	const onFullDisk = async (name: string) => {
		const path = await harness().makeFullDisk(`${name}.raw`, fullBytes);
		return { path, domain: await running(withDisk(fresh(), "disk-0", path, {}, { format: "raw" })) };
	};

	part("secrets", "takes a key, another value of it, and forgets it, each as often as one likes", async () => {
		const secret = { id: testUuid(7000), kind: "ceph" as const, name: "conformance", value: Buffer.from("first") };
		await driver().removeSecret(secret.id);
		await driver().putSecret(secret);
		await driver().putSecret(secret);
		await driver().putSecret({ ...secret, value: Buffer.from("second") });
		await driver().removeSecret(secret.id);
		await driver().removeSecret(secret.id);
	});

	part("secrets", "does not start a domain whose disk needs a key that it does not have", async () => {
		const rbd = { kind: "rbd" as const, pool: "p", namespace: null, image: "i", user: "u", secretId: testUuid(7001) };
		const source = { ...rbd, monitors: [{ host: "127.0.0.1", port: 1 }] };
		const domain = withDisk(fresh(), "disk-0", "", {}, { source, format: "raw" });
		await driver().define(domain);
		expect(await driver().compare(domain)).toEqual([]);
		await expect(driver().start(domain.id, { paused: false })).rejects.toMatchObject({ code: "unavailable" });
		expect((await driver().getDomain(domain.id))?.powerState).toBe("stopped");
		await driver().undefine(domain.id);
	});

	part("disk-work", "limits a disk live, changes the limits and takes them away", async () => {
		const path = await harness().makeDisk("limited.qcow2", "qcow2", 16 * MiB);
		const limited = (qos: DiskLimits | null) => withDisk(bare, "disk-0", path, {}, { qos });
		const bare = fresh();
		const limits = { readBytesPerSecond: 10 * MiB, writeBytesPerSecond: null, readIops: null, writeIops: 100 };
		await running(limited(limits));
		expect(await driver().compare(limited(limits))).toEqual([]);
		const other = { ...limits, readBytesPerSecond: null, writeBytesPerSecond: 5 * MiB, readIops: 50 };
		for (const wanted of [other, null, limits]) {
			expect(await driver().compare(limited(wanted))).toMatchObject([
				{ field: "disks[disk-0].qos", repair: "automatic" },
			]);
			expect(await driver().applyLive(limited(wanted))).toEqual([
				{ field: "disks[disk-0].qos", applied: true, reason: null },
			]);
			expect(await driver().compare(limited(wanted))).toEqual([]);
		}
		await gone(bare);
	});

	part("disk-work", "fails for domains and disks that are not there", async () => {
		const domain = fresh();
		const copy = disk("/nonexistent", "raw");
		const calls = (diskId: string) => [
			() => driver().switchDisks(domain.id, [{ diskId, disk: disk("/nonexistent", "qcow2", [layer("/x")]) }]),
			() => driver().copyDisk(domain.id, diskId, copy),
			() => driver().commitDisk(domain.id, diskId, { base: copy.source, top: fileSource("/x") }),
			() => driver().abortBlockJob(domain.id, diskId),
		];
		const lists = [() => driver().diskLayers(domain.id), () => driver().blockJobs(domain.id)];
		for (const call of [...calls("disk-0"), ...lists])
			await expect(call()).rejects.toMatchObject({ code: "not-found" });
		await driver().define(domain);
		for (const call of [...calls("disk-0"), ...lists])
			await expect(call()).rejects.toMatchObject({ code: "wrong-state" });
		await driver().start(domain.id, { paused: false });
		for (const call of calls("disk-9")) await expect(call()).rejects.toMatchObject({ code: "not-found" });
		expect(await driver().blockJobs(domain.id)).toEqual([]);
		await gone(domain);
	});

	part("disk-work", "goes on in overlays, running and paused, once for each; the definition too", async () => {
		const a = await harness().makeDisk("switch-a.qcow2", "qcow2", 16 * MiB);
		const b = await harness().makeDisk("switch-b.raw", "raw", 16 * MiB);
		const plain = withDisk(withDisk(fresh(), "disk-0", a), "disk-1", b, { bus: "scsi" }, { format: "raw" });
		const domain = await running(plain);
		const a1 = disk(await harness().makeOverlay("switch-a1.qcow2", layer(a)), "qcow2", [layer(a)]);
		const b1 = disk(await harness().makeOverlay("switch-b1.qcow2", layer(b, "raw")), "qcow2", [layer(b, "raw")]);
		const stray = { diskId: "disk-0", disk: { ...a1, backing: [layer(b, "raw")] } };
		await expect(driver().switchDisks(domain.id, [stray])).rejects.toMatchObject({ code: "wrong-state" });
		const both = [
			{ diskId: "disk-0", disk: a1 },
			{ diskId: "disk-1", disk: { ...b1, id: "disk-1" } },
		];
		await driver().switchDisks(domain.id, both);
		await driver().switchDisks(domain.id, both);
		const switched = withDisks(
			domain,
			both.map((one) => one.disk),
		);
		expect(await driver().compare(switched)).toEqual([]);
		expect(await layersOf(domain)).toEqual([sourcePath(a1), a]);

		await driver().pause(domain.id);
		const a1Layers = [layer(sourcePath(a1)), layer(a)];
		const a2 = disk(await harness().makeOverlay("switch-a2.qcow2", layer(sourcePath(a1))), "qcow2", a1Layers);
		await driver().switchDisks(domain.id, [{ diskId: "disk-0", disk: a2 }, ...both.slice(1)]);
		expect(await layersOf(domain)).toEqual([sourcePath(a2), sourcePath(a1), a]);
		expect(await layersOf(domain, "disk-1")).toEqual([sourcePath(b1), b]);
		expect((await driver().getDomain(domain.id))?.powerState).toBe("paused");
		const raw = { diskId: "disk-0", disk: disk("/nonexistent", "raw", [layer(sourcePath(a2))]) };
		await expect(driver().switchDisks(domain.id, [raw])).rejects.toMatchObject({ code: "unsupported" });

		const later = withDisks(domain, [a2, ...switched.disks.slice(1)]);
		await driver().destroy(domain.id);
		await driver().start(domain.id, { paused: true });
		expect(await driver().compare(later)).toEqual([]);
		await gone(domain);
	});

	part("disk-work", "copies a disk to another place and format, and goes over to it", async () => {
		const { domain } = await onFullDisk("copy-from");
		const target = disk(await harness().makeDisk("copy-to.qcow2", "qcow2", fullBytes), "qcow2");
		const told: number[] = [];
		await driver().copyDisk(domain.id, "disk-0", target, { progress: (done) => told.push(done) });
		expect(told.at(-1)).toBe(1);
		expect(told).toEqual(told.toSorted((x, y) => x - y));
		expect(await driver().compare(withDisks(domain, [target]))).toEqual([]);
		expect(await driver().blockJobs(domain.id)).toEqual([]);
		await driver().copyDisk(domain.id, "disk-0", target);
		const restsOn = { ...target, backing: [layer("/nonexistent")] };
		await expect(driver().copyDisk(domain.id, "disk-0", restsOn)).rejects.toMatchObject({ code: "invalid" });
		await driver().destroy(domain.id);
		expect(await driver().compare(withDisks(domain, [target]))).toEqual([]);
		await driver().undefine(domain.id);
	});

	part("disk-work", "leaves the disk where it was when a copy is taken back", async () => {
		const { domain } = await onFullDisk("cancel-from");
		const target = disk(await harness().makeDisk("cancel-to.raw", "raw", fullBytes), "raw");
		const canceling = new AbortController();
		const copying = driver().copyDisk(domain.id, "disk-0", target, {
			...slow,
			signal: canceling.signal,
			progress: () => canceling.abort(),
		});
		await expect(copying).rejects.toMatchObject({ code: "canceled" });
		expect(await driver().blockJobs(domain.id)).toEqual([]);
		expect(await driver().compare(domain)).toEqual([]);
		const signal = AbortSignal.abort();
		await expect(driver().copyDisk(domain.id, "disk-0", target, { signal })).rejects.toMatchObject({
			code: "canceled",
		});
		expect(await driver().blockJobs(domain.id)).toEqual([]);
		await gone(domain);
	});

	part("disk-work", "asks before a disk goes over, and takes the copy back when the answer is no", async () => {
		const { domain, path } = await onFullDisk("ask-from");
		const target = disk(await harness().makeDisk("ask-to.raw", "raw", fullBytes), "raw");
		const refusal = { beforeSwitch: () => Promise.reject(new AppError("wrong-state", "Not now.")) };
		await expect(driver().copyDisk(domain.id, "disk-0", target, refusal)).rejects.toMatchObject({
			message: "Not now.",
		});
		expect(await driver().blockJobs(domain.id)).toEqual([]);
		expect(await layersOf(domain)).toEqual([path]);
		const asked: (string[] | undefined)[] = [];
		const beforeSwitch = async () => void asked.push(await layersOf(domain));
		await driver().copyDisk(domain.id, "disk-0", target, { beforeSwitch });
		expect(asked).toEqual([[path]]);
		expect(await layersOf(domain)).toEqual([sourcePath(target)]);
		await driver().copyDisk(domain.id, "disk-0", target, refusal);
		await gone(domain);
	});

	/** A copy that does not end by itself, and is there when this returns. */
	const beginSlowCopy = async (domain: DomainSpec, target: DomainDisk): Promise<{ outcome: Promise<string> }> => {
		const begun = Promise.withResolvers<void>();
		const outcome = driver()
			.copyDisk(domain.id, "disk-0", target, { ...slow, progress: () => begun.resolve() })
			.then(
				() => "done",
				(error) => (isAppError(error) ? error.code : String(error)),
			);
		await Promise.race([begun.promise, outcome]);
		return { outcome };
	};

	part("disk-work", "lists a copy that goes on, refuses another one, and takes it back for whoever asks", async () => {
		const { domain, path } = await onFullDisk("abort-from");
		const target = disk(await harness().makeDisk("abort-to.raw", "raw", fullBytes), "raw");
		const { outcome } = await beginSlowCopy(domain, target);
		const [job] = await driver().blockJobs(domain.id);
		expect(job).toMatchObject({ diskId: "disk-0", kind: "copy", ready: false, target: sourcePath(target) });
		expect(job?.progress).toBeWithin(0, 1);
		const other = { ...target, source: fileSource("/nonexistent") };
		await expect(driver().copyDisk(domain.id, "disk-0", other)).rejects.toMatchObject({ code: "wrong-state" });
		const commit = { base: fileSource("/x"), top: fileSource(path) };
		await expect(driver().commitDisk(domain.id, "disk-0", commit)).rejects.toMatchObject({ code: "wrong-state" });
		await driver().abortBlockJob(domain.id, "disk-0");
		await driver().abortBlockJob(domain.id, "disk-0");
		expect(await outcome).toBe("hypervisor");
		expect(await layersOf(domain)).toEqual([path]);
		await gone(domain);
	});

	part("disk-work", "adopts a copy that goes on, with another limit", async () => {
		const { domain } = await onFullDisk("adopt-from");
		const target = disk(await harness().makeDisk("adopt-to.raw", "raw", fullBytes), "raw", []);
		await driver().pause(domain.id);
		const { outcome } = await beginSlowCopy(domain, target);
		await driver().copyDisk(domain.id, "disk-0", target);
		expect(await outcome).toBe("done");
		expect(await driver().compare(withDisks(domain, [{ ...target, format: "raw" }]))).toEqual([]);
		await gone(domain);
	});

	part("disk-work", "writes layers into those below, in the middle and from the top", async () => {
		const base = layer(await harness().makeFullDisk("commit-0.raw", fullBytes), "raw");
		const chain = [base];
		for (const number of [1, 2, 3])
			chain.unshift(layer(await harness().makeOverlay(`commit-${number}.qcow2`, chain[0] ?? base)));
		const [top = base, ...backing] = chain;
		const [three, two, one] = chain.map(({ source }) => source.path);
		const domain = await running(withDisk(fresh(), "disk-0", top.source.path, {}, { backing }));
		expect(await layersOf(domain)).toEqual([three, two, one, base.source.path].map(String));
		const middle = { base: fileSource(String(one)), top: fileSource(String(two)) };
		const turned = { base: middle.top, top: middle.base };
		await expect(driver().commitDisk(domain.id, "disk-0", turned)).rejects.toMatchObject({ code: "wrong-state" });
		await driver().commitDisk(domain.id, "disk-0", middle);
		await driver().commitDisk(domain.id, "disk-0", middle);
		expect(await layersOf(domain)).toEqual([three, one, base.source.path].map(String));
		const all = { base: base.source, top: top.source };
		await driver().commitDisk(domain.id, "disk-0", all);
		await driver().commitDisk(domain.id, "disk-0", all);
		const merged = withDisks(domain, [disk(base.source.path, "raw")]);
		expect(await driver().compare(merged)).toEqual([]);
		await driver().destroy(domain.id);
		await driver().start(domain.id, { paused: true });
		expect(await driver().compare(merged)).toEqual([]);
		await gone(domain);
	});
}

const sourcePath = ({ source }: DomainDisk): string => (source.kind === "rbd" ? "" : source.path);
