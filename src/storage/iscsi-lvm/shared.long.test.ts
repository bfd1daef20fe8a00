/**
 * Two nodes that share one LUN, each a machine with its own kernel, lvmlockd and sanlock: what one has open, the other does not get,
 * not even while the one stands still. sanlock runs without its watchdog, which would reset the machine.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { type StorageVm, startStorageVm } from "../../testing/lab/storage-vm/storage-vm.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { type EthernetHub, startEthernetHub } from "../../testing/power/ethernet-hub.ts";
import { newId } from "../conformance.ts";
import type { NodeAnswer, NodeOrders } from "./testing/node-child.ts";

const cacheDir = join(import.meta.dir, "../../../.cache");
const lab = "/repo/src/testing/lab/storage-vm/inside";
const serial = "2f9a6c1e-53b8-4d07-8e6a-1c0d9b7f4e25";
const poolId = newId();
const ids = [newId(), newId()] as const;
const machines: StorageVm[] = [];
let folder: string;
let hub: EthernetHub | undefined;

/** Daemons of a node; a program that is asked until it answers. */
const startNode = (node: number): string => `
	echo InitiatorName=iqn.2026-11.test.limiquantix:node-${node} > /etc/iscsi/initiatorname.iscsi
	iscsid && mkdir -p /run/sanlock /run/lvm
	setsid sanlock daemon -D -w 0 -U root -G root -e node-${node} > /data/sanlock.log 2>&1 &
	timeout 30 sh -c 'until sanlock client status; do sleep 0.2; done' &&
	{ setsid lvmlockd -f -g sanlock > /data/lvmlockd.log 2>&1 & } &&
	timeout 30 sh -c 'until lvmlockctl --info; do sleep 0.2; done'`;
const serve = `
	setsid bun ${lab}/serve-iscsi.ts ${serial} > /run/serve 2>&1 &
	until grep ready /run/serve; do kill -0 $! || { cat /run/serve; exit 1; }; sleep 0.1; done`;

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-shared-"));
	hub = await startEthernetHub(join(folder, "hub"));
	const { socketPath } = hub;
	for (const node of [1, 2])
		machines.push(await startStorageVm({ cacheDir, lifetimeMs: 3_600_000, hub: { socketPath, node } }));
	await machines[0]?.shell(serve, 120_000);
	for (const [at, machine] of machines.entries()) await machine.shell(startNode(at + 1), 90_000);
}, 300_000);
afterAll(async () => {
	for (const machine of machines) await machine[Symbol.asyncDispose]();
	await hub?.close();
	await rm(folder, { recursive: true, force: true });
}, 60_000);

const tell = (at: 0 | 1, ...calls: NodeOrders["calls"]): Promise<NodeAnswer[]> => order(at, calls);

async function order(
	at: 0 | 1,
	calls: NodeOrders["calls"],
	more: Pick<NodeOrders, "othersLeaveMs"> = {},
): Promise<NodeAnswer[]> {
	const config: NodeOrders["config"] = {
		...{ portals: ["10.88.0.2"], target: "iqn.2026-11.test.limiquantix:shared", layout: "thick", wipeOnDelete: false },
		...{ wwid: `naa.6001405${serial.replaceAll("-", "").slice(0, 25)}`, chapUser: null, mutualChapUser: null },
		hostIds: { [ids[0]]: 1, [ids[1]]: 2 },
	};
	const orders: NodeOrders = { poolId, nodeId: ids[at], folder: "/data/node", config, calls, ...more };
	const script = `cd /repo && bun src/storage/iscsi-lvm/testing/node-child.ts '${JSON.stringify(orders)}'`;
	const output = (await machines[at]?.shell(script, 400_000)) ?? "";
	const answers: NodeAnswer[] = JSON.parse(output.split("\n").at(-1) ?? "[]");
	for (const { call, ms, error } of answers) console.log(`node ${at + 1}: ${call} ${ms} ms ${error ?? ""}`);
	return answers;
}

const errors = (answers: NodeAnswer[]) => answers.map(({ error }) => error?.split(":")[0] ?? null);
const volume = newId();
const empty = { format: "qcow2", sizeBytes: 64 * MiB, source: { kind: "empty" } };

test("the node with the lowest host id makes the group; the other one joins", async () => {
	expect(errors(await tell(1, ["activate"]))).toEqual(["storage"]);
	expect(errors(await tell(0, ["probe"], ["activate"], ["check"]))).toEqual([null, null, null]);
	expect(errors(await tell(1, ["activate"], ["check"]))).toEqual([null, null]);
}, 600_000);

test("what one node has open, the other one neither opens, copies, grows nor deletes", async () => {
	const opened = await tell(0, ["activate"], ["createVolume", volume, empty], ["openVolume", volume]);
	expect(errors(opened)).toEqual([null, null, null]);
	const clone = { ...empty, source: { kind: "volume", id: volume, fullCopy: false } };
	const refused = await tell(
		1,
		["activate"],
		["getVolume", volume],
		["openVolume", volume],
		["createVolume", newId(), clone],
		["createVolume", newId(), { ...clone, source: { ...clone.source, fullCopy: true } }],
		["resizeVolume", volume, 128 * MiB],
		["deleteVolume", volume],
		["listVolumes"],
	);
	expect(errors(refused)).toEqual([null, null, "in-use", "in-use", "in-use", "in-use", "in-use", null]);
	expect(refused.at(-1)?.value).toHaveLength(1);
}, 600_000);

test("closed here, it is opened there; what it rests on is open on both", async () => {
	const copy = newId();
	const clone = { ...empty, source: { kind: "volume", id: volume, fullCopy: false } };
	const made: NodeOrders["calls"] = [
		["closeVolume", volume],
		["createVolume", copy, clone],
		["openVolume", copy],
	];
	expect(errors(await tell(0, ["activate"], ...made))).toEqual([null, null, null, null]);
	const there = await tell(1, ["activate"], ["openVolume", volume], ["openVolume", copy]);
	expect(errors(there)).toEqual([null, null, "in-use"]);
	const here = await tell(0, ["activate"], ["openVolume", volume], ["closeVolume", copy]);
	expect(errors(here)).toEqual([null, "in-use", null]);
	const closed = await tell(1, ["activate"], ["openVolume", copy], ["closeVolume", copy], ["closeVolume", volume]);
	expect(errors(closed)).toEqual([null, null, null, null]);
	const gone = await tell(0, ["activate"], ["deleteVolume", copy], ["deleteVolume", volume]);
	expect(errors(gone)).toEqual([null, null, null]);
}, 600_000);

test("a layer of a disk that is written to is read by another node, once QEMU writes elsewhere", async () => {
	const [base, copy, snapshot] = [newId(), newId(), newId()];
	const source = { kind: "snapshot", id: base, snapshotId: snapshot, fullCopy: false };
	const taken = await tell(
		0,
		["activate"],
		["createVolume", base, empty],
		["openVolume", base],
		["snapshots.take", base, snapshot, { running: true }],
		["createVolume", copy, { ...empty, source }],
	);
	expect(errors(taken)).toEqual([null, null, null, null, null]);
	expect(errors(await tell(1, ["activate"], ["openVolume", copy]))).toEqual([null, "in-use"]);
	// As QEMU does when it goes over.
	const overlay = `/dev/lqx-${poolId}/v-${base}-2`;
	const pid = await machines[0]?.shell(`setsid sleep 1000 < ${overlay} > /dev/null 2>&1 & echo $!`);
	await waitUntil(
		"the layer to be everybody's",
		300_000,
		async () => {
			// Seen open at two checks of one process.
			const look: [string][] = [["check"], ["listVolumes"], ["listVolumes"]];
			await tell(0, ["activate"], ...look, ...look);
			return errors(await tell(1, ["activate"], ["openVolume", copy])).at(-1) === null;
		},
		{ everyMs: 1000 },
	);
	expect(errors(await tell(1, ["activate"], ["openVolume", base], ["closeVolume", copy]))).toEqual([
		null,
		"in-use",
		null,
	]);
	await machines[0]?.shell(`kill ${pid}`);
	const gone = await tell(0, ["activate"], ["closeVolume", base], ["deleteVolume", copy], ["deleteVolume", base]);
	expect(errors(gone)).toEqual([null, null, null, null]);
}, 900_000);

test("what another node has left unfinished is refused, and removed by hand when that node is gone for good", async () => {
	const id = newId();
	const lv = `lqx-${poolId}/v-${id}-1`;
	const asOther = `--config 'global/use_lvmlockd=1' --yes --addtag lqx.half=${ids[1]} -an -Zn -Wn -L4m -n v-${id}-1`;
	await machines[1]?.shell(`lvcreate ${asOther} lqx-${poolId}`, 60_000);
	const [, refused] = await tell(0, ["activate"], ["createVolume", id, empty]);
	expect(refused?.error).toContain(`remove ${lv} by hand`);
	// The target is on the same machine: what is behind the LUN is to be seen there, too.
	const config = 'global/use_lvmlockd=1 devices/global_filter=["r|^/dev/loop|"]';
	await machines[0]?.shell(`lvremove --config '${config}' --yes ${lv}`, 60_000);
	const made = await tell(0, ["activate"], ["createVolume", id, empty], ["deleteVolume", id]);
	expect(errors(made)).toEqual([null, null, null]);
}, 600_000);

test("a group that another node takes part in is not taken away", async () => {
	const refused = await order(1, [["activate"], ["remove"]], { othersLeaveMs: 5000 });
	expect(errors(refused)).toEqual([null, "in-use"]);
	expect(errors(await tell(1, ["deactivate"]))).toEqual([null]);
	expect(errors(await tell(0, ["activate"], ["check"]))).toEqual([null, null]);
	expect(errors(await tell(1, ["activate"], ["check"]))).toEqual([null, null]);
}, 900_000);

test("whoever deletes the pool waits for the other one to leave, and leaves the LUN empty; a pool can be made there", async () => {
	const [removed, left] = await Promise.all([
		tell(0, ["remove"], ["probe"]),
		// Some more to do before it leaves, as a node has that hears of it.
		tell(1, ["activate"], ["listVolumes"], ["deactivate"]),
	]);
	expect([errors(removed), errors(left)]).toEqual([
		[null, null],
		[null, null, null],
	]);
	for (const machine of machines) {
		const seen = await machine.shell("iscsiadm -m session 2>&1; dmsetup ls; lvmlockctl --info", 60_000).catch(String);
		expect(seen).toContain("No active sessions");
		expect(seen).not.toContain("lqx");
	}
	expect(errors(await tell(0, ["activate"], ["check"]))).toEqual([null, null]);
	expect(errors(await tell(1, ["activate"], ["check"]))).toEqual([null, null]);
}, 900_000);

test("what a node that stands still has open is given to nobody until its lease has run out", async () => {
	const held = newId();
	const opened = await tell(1, ["activate"], ["createVolume", held, empty], ["openVolume", held]);
	expect(errors(opened)).toEqual([null, null, null]);
	await machines[1]?.pause();
	const since = performance.now();
	expect(errors(await tell(0, ["activate"], ["openVolume", held]))).toEqual([null, "in-use"]);
	await waitUntil(
		"the lease to run out",
		400_000,
		async () => (await tell(0, ["activate"], ["openVolume", held])).at(-1)?.error === null,
		{ everyMs: 5000 },
	);
	const afterMs = performance.now() - since;
	console.log(`given away after ${Math.round(afterMs)} ms`);
	// sanlock: 8 io timeouts of 10 s without a renewal, and the time in which a watchdog would have reset that node.
	expect(afterMs).toBeGreaterThan(80_000);
	expect(errors(await tell(0, ["activate"], ["closeVolume", held], ["deleteVolume", held]))).toEqual([
		null,
		null,
		null,
	]);
}, 600_000);

test("a node that is gone without a word keeps nobody from taking the group away", async () => {
	// It is not seen to renew its lease for long enough, also when this node has just begun to look.
	expect(errors(await tell(0, ["deactivate"], ["activate"], ["remove"], ["probe"]))).toEqual([null, null, null, null]);
	const left = await machines[0]
		?.shell("iscsiadm -m session 2>&1; dmsetup ls; lvmlockctl --info", 60_000)
		.catch(String);
	expect(left).toContain("No active sessions");
	expect(left).not.toContain("lqx");
}, 600_000);
