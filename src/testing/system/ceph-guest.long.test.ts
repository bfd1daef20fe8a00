/**
 * What a guest sees of its disks in a Ceph pool: booted from a copy of what another VM had at a snapshot, enlarged and made independent while
 * it writes, and set back. All of it by the whole daemon, read from inside the guests.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import { type CephSystem, startCephSystem } from "./ceph-system.ts";
import { GuestTerminal } from "./guest-terminal.ts";

let lab: CephSystem;
beforeAll(async () => {
	lab = await startCephSystem("ceph-guest");
}, 240_000);
afterAll(() => lab?.[Symbol.asyncDispose](), 60_000);

const put = (word: string) => `echo -n ${word} | dd of=/dev/vdb conv=notrunc 2>/dev/null; sync`;
const fresh = "echo 3 > /proc/sys/vm/drop_caches";
const word = `${fresh}; dd if=/dev/vdb bs=5 count=1 2>/dev/null; echo`;
const bytesOf = async (guest: GuestTerminal, disk: string): Promise<number> =>
	Number(await guest.run(`cat /sys/block/${disk}/size`)) * 512;
const rbd = (volumeId: string) => `lqx-vol-${volumeId}`;

test("a copy of a snapshot boots, grows, and outlives what it was made of; the other VM is set back", async () => {
	const { system, makePool, images, hasParent } = lab;
	const { api } = system;
	const poolId = await makePool("rbd");
	const made = await api.call("imageCreate", {
		body: { name: "guest", format: "qcow2", poolId, source: { kind: "path", path: system.guest.qcow2Path } },
	});
	await system.done(made);
	const mother = await system.createVm({
		name: "mother",
		nics: [],
		disks: [
			{ imageId: made.body.id, poolId },
			{ sizeBytes: 32 * MiB, poolId },
		],
	});
	const first = new GuestTerminal(system, mother.id);
	await first.booted();
	await first.run("echo before > /data/marker");
	await first.run(put("ALPHA"));
	const taken = await api.call("snapshotCreate", { path: { id: mother.id }, body: { name: "alpha" } });
	await system.done(taken);
	await first.run("echo after > /data/marker");
	await first.run(put("BRAVO"));

	// Copies of what the disks were then; the VM that has them runs on.
	const copies: string[] = [];
	for (const [at, { volumeId }] of mother.spec.disks.entries()) {
		const source = { kind: "snapshot", snapshotId: taken.body.id, volumeId } as const;
		const copy = await api.call("volumeCreate", { body: { name: `copy-${at}`, poolId, source } });
		await system.done(copy);
		expect((await api.call("volumeGet", { path: { id: copy.body.id } })).body.source).toMatchObject({
			fullCopy: false,
		});
		expect(await hasParent(rbd(copy.body.id))).toBe(true);
		copies.push(copy.body.id);
	}
	const [root = "", data = ""] = copies;
	const daughter = await system.createVm({
		name: "daughter",
		nics: [],
		disks: copies.map((volumeId) => ({ volumeId })),
	});
	const second = new GuestTerminal(system, daughter.id);
	await second.booted();
	expect(await second.run("cat /data/marker")).toBe("before");
	expect(await second.run("cat /data/boot-count")).toBe("2");
	expect(await second.run(word)).toBe("ALPHA");
	await second.run(put("CHARL"));
	expect([await first.run(word), await second.run(word)]).toEqual(["BRAVO", "CHARL"]);

	await system.done(await api.call("volumeResize", { path: { id: data }, body: { sizeBytes: 48 * MiB } }));
	expect([await bytesOf(second, "vdb"), await bytesOf(first, "vdb")]).toEqual([48 * MiB, 32 * MiB]);

	// It counts on its disk, behind the word, while both disks are made independent.
	await second.run(
		"echo 0 > /tmp/n; (while [ ! -e /tmp/stop ]; do n=$(($(cat /tmp/n) + 1)); printf '%08d' $n | dd of=/dev/vdb bs=8 seek=$((64 + n % 4096)) conv=notrunc,fsync 2>/dev/null; echo $n > /tmp/n; done; echo > /tmp/ended) & echo begun",
	);
	for (const id of [root, data]) {
		await system.done(await api.call("volumeFlatten", { path: { id } }));
		expect((await api.call("volumeGet", { path: { id } })).body.source).toMatchObject({ fullCopy: true });
		expect(await hasParent(rbd(id))).toBe(false);
	}
	const written = Number(
		await second.run("touch /tmp/stop; while [ ! -e /tmp/ended ]; do sleep 0.1; done; cat /tmp/n"),
	);
	expect(written).toBeGreaterThan(5);
	const read = `${fresh}; dd if=/dev/vdb bs=8 skip=${64 + (written % 4096)} count=1 2>/dev/null`;
	expect(await second.run(read)).toBe(String(written).padStart(8, "0"));

	// Back to the snapshot: what was written since is not there.
	await system.done(await api.call("vmShutdown", { path: { id: mother.id } }));
	await system.done(await api.call("snapshotRevert", { path: { id: taken.body.id } }));
	let from = await first.mark();
	await system.done(await api.call("vmStart", { path: { id: mother.id } }));
	await first.booted(from);
	expect(await first.run("cat /data/marker")).toBe("before");
	expect(await first.run(word)).toBe("ALPHA");

	// All that the copies were made of goes, and they boot.
	await system.done(await api.call("vmStop", { path: { id: mother.id } }));
	await system.done(await api.call("vmDelete", { path: { id: mother.id } }));
	await system.done(await api.call("imageDelete", { path: { id: made.body.id } }));
	expect(await images()).toEqual([rbd(root), rbd(data)].sort());
	await system.done(await api.call("vmShutdown", { path: { id: daughter.id } }));
	from = await second.mark();
	await system.done(await api.call("vmStart", { path: { id: daughter.id } }));
	await second.booted(from);
	expect(await second.run("cat /data/boot-count")).toBe("3");
	expect(await second.run(word)).toBe("CHARL");
	expect(await second.run(read)).toBe(String(written).padStart(8, "0"));
	expect(await bytesOf(second, "vdb")).toBe(48 * MiB);

	await system.done(await api.call("vmStop", { path: { id: daughter.id } }));
	await system.done(await api.call("vmDelete", { path: { id: daughter.id } }));
	await system.done(await api.call("poolDelete", { path: { id: poolId } }));
	expect(await images()).toEqual([]);
	expect(present(system.daemon.log(), "the log")).not.toContain(lab.cephKey);
}, 420_000);
