/**
 * Two nodes that share one LUN, each with its own lvmlockd and sanlock: what one has open, the other does not get. They are namespaces
 * of one kernel, so device-mapper is common to both, and what excludes is the leases alone. sanlock runs without its watchdog, which
 * would reset the machine.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { type Namespace, startNamespace } from "../../testing/lab/namespace.ts";
import { type LabLuns, labLuns, limit } from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { newId } from "../conformance.ts";
import type { NodeAnswer, NodeOrders } from "./testing/node-child.ts";

const poolId = newId();
const ids = [newId(), newId()] as const;
const daemonMs = 3_600_000;
let lab: LabLuns;
const nodes: Namespace[] = [];

beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [GiB] });
	// The initiator is this machine's: its session is there for both.
	await run("iscsiadm", ["-m", "discovery", "-t", "sendtargets", "-p", "10.88.0.2"], limit);
	await run("iscsiadm", ["-m", "node", "-T", lab.target.name, "-p", "10.88.0.2:3260", "--login"], limit);
	for (const name of ["one", "two"]) nodes.push(await startNode(name));
}, 90_000);
afterAll(async () => {
	for (const node of nodes) await node.stop();
	await lab.close();
}, 60_000);

async function startNode(name: string): Promise<Namespace> {
	const node = await startNamespace({ hostname: name, network: "machine" });
	for (const folder of ["/run/sanlock", "/run/lvm", "/run/lock"]) {
		await mkdir(folder, { recursive: true });
		await node.run("mount", ["-t", "tmpfs", "tmpfs", folder], limit);
	}
	const sanlock = ["daemon", "-D", "-w", "0", "-U", "root", "-G", "root", "-e", name];
	node.run("sanlock", sanlock, { timeoutMs: daemonMs, maxOutputBytes: 256 * MiB }).catch(() => {});
	await waitUntil("sanlock", 20_000, () =>
		node.run("sanlock", ["client", "status"], limit).then(
			() => true,
			() => undefined,
		),
	);
	// LVM looks at this file to see whether the daemon runs.
	await writeFile("/run/lvmlockd.pid", "");
	await node.run("touch", ["/run/lvm/pid"], limit);
	await node.run("mount", ["--bind", "/run/lvm/pid", "/run/lvmlockd.pid"], limit);
	node.run("lvmlockd", ["-f", "-g", "sanlock"], { timeoutMs: daemonMs }).catch(() => {});
	await waitUntil("lvmlockd", 20_000, () =>
		node.run("lvmlockctl", ["--info"], limit).then(
			() => true,
			() => undefined,
		),
	);
	return node;
}

async function tell(at: 0 | 1, ...calls: NodeOrders["calls"]): Promise<NodeAnswer[]> {
	const hostIds = { [ids[0]]: 1, [ids[1]]: 2 };
	const orders: NodeOrders = {
		...{ poolId, nodeId: ids[at], folder: `${lab.folder}/node-${at}`, calls },
		config: lab.config({ hostIds }),
	};
	const args = [join(import.meta.dir, "testing/node-child.ts"), JSON.stringify(orders)];
	const answer = await nodes[at]?.run("bun", args, { timeoutMs: 290_000 });
	const answers: NodeAnswer[] = JSON.parse(answer?.stdout.trim().split("\n").at(-1) ?? "[]");
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
}, 300_000);

test("what one node has open, the other one neither opens, copies, grows nor deletes", async () => {
	expect(errors(await tell(0, ["activate"], ["createVolume", volume, empty], ["openVolume", volume]))).toEqual([
		null,
		null,
		null,
	]);
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
}, 300_000);

test("closed here, it is opened there; what it rests on is open on both", async () => {
	const copy = newId();
	const clone = { ...empty, source: { kind: "volume", id: volume, fullCopy: false } };
	const calls: NodeOrders["calls"] = [
		["activate"],
		["closeVolume", volume],
		["createVolume", copy, clone],
		["openVolume", copy],
	];
	expect(errors(await tell(0, ...calls))).toEqual([null, null, null, null]);
	expect(errors(await tell(1, ["activate"], ["openVolume", volume], ["openVolume", copy]))).toEqual([
		null,
		null,
		"in-use",
	]);
	expect(errors(await tell(0, ["activate"], ["openVolume", volume], ["closeVolume", copy]))).toEqual([
		null,
		"in-use",
		null,
	]);
	expect(
		errors(await tell(1, ["activate"], ["openVolume", copy], ["closeVolume", copy], ["closeVolume", volume])),
	).toEqual([null, null, null, null]);
	expect(errors(await tell(0, ["activate"], ["deleteVolume", copy], ["deleteVolume", volume]))).toEqual([
		null,
		null,
		null,
	]);
}, 300_000);

test("the pool goes when the last node leaves it", async () => {
	expect(errors(await tell(0, ["activate"], ["deactivate"]))).toEqual([null, null]);
	expect(errors(await tell(1, ["activate"], ["remove"]))).toEqual([null, null]);
}, 300_000);
