/** What the verbs of `vm snapshot` send and show. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GiB } from "../../../lib/units.ts";
import type { TaskKind } from "../../../model/task.ts";
import { type FakeApi, fakeApi, page } from "../../../testing/cli/fake-api.ts";
import { expectGolden } from "../../../testing/cli/golden.ts";
import { cli } from "../../../testing/cli/run-cli.ts";
import { fixtureId, fixtureSnapshot, fixtureTask, fixtureVm, fixtureVolume } from "../../../testing/fixtures.ts";

const vm = fixtureVm({ name: "web" });
const volume = fixtureVolume({ id: fixtureId(5), name: "data" });
const disks = [{ diskId: "disk-0", volumeId: volume.id, sizeBytes: 10 * GiB }];
const snapshot = (number: number, name: string, parent: number | null, current = false) =>
	fixtureSnapshot({
		...{ id: fixtureId(number), name, parentId: parent === null ? null : fixtureId(parent), current, disks },
		...{ phase: "ready", powerState: "running" },
	});
const configured = snapshot(0x12, "configured", 0x11);
// As the API lists them: by age.
const all = [
	snapshot(0x11, "installed", null),
	configured,
	snapshot(0x13, "other-way", 0x11),
	snapshot(0x14, "before-upgrade", 0x12, true),
];
const task = (kind: TaskKind) =>
	fixtureTask(kind, { kind: "vm", id: vm.id, name: "web" }, { id: fixtureId(0x400), state: "succeeded" });

let folder: string;
let api: FakeApi;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	const accepted = (kind: TaskKind) => () => Response.json(task(kind), { status: 202 });
	api = fakeApi(
		{ runDir: folder },
		{
			vmList: () => page(vm),
			volumeList: () => page(volume),
			snapshotList: () => page(...all),
			snapshotGet: () => configured,
			snapshotUpdate: () => configured,
			snapshotCreate: () =>
				Response.json(configured, { status: 201, headers: { "Task-Location": `/v1/tasks/${fixtureId(0x400)}` } }),
			snapshotRevert: accepted("vm.revert"),
			snapshotDelete: accepted("snapshot.delete"),
			volumeCreate: () => Response.json(volume, { status: 201 }),
			taskGet: () => task("vm.snapshot"),
		},
	);
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
const here = (words: string, options: Parameters<typeof cli>[1] = {}) =>
	cli([...words.split(" "), "--run-dir", folder], options);
const sent = (operation: string) => api.requests.findLast((request) => request.operation === operation);

test("the list is a tree", async () => {
	const { out, code } = await here("vm snapshot list web");
	expect(code).toBe(0);
	expectGolden(join(import.meta.dir, "golden/snapshot-tree.txt"), out);
	expect(JSON.parse((await here("vm snapshot list web --output json")).out)).toHaveLength(all.length);
});

test("create sends name and description, and shows what was made", async () => {
	const { out, code } = await here("vm snapshot create web configured --description tidy");
	expect([code, sent("snapshotCreate")?.json]).toEqual([0, { name: "configured", description: "tidy" }]);
	expect(out).toContain("disk-0 data 10 GiB");
});

test("names are looked for in the VM; ids do as well", async () => {
	for (const word of ["configured", fixtureId(0x12)]) {
		expect((await here(`vm snapshot revert web ${word} --yes`)).code).toBe(0);
		expect(sent("snapshotRevert")?.path).toContain(fixtureId(0x12));
	}
	const { code, err } = await here("vm snapshot delete web nothing --yes");
	expect(code).not.toBe(0);
	expect(err).toContain('There is no snapshot named "nothing".');
	expect((await here("vm snapshot delete web configured --yes")).code).toBe(0);
	expect(sent("snapshotDelete")?.path).toContain(fixtureId(0x12));
});

test("edit wants something to change", async () => {
	expect((await here("vm snapshot edit web configured")).code).not.toBe(0);
	expect((await here("vm snapshot edit web configured --name done")).code).toBe(0);
	expect(sent("snapshotUpdate")?.json).toEqual({ name: "done" });
});

test("a volume of a disk in a snapshot", async () => {
	expect((await here(`volume create copy --snapshot ${fixtureId(0x12)} --disk data --no-wait`)).code).toBe(0);
	expect(sent("volumeCreate")?.json).toEqual({
		name: "copy",
		source: { kind: "snapshot", snapshotId: fixtureId(0x12), volumeId: volume.id },
	});
	expect((await here("volume create copy --disk data --size 1GiB")).code).not.toBe(0);
	expect((await here(`volume create copy --snapshot ${fixtureId(0x12)} --image x`)).code).not.toBe(0);
});
