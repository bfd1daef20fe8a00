/** Whether a copy is a full one, when nobody says: as the API decides it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pool, PoolCapabilities } from "../../model/storage.ts";
import { cephRbdCapabilities } from "../../storage/ceph-rbd/capabilities.ts";
import { capabilitiesOf as iscsi } from "../../storage/iscsi-lvm/capabilities.ts";
import { localCapabilities, noFallocate, withoutThick } from "../../storage/local/capabilities.ts";
import { type FakeApi, fakeApi, page, problem } from "../../testing/cli/fake-api.ts";
import { cli } from "../../testing/cli/run-cli.ts";
import {
	clusterIds,
	fixtureId,
	fixtureImage,
	fixturePool,
	fixtureTime,
	fixtureVolume,
} from "../../testing/fixtures.ts";

const lun = {
	...{ portals: ["10.0.0.5"], target: "iqn.2026-01.net.example:disks", wwid: "naa.6001405a" },
	...{ chapUser: null, mutualChapUser: null, wipeOnDelete: false, hostIds: {} },
};
const ceph = { monitors: ["10.0.0.1"], user: "vms", cephPool: "rbd", namespace: null, dataPool: null };
const pool = (at: number, about: Pick<Pool, "name" | "type" | "config">, capabilities: PoolCapabilities): Pool =>
	fixturePool({
		...{ id: fixtureId(at), phase: "ready", ...about },
		nodes: [
			{
				...{ nodeId: clusterIds.node, health: "healthy", reason: null, capabilities, updatedAt: fixtureTime },
				...{ totalBytes: null, usedBytes: null, availableBytes: null },
			},
		],
	});
const path = { path: "/srv" };
const pools = [
	pool(0x31, { name: "files", type: "local", config: path }, localCapabilities),
	pool(0x32, { name: "btrfs", type: "local", config: path }, withoutThick(localCapabilities, noFallocate)),
	pool(0x33, { name: "rbd", type: "ceph-rbd", config: ceph }, cephRbdCapabilities),
	pool(0x34, { name: "thin-lun", type: "iscsi-lvm", config: { ...lun, layout: "thin" } }, iscsi("thin", false)),
	pool(0x35, { name: "thick-lun", type: "iscsi-lvm", config: { ...lun, layout: "thick" } }, iscsi("thick", false)),
];
const imageIn = (one: Pool) => fixtureImage({ id: fixtureId(0x50), name: "debian", poolId: one.id });
const volume = fixtureVolume({ id: fixtureId(0x60), name: "data" });

let folder: string;
let api: FakeApi;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi({ runDir: folder }, {});
	api.handlers.poolList = () => page(...pools);
	api.handlers.poolGet = ({ id }) => pools.find((one) => one.id === id) ?? problem(404, "not-found", "It is gone.");
	api.handlers.volumeList = () => page(volume);
	for (const operation of ["volumeCreate", "volumeClone"] as const)
		api.handlers[operation] = () => Response.json(volume, { status: 201 });
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
const here = (words: string) => cli([...words.split(" "), "--run-dir", folder]);
const sent = (operation: string) => api.requests.findLast((request) => request.operation === operation)?.json;

for (const { name, whole } of [
	{ name: "files", whole: { plain: false, raw: true, thick: true, thin: false } },
	{ name: "btrfs", whole: { plain: false, raw: true, thick: true, thin: false } },
	{ name: "rbd", whole: { plain: false, raw: false, thick: true, thin: false } },
	{ name: "thin-lun", whole: { plain: false, raw: false, thick: true, thin: false } },
	{ name: "thick-lun", whole: { plain: false, raw: true, thick: false, thin: true } },
])
	test(`of an image in ${name}`, async () => {
		const own = pools.find((one) => one.name === name) ?? fixturePool();
		api.handlers.imageList = () => page(imageIn(own));
		api.handlers.imageGet = () => imageIn(own);
		const made = async (words = ""): Promise<unknown> => {
			expect((await here(`volume create x --image debian${words} --no-wait`)).code).toBe(0);
			return (sent("volumeCreate") as { source: { fullCopy: boolean } }).source.fullCopy;
		};
		expect({
			plain: await made(),
			raw: await made(" --format raw"),
			thick: await made(" --provisioning thick"),
			thin: await made(" --provisioning thin"),
		}).toEqual(whole);
		expect(await made(` --pool ${name}`)).toBe(false);
		expect(await made(` --pool ${name === "files" ? "rbd" : "files"}`)).toBe(true);
		// What is said is sent, and the API says whether that can be.
		api.requests.length = 0;
		expect([await made(" --full-copy"), await made(" --format raw --no-full-copy")]).toEqual([true, false]);
		expect(api.called).not.toContain("poolGet");
	});

test("of a volume the API decides, unless it is said", async () => {
	await here("volume clone data copy --provisioning thick --pool rbd --no-wait");
	expect(sent("volumeClone")).toEqual({ name: "copy", provisioning: "thick", poolId: fixtureId(0x33) });
	await here("volume clone data copy --no-full-copy --no-wait");
	expect(sent("volumeClone")).toEqual({ name: "copy", fullCopy: false });
});
