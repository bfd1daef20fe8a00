/**
 * The data folder of a node is put back to an older state while its pool stays as it is: what was made since is in no record, and what was
 * deleted since has no content. Both are found; one is deleted by a task, another one is adopted without its snapshot, and boots.
 */
import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";

const limitMs = 180_000;

/** All but the pools, while the daemon is off. */
const isKept = (name: string): boolean => name !== "pools";
function copyState(from: string, to: string): void {
	for (const name of readdirSync(to).filter(isKept)) rmSync(join(to, name), { recursive: true });
	for (const name of readdirSync(from).filter(isKept)) cpSync(join(from, name), join(to, name), { recursive: true });
}

async function whileOff({ daemon, ready }: LabSystem, work: () => void): Promise<void> {
	expect(await daemon.term()).toBe(0);
	work();
	await daemon.start();
	await ready();
}

test(
	"an older state: what was made since is adopted or deleted, and a record whose content is gone is deleted",
	async () => {
		await using system = await startLabSystem({ name: "orphans" });
		const { api, daemon, guest } = system;
		const older = mkdtempSync("/tmp/lqx-older-");
		using _folder = { [Symbol.dispose]: () => rmSync(older, { recursive: true }) };
		const pool = present((await api.call("poolList")).body.items[0], "the pool");
		const [path, query] = [{ id: pool.id }, {}];
		const found = async () => (await api.call("poolOrphanList", { path, query })).body.items;
		const make = async (name: string): Promise<string> => {
			const made = await api.call("volumeCreate", { body: { name, sizeBytes: 16 * MiB } });
			await system.done(made);
			return made.body.id;
		};
		const kept = await make("kept");
		const gone = await make("gone");
		await whileOff(system, () => copyState(daemon.dataDir, older));

		const source = { kind: "path", path: guest.qcow2Path } as const;
		const image = await api.call("imageCreate", { body: { name: "guest", format: "qcow2", source } });
		await system.done(image);
		const imageId = image.body.id;
		const disks = [{ imageId, fullCopy: true, format: "raw" as const }];
		const vm = await system.createVm({ name: "lost", nics: [], disks, start: false });
		const disk = present(vm.spec.disks[0], "the disk").volumeId;
		await system.done(await api.call("snapshotCreate", { path: { id: vm.id }, body: { name: "before" } }));
		const lost = await make("lost");
		await system.done(await api.call("volumeDelete", { path: { id: gone } }));
		expect(await found()).toEqual([]);
		await whileOff(system, () => copyState(older, daemon.dataDir));

		const orphans = new Map((await found()).map((one) => [one.id, one]));
		expect([...orphans.keys()].sort()).toEqual([imageId, disk, lost, gone].sort());
		expect(orphans.get(imageId)).toMatchObject({ kind: "image", found: "no-record", format: "qcow2" });
		expect(orphans.get(disk)).toMatchObject({ kind: "volume", found: "no-record", snapshots: 1 });
		expect(orphans.get(lost)).toMatchObject({ kind: "volume", found: "no-record", sizeBytes: 16 * MiB });
		expect(orphans.get(gone)).toMatchObject({ kind: "volume", found: "no-content", name: "gone" });

		const body = { volumeIds: [lost, kept], imageIds: [imageId] };
		const deletion = await api.call("poolOrphanDelete", { path, query, body });
		expect((await system.done(deletion)).message).toBe(
			`Deleted: 2. Kept ${kept}: It is no orphan: there is a record of it.`,
		);
		const lies = (part: string, id: string) => existsSync(join(daemon.dataDir, "pools/local", part, id));
		expect([lies("volumes", lost), lies("images", imageId), lies("volumes", kept)]).toEqual([false, false, true]);

		const adopt = (snapshots?: "delete") =>
			api.call("poolOrphanAdopt", {
				...{ path, query, body: { volumeId: disk, name: "rescued", ...(snapshots ? { snapshots } : {}) } },
			});
		expect((await failureOf(adopt())).message).toContain("snapshots that are in no record: 1");
		const adopted = await adopt("delete");
		expect(adopted.body).toMatchObject({ id: disk, name: "rescued", source: { kind: "empty" } });
		await system.done(adopted);
		const rescued = (await api.call("volumeGet", { path: { id: disk } })).body;
		// Without its snapshot it is what it was made as.
		expect(rescued).toMatchObject({ phase: "ready", format: "raw" });
		const booted = await system.createVm({ name: "rescued", nics: [], disks: [{ volumeId: disk }] });
		await new GuestTerminal(system, booted.id).booted();

		await system.done(await api.call("volumeDelete", { path: { id: gone } }));
		expect(await found()).toEqual([]);
	},
	limitMs,
);
