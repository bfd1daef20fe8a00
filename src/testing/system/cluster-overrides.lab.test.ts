/**
 * What creating refuses is refused by every other door, too (adversarial case 15): copies and changes with settings of their own, a
 * backup that somebody changed, and what a node brings when it joins. All of it with real daemons.
 */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { isAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { stateDigest, writeDigest } from "../../store/sqlite/state-digest.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { networkBody } from "../cluster/register.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 120_000;
const stepMs = 40_000;
const password = "correct horse battery";
const badNames: unknown[] = [
	...["../../etc/passwd", "-o", "--help", "a/b", "a\nb", "a\0b", "a@b", "", ".", "x".repeat(4_096)],
	...[{ $ne: null }, ["x"], 7, null, true],
];

/** As an operator, who may make and copy all this, asked of a node that has none of it. */
async function operatorOn(node: ClusterNode) {
	const name = `operator-${crypto.randomUUID().slice(0, 8)}`;
	await node.api.call("userCreate", { body: { name, role: "operator", password } });
	const { token } = (await node.api.call("sessionCreate", { body: { username: name, password } })).body;
	return async (method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> => {
		const response = await fetch(`http://localhost${path}`, {
			...{ method, unix: node.daemon.socketPath, keepalive: false, signal: AbortSignal.timeout(30_000) },
			headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
			...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
		} as RequestInit);
		return { status: response.status, text: await response.text() };
	};
}

test(
	"volumes and images that are copied, changed or made of each other get no settings that creating refuses",
	async () => {
		await using cluster = await LabCluster.start(2);
		const [here, there] = [cluster.node(0), cluster.node(1)];
		const pool = await waitUntil("the pool of the other node", stepMs, async () => {
			const { items } = (await here.api.call("poolList")).body;
			return items.find(({ nodes }) =>
				nodes.some(({ nodeId, health }) => nodeId === there.nodeId && health === "healthy"),
			);
		});
		const { body: made } = await there.api.call("volumeCreate", {
			body: { name: "data", sizeBytes: MiB, poolId: pool.id, nodeId: there.nodeId },
		});
		const volume = await waitUntil("the volume", stepMs, async () => {
			const { body } = await here.api.call("volumeGet", { path: { id: made.id } });
			return body.phase === "ready" ? body : undefined;
		});
		const ask = await operatorOn(here);
		const image = { format: "qcow2", source: { kind: "volume", volumeId: volume.id } };
		const nobody = crypto.randomUUID();
		const doors: [string, string, Record<string, unknown>][] = [
			["POST", "/v1/volumes", { name: "fine", sizeBytes: MiB, nodeId: there.nodeId }],
			["POST", `/v1/volumes/${volume.id}/actions/clone`, { name: "fine", fullCopy: true }],
			["PATCH", `/v1/volumes/${volume.id}`, { name: "fine" }],
			["POST", "/v1/images", { name: "fine", ...image }],
			["POST", "/v1/vms", { name: "fine", disks: [{ volumeId: volume.id }], start: false }],
		];
		const overrides: Record<string, unknown>[] = [
			...badNames.map((name) => ({ name })),
			...[{ poolId: nobody }, { poolId: "../../etc" }, { poolId: ["x"] }, { format: "qcow2,backing_file=/etc/shadow" }],
			...[{ path: "/etc/shadow" }, { backingFile: "/etc/shadow" }, { options: "-o preallocation=full" }],
			...[
				{ sizeBytes: -1 },
				{ sizeBytes: "1" },
				{ sizeBytes: 1e300 },
				{ id: nobody },
				{ vmId: nobody },
				{ phase: "ready" },
			],
			...[
				{ nodeId: nobody },
				{ nodeId: "../x" },
				{ source: { kind: "path", path: "/etc/shadow" } },
				{ constructor: {} },
			],
		];
		const before = (await there.api.call("taskList", { query: { limit: 1000 } })).body.items.length;
		for (const [method, path, body] of doors)
			for (const override of overrides) {
				const what = JSON.stringify({ method, path, override }).slice(0, 200);
				const { status, text } = await ask(method, path, { ...body, ...override });
				const refused = [400, 403, 404, 409, 422].includes(status);
				expect({ what, refused, said: refused ? "" : text }).toEqual({ what, refused: true, said: "" });
			}
		// One of two values, whichever a parser takes.
		const twice = await ask("POST", `/v1/volumes/${volume.id}/actions/clone`, '{"name":"fine","name":"../../etc"}');
		expect([400, 422]).toContain(twice.status);
		expect((await here.api.call("volumeList")).body.items.map(({ name }) => name)).toEqual(["data"]);
		expect((await there.api.call("imageList")).body.items).toEqual([]);
		expect((await there.api.call("vmList")).body.items).toEqual([]);
		expect((await there.api.call("taskList", { query: { limit: 1000 } })).body.items).toHaveLength(before);
		// And a copy that creating would allow is made.
		const copied = await ask("POST", `/v1/volumes/${volume.id}/actions/clone`, { name: "copy", fullCopy: true });
		expect(copied.status).toBe(201);
	},
	limitMs,
);

/** A name that no request can give, in a state that is intact otherwise. */
function forge(path: string, name: string): void {
	const database = new Database(path, { strict: true });
	try {
		const { changes } = database.run("UPDATE network SET doc = json_set(doc, '$.name', ?) WHERE name = ?", [
			name,
			"plain",
		]);
		expect(changes).toBe(1);
		writeDigest(database);
		expect(stateDigest.storedDigest(database)).toBe(stateDigest.digestOf(database));
		database.run("PRAGMA wal_checkpoint(TRUNCATE)");
	} finally {
		database.close();
	}
}

test(
	"a backup with settings that nobody could make is not restored",
	async () => {
		await using cluster = await LabCluster.start(1);
		const node = cluster.node(0);
		await node.api.call("networkCreate", { body: networkBody("plain") });
		const backup = join(cluster.folder, "backup.db");
		await node.cli(stepMs, "cluster", "backup", backup, "--unsealed");
		const forged = join(cluster.folder, "forged.db");
		await node.run("cp", [backup, forged]);
		forge(forged, "../../etc/passwd");
		const dataDir = join(cluster.folder, "restored");
		const restore = (path: string) => node.run(node.executable, ["cluster", "restore", path, "--data-dir", dataDir]);
		const said = await restore(forged).then(
			() => "it worked",
			(error: unknown) => String(isAppError(error) ? (error.context?.stderr ?? error.message) : error),
		);
		expect(said).toContain("The backup has a network that could not be made here");
		expect(await node.run("find", [cluster.folder, "-path", `${dataDir}*`])).toBe("");
		expect(await restore(backup)).toContain("estored");
	},
	limitMs,
);

test(
	"a node that joins brings nothing that nobody could make",
	async () => {
		await using cluster = await LabCluster.start(2);
		const first = cluster.node(0);
		const comer = await cluster.addNode();
		await comer.api.call("networkCreate", { body: networkBody("plain") });
		await comer.term();
		// As root on that node can do it.
		const outside = join(cluster.folder, "state.db");
		const state = join(comer.daemon.dataDir, "state.db");
		await comer.run("cp", [state, outside]);
		forge(outside, "../../etc/passwd");
		await comer.run("cp", [outside, state]);
		await comer.start();
		await comer.joinWith(await cluster.token(first), [first.peerAddress], stepMs);
		const reason = await waitUntil("the cluster to say why", stepMs, async () => {
			const { items } = (await first.api.call("nodeList")).body;
			const { status } = items.find(({ id }) => id === comer.nodeId) ?? {};
			return status?.reason?.includes("not recorded") ? `${status.phase}: ${status.reason}` : undefined;
		});
		expect(reason).toContain("joining: What it brings is not recorded: The network is not valid: /name");
		for (const node of cluster.nodes.slice(0, 2))
			expect(
				(await node.api.call("networkList", { query: { limit: 1000 } })).body.items.map(({ name }) => name),
			).not.toContain("../../etc/passwd");
		// The others go on, and it can be removed.
		await first.api.call("clusterUpdate", { body: { name: "undisturbed" } });
		await first.api.call("nodeRemove", { path: { id: comer.nodeId }, body: { confirmName: comer.name } });
		expect((await statusOf(first))?.members).toHaveLength(2);
	},
	limitMs,
);
