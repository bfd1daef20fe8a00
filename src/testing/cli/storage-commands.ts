/** Commands about volumes and pools, for whole-node.test.ts: each does what a person would, and looks. */

import { expect } from "bun:test";
import { statSync } from "node:fs";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import type { PoolContentEntry } from "../../model/pool-content.ts";
import { noSnapshots } from "../../storage/fake-pool.ts";
import { fixtureId } from "../fixtures.ts";
import type { WholeNode } from "./whole-node.ts";

type Commands = {
	node: WholeNode;
	/** As root on the node; fails when the command does. */
	root(words: string): Promise<string>;
	json(words: string): ReturnType<typeof JSON.parse>;
	rootCode(words: string): Promise<number>;
};

/** `path`: of a file that is free. */
export async function passingVolume({ root, json, rootCode }: Commands, path: string): Promise<void> {
	await root("volume create data --size 24MiB --pool local");
	await root("volume resize data 48MiB");
	await root("volume rename data more-data");
	expect(await json("volume show more-data")).toMatchObject({ sizeBytes: 48 * MiB, phase: "ready" });
	await root("volume clone more-data copy --full-copy");
	await root(`volume download more-data ${path} --format raw`);
	expect(statSync(path).size).toBe(48 * MiB);
	expect(statSync(path).blocks).toBe(0);
	expect(await json("image import golden --volume copy --format raw")).toMatchObject({ phase: "ready" });
	await root("vm edit web --attach more-data --memory 512MiB --description changed");
	expect(await root("volume list --vm web -q")).toContain((await json("volume show more-data")).id);
	expect(await rootCode("volume delete more-data --yes")).toBe(1);
	await root("vm edit web --detach more-data");
	for (const name of ["more-data", "copy"]) await root(`volume delete ${name} --yes`);
	expect(await json("volume list --search data")).toEqual([]);
}

/** Between the pools local and fast; and a copy that outlives what it was made of. */
export async function wanderingVolume({ root, json }: Commands): Promise<void> {
	await root("volume create wanderer --size 24MiB --format raw --pool local");
	await root("volume move wanderer fast --format qcow2");
	expect(await json("volume show wanderer")).toMatchObject({ format: "qcow2", phase: "ready" });
	expect(await root("volume list --pool fast")).toContain("wanderer");
	expect(await root("volume check wanderer --repair")).toContain("No damage found.");
	await root("volume move wanderer local");
	expect(await root("pool orphans list fast")).not.toContain("volume");
	await root("volume delete wanderer --yes");
	await root("volume create mother --size 24MiB --pool local");
	await root("volume clone mother daughter");
	expect((await json("volume show daughter")).source).toMatchObject({ kind: "clone", fullCopy: false });
	await root("volume flatten daughter");
	expect((await json("volume show daughter")).source).toMatchObject({ kind: "clone", fullCopy: true });
	for (const name of ["mother", "daughter"]) await root(`volume delete ${name} --yes`);
}

export async function whatNobodyOwns({ node, root, json, rootCode }: Commands): Promise<void> {
	const some = present([...node.pool.volumes.values()][0], "a volume in the pool");
	const content = some.content.copy(24 * MiB);
	const [first, second] = [fixtureId(0x901), fixtureId(0x902)];
	for (const id of [first, second])
		node.pool.volumes.set(id, {
			format: "raw",
			content,
			backing: [],
			path: `/fake/volumes/${id}.raw`,
			adopted: false,
			...noSnapshots(),
		});
	expect(await root("pool content local")).toContain("volumes/");
	const lies = await json("pool content local volumes");
	const owner = (id: string) => lies.find((one: PoolContentEntry) => one.belongsTo?.id === id)?.belongsTo;
	expect([owner(first)?.recorded, lies.length > 2]).toEqual([false, true]);
	expect(await root("pool content local volumes")).toContain(`volume ${first} (no record)`);
	expect(await rootCode("pool content local ../..")).toBe(2);
	const found = await json("pool orphans list local");
	expect(found.map(({ id }: { id: string }) => id).sort()).toEqual([first, second]);
	expect(await rootCode(`pool orphans delete local ${fixtureId(0x903)} --yes`)).toBe(2);
	expect(await root(`pool orphans delete local ${first} --yes`)).toContain("pool.deleteOrphans local: done");
	expect(await root(`pool orphans adopt local ${second} rescued`)).toContain("ready");
	expect(await json("volume show rescued")).toMatchObject({ id: second, sizeBytes: 24 * MiB, format: "raw" });
	expect(await json("pool orphans list local")).toEqual([]);
	await root("volume delete rescued --yes");
	expect(node.pool.volumes.has(second)).toBe(false);
}

/** Of the VM web. */
export async function limitedDisk({ root, json, rootCode }: Commands): Promise<void> {
	await root("vm disk edit web disk-0 --read-iops 500 --write-bytes 50MiB");
	await root("vm disk edit web disk-0 --read-iops 300");
	expect((await json("vm show web")).spec.disks[0].limits).toEqual({ readIops: 300, writeBytesPerSecond: 50 * MiB });
	expect(await root("vm show web")).toContain("at most writes 50 MiB/s, 300 reads/s");
	await root("vm disk edit web disk-0 --no-limits");
	expect((await json("vm show web")).spec.disks[0].limits).toBeUndefined();
	expect(await rootCode("vm disk edit web disk-0")).toBe(2);
	await root("vm disk edit web disk-0 --cache writeback --no-discard");
	expect((await json("vm show web")).spec.disks[0]).toMatchObject({
		cache: "writeback",
		discard: false,
		bus: "virtio",
	});
	expect(await root("vm show web")).toContain("cache writeback, no discard");
}

export async function snapshotsOfVm({ root, json }: Commands): Promise<void> {
	await root("vm snapshot create web first --description clean");
	await root("vm snapshot create web second");
	expect(await root("vm snapshot list web")).toContain("└─ second  *");
	expect(await json("vm snapshot show web first")).toMatchObject({ powerState: "running", description: "clean" });
	await root("vm snapshot edit web first --name 1st");
	await root("vm snapshot create web third");
	await root("vm snapshot delete web third --yes");
	await root("vm stop web");
	await root("vm snapshot revert web 1st --yes");
	await root("vm snapshot delete web second --yes");
	expect(await json("vm snapshot list web")).toMatchObject([{ name: "1st", current: true }]);
	const [{ volumeId }] = (await json("vm show web")).spec.disks;
	expect(await root(`volume snapshots ${volumeId}`)).toMatch(/^1st +web +ready/m);
	const { id } = await json("vm snapshot show web 1st");
	await root(`volume create as-it-was --snapshot ${id}`);
	await root("volume delete as-it-was --yes");
	await root("vm start web");
}

export async function thickVolumes({ root, json }: Commands): Promise<void> {
	const made = await json("volume create fat --size 4MiB --pool local --provisioning thick");
	expect(made).toMatchObject({ provisioning: "thick", allocatedBytes: 4 * MiB });
	expect(await root("volume show fat")).toMatch(/provisioning +thick/);
	const copy = await json("volume clone fat fat-copy --provisioning thick");
	expect(copy).toMatchObject({ allocatedBytes: 4 * MiB, source: { fullCopy: true } });
	await root("vm create fat-vm --disk size=4MiB,provisioning=thick --no-start");
	expect(await json("volume show fat-vm-disk-0")).toMatchObject({ provisioning: "thick", phase: "ready" });
	await root("vm delete fat-vm --yes");
	for (const name of ["fat-copy", "fat"]) await root(`volume delete ${name} --yes`);
}

/** Of the image tiny-linux, into the pool fast, and VMs of the copy there. */
export async function copiedImage({ root, json, rootCode }: Commands): Promise<void> {
	const source = await json("image show tiny-linux");
	expect(await rootCode("image copy tiny-linux tiny-copy")).toBe(2);
	const made = await json("image copy tiny-linux tiny-copy --pool fast --tag golden");
	expect(made).toMatchObject({ phase: "ready", sha256: source.sha256, tags: ["golden"], format: source.format });
	expect(made.poolId).not.toBe(source.poolId);
	expect(await root("image show tiny-copy")).toContain(`image ${source.id}`);
	await root("vm create of-copy --image tiny-copy --no-start");
	expect(await json("volume show of-copy-disk-0")).toMatchObject({ poolId: made.poolId, source: { fullCopy: false } });
	expect(await rootCode("image delete tiny-copy --yes")).toBe(1);
	await root("vm delete of-copy --yes");
	await root("image delete tiny-copy --yes");
}
