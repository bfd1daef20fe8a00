/** The key of the cluster's credentials: one makes it, members get it from each other, nobody else does, and it is in no state. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom as random } from "../lib/random.ts";
import type { CommandBody } from "../store/command.ts";
import { clusterIds, fixtureCluster, fixtureId, fixtureNfs, fixturePool, fixtureTask } from "../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../testing/memory-store.ts";
import { admitSecond, secondNodeId } from "../testing/node/second-node.ts";
import type { LinkedPeers } from "./ask-linked.ts";
import { ClusterSecrets } from "./cluster-secrets.ts";

const poolId = fixtureId(0x700);
const credentials = { cephKey: "AQDsecretsecretsecretsecret==" };
let folder: string;
let store: MemoryStore;
/** By node id. */
let members: Map<string, ClusterSecrets>;
let reachable: boolean;

/** A member with a folder of its own; all of them are linked, and share one state. */
function member(nodeId: string, dataDir = join(folder, nodeId)): ClusterSecrets {
	const peers = (): LinkedPeers => ({
		status: () =>
			[...members.keys()]
				.filter((id) => id !== nodeId && reachable)
				.map((id) => ({ nodeId: id, link: { state: "connected" } })) as ReturnType<LinkedPeers["status"]>,
		call: async (to, _method, payload) => {
			const other = members.get(to);
			if (!other) throw new AppError("unavailable", "It is not there.");
			return other.answer(payload, nodeId);
		},
	});
	const made = new ClusterSecrets({
		...{ dataDir, nodeId, store, proposer: store.proposer, peers, clock: systemClock, random, logger: silentLogger },
	});
	members.set(nodeId, made);
	return made;
}

async function makePool(sealedCredentials: string): Promise<void> {
	const pool = fixturePool({ id: poolId, name: "shared", type: "nfs", config: fixtureNfs });
	const task = fixtureTask("pool.create", { kind: "pool", id: poolId }, { id: fixtureId(1) });
	await store.proposer.proposeSystem({ kind: "poolCreate", pool, task, sealedCredentials });
}

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-secrets-"));
	store = await openMemoryStore({ commands: [fixtureCluster()] });
	members = new Map();
	reachable = true;
});
afterEach(() => rm(folder, { recursive: true }));

test("what one member seals the others open, with the key that they got from it", async () => {
	const [first, second] = [member(clusterIds.node), member(fixtureId(0x901))];
	const sealed = await first.seal(poolId, credentials);
	await makePool(sealed);
	expect(await second.open(poolId)).toEqual(credentials);
	const path = join(folder, fixtureId(0x901), "secrets.key");
	expect((await stat(path)).mode & 0o777).toBe(0o600);
	expect(await readFile(path, "utf8")).toBe(await readFile(join(folder, clusterIds.node, "secrets.key"), "utf8"));
	// Both are restarted, and cannot reach each other.
	reachable = false;
	expect(await member(fixtureId(0x901)).open(poolId)).toEqual(credentials);
	expect(JSON.stringify(store.all("pool"))).not.toContain("secret");
	expect(await first.open(fixtureId(0x999))).toBeNull();
});

test("of several that need the first key at once, one makes it", async () => {
	const all = [member(clusterIds.node), member(fixtureId(0x901)), member(fixtureId(0x902))];
	const sealed = await Promise.all(all.map((one) => one.seal(poolId, credentials)));
	expect(new Set(sealed.map((text) => text.split(".")[1])).size).toBe(1);
	const keys = await Promise.all(all.map((_, at) => readdir(join(folder, [...members.keys()][at] ?? ""))));
	expect(keys.flat().every((name) => name === "secrets.key")).toBe(true);
});

test("without the key nothing opens; whoever seals then makes a new one", async () => {
	const first = member(clusterIds.node);
	await makePool(await first.seal(poolId, credentials));
	await rm(join(folder, clusterIds.node), { recursive: true });
	const lost = member(clusterIds.node);
	await expect(lost.open(poolId)).rejects.toMatchObject({ code: "unavailable" });
	const before = store.secretsKeyId();
	const sealed = await lost.seal(poolId, { cephKey: "AQDothersecretothersecret==" });
	expect(store.secretsKeyId()).not.toBe(before);
	await store.proposer.proposeSystem({ kind: "poolUpdate", id: poolId, sealedCredentials: sealed });
	expect(await lost.open(poolId)).toEqual({ cephKey: "AQDothersecretothersecret==" });
});

test("a member that has not got it yet fetches it by itself", async () => {
	const first = member(clusterIds.node);
	await makePool(await first.seal(poolId, credentials));
	const second = member(fixtureId(0x901));
	const end = second.keepFetching();
	const path = join(folder, fixtureId(0x901), "secrets.key");
	const { promise, resolve } = Promise.withResolvers<void>();
	const look = setInterval(
		() =>
			void stat(path).then(
				() => resolve(),
				() => {},
			),
		5,
	);
	await promise;
	clearInterval(look);
	end();
	expect(await second.open(poolId)).toEqual(credentials);
});

test("a key that is not the one that was asked for is not taken, and a witness gets none", async () => {
	const first = member(clusterIds.node);
	await makePool(await first.seal(poolId, credentials));
	const asked = new TextEncoder().encode(JSON.stringify({ keyId: store.secretsKeyId() }));
	await expect(first.answer(new TextEncoder().encode("{}"), fixtureId(0x901))).rejects.toMatchObject({
		code: "malformed",
	});
	const liar = member(fixtureId(0x903));
	liar.answer = async () => new TextEncoder().encode(JSON.stringify({ key: "A".repeat(43) }));
	members.delete(clusterIds.node);
	const second = member(fixtureId(0x901));
	await expect(second.open(poolId)).rejects.toMatchObject({ code: "unavailable" });
	const ids = { newId: () => fixtureId(0x999) };
	const propose = (body: CommandBody) => store.proposer.proposeSystem(body);
	await admitSecond({ propose, ids, nowMs: systemClock.nowMs() }, { witness: true });
	await expect(first.answer(asked, secondNodeId)).rejects.toMatchObject({ code: "forbidden" });
	const answer = JSON.parse(new TextDecoder().decode(await first.answer(asked, fixtureId(0x901))));
	expect(answer.key).toHaveLength(43);
});
