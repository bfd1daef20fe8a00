/** How a VM has its disks: said when it is made, when one is attached, and afterwards. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GiB, MiB } from "../../../lib/units.ts";
import { type FakeApi, fakeApi, page } from "../../../testing/cli/fake-api.ts";
import { cli } from "../../../testing/cli/run-cli.ts";
import {
	fixtureId,
	fixtureNode,
	fixturePool,
	fixtureVm,
	fixtureVmSpec,
	fixtureVolume,
} from "../../../testing/fixtures.ts";

const volume = fixtureVolume({ id: fixtureId(5), name: "data" });
const plain = { bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
const first = { id: "disk-0", volumeId: fixtureId(6), ...plain };
const second = { id: "disk-1", volumeId: volume.id, ...plain, limits: { readIops: 500, writeIops: 7 } };
const vm = fixtureVm({ name: "web", generation: 7, spec: fixtureVmSpec({ disks: [first, second] }) });

let folder: string;
let api: FakeApi;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi(
		{ runDir: folder },
		{
			vmList: () => page(vm),
			vmGet: () => vm,
			vmUpdate: () => vm,
			vmCreate: () => Response.json(vm, { status: 201 }),
			volumeList: () => page(volume),
			volumeGet: () => volume,
			poolGet: () => fixturePool(),
			nodeList: () => page(fixtureNode()),
		},
	);
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
const here = (words: string) => cli([...words.split(" "), "--run-dir", folder]);
const disksSent = async (words: string) => {
	const { code, err } = await here(words);
	expect({ words, code, err }).toEqual({ words, code: 0, err: "" });
	const last = api.requests.findLast(({ operation }) => operation === "vmUpdate" || operation === "vmCreate");
	return (last?.json as { disks?: unknown[] } | undefined)?.disks;
};

test("disk edit changes what is named, and nothing else", async () => {
	const edit = "vm disk edit web";
	expect(await disksSent(`${edit} disk-0 --cache writeback --no-discard`)).toEqual([
		{ ...first, cache: "writeback", discard: false },
		second,
	]);
	expect(api.requests.findLast(({ operation }) => operation === "vmUpdate")?.headers.get("if-match")).toBe('"7"');
	expect(await disksSent(`${edit} data --read-only --bus scsi --write-iops 9`)).toEqual([
		first,
		{ ...second, bus: "scsi", readOnly: true, limits: { readIops: 500, writeIops: 9 } },
	]);
	const { limits: _limits, ...bare } = second;
	expect(await disksSent(`${edit} disk-1 --no-limits --no-read-only --discard`)).toEqual([first, bare]);
	for (const words of ["disk-0", "disk-0 --cache unsafe", "disk-0 --read-iops 0"])
		expect({ words, code: (await here(`${edit} ${words}`)).code }).toEqual({ words, code: 2 });
});

test("all of it can be said of a disk of a new VM, and of one that is attached", async () => {
	const how = "bus=scsi,cache=writethrough,no-discard,read-only,read-iops=500,write-bytes=50MiB";
	const said = { bus: "scsi", cache: "writethrough", discard: false, readOnly: true };
	const limits = { readIops: 500, writeBytesPerSecond: 50 * MiB };
	const disks = `--disk 20GiB,${how} --disk volume=data,cache=writeback,write-iops=3,read-bytes=1MiB --disk 1GiB`;
	expect(await disksSent(`vm create web ${disks}`)).toEqual([
		{ sizeBytes: 20 * GiB, ...said, limits },
		{ volumeId: volume.id, cache: "writeback", limits: { writeIops: 3, readBytesPerSecond: MiB } },
		{ sizeBytes: GiB },
	]);
	expect(await disksSent(`vm edit web --detach data --attach data,${how}`)).toEqual([
		first,
		{ id: "disk-2", volumeId: volume.id, ...said, limits },
	]);
	const ceph = { monitors: ["10.0.0.1"], user: "vms", cephPool: "rbd", namespace: null, dataPool: null };
	api.handlers.poolGet = () => fixturePool({ type: "ceph-rbd", config: ceph });
	expect(await disksSent("vm edit web --detach data --attach data")).toEqual([
		first,
		{ id: "disk-2", volumeId: volume.id, ...plain, cache: "writeback" },
	]);
	for (const words of [
		...["create web --disk 1GiB,cache=unsafe", "create web --disk 1GiB,read-iops=0", "create web --disk 1GiB,discard"],
		...[
			"create web --disk volume=data,full-copy",
			"edit web --attach data,write-bytes=x",
			"edit web --attach bus=scsi",
		],
	])
		expect({ words, code: (await here(`vm ${words}`)).code }).toEqual({ words, code: 2 });
});

test("vm show says what is not as usual", async () => {
	const disks = [first, { ...second, cache: "writeback" as const, discard: false, readOnly: true }];
	api.handlers.vmGet = () => ({ ...vm, spec: { ...vm.spec, disks } });
	const { out } = await here("vm show web");
	expect(out).toMatch(/^disk-0 .*, virtio$/m);
	expect(out).toMatch(
		/^disk-1 .*, virtio, cache writeback, no discard, read-only, at most 500 reads\/s, 7 writes\/s$/m,
	);
});
