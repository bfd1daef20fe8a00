/** A survivor becomes a single-node cluster: what it has, what becomes of the others, and what an interruption leaves. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { toAppError } from "../lib/errors.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { Node } from "../model/node.ts";
import { type Address, formatAddress } from "../peer/address.ts";
import { writeSecret } from "../peer/identity.ts";
import { openStore, pathsOf } from "../store/open-store.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { openStateFile } from "../store/sqlite/database.ts";
import type { Store } from "../store/store.ts";
import {
	clusterIds,
	fixtureId,
	fixtureJoinToken,
	fixturePool,
	fixtureSession,
	fixtureTask,
	fixtureUser,
	fixtureVm,
} from "../testing/fixtures.ts";
import { StoreCluster, type StoreMember, until } from "../testing/store-cluster.ts";
import { loneNode } from "../testing/store-identity.ts";
import { readdressLocally } from "./local-addresses.ts";
import { clusterPathsOf, openNodeFile, writeNodeFile } from "./node-file.ts";
import { type Recoverable, recoverCluster } from "./recover.ts";
import { completeSwitch } from "./switch.ts";

const ids = idSource(systemClock, systemRandom);
let cluster: StoreCluster;
const opened: Store[] = [];
beforeEach(async () => {
	cluster = await StoreCluster.start(3);
	for (const { id, dataDir, founder } of cluster.members) {
		await writeNodeFile(clusterPathsOf(dataDir).node, { nodeId: id, clusterId: clusterIds.cluster, founder });
		await writeSecret(clusterPathsOf(dataDir).members, "{}");
	}
	const { system } = cluster.leader;
	await cluster.addUsers(cluster.leader, 0, 3);
	await system({ kind: "authoritySet", certificatePem: "-----BEGIN X", keyPem: "-----BEGIN Y" });
	const session = fixtureSession();
	await system({ kind: "sessionCreate", session, secretHash: "5e".repeat(16) });
	const expiresAt = new Date(Date.now() + 600_000).toISOString();
	await system({
		kind: "joinTokenCreate",
		token: fixtureJoinToken({ expiresAt }),
		secretHash: `sha256:${"7e".repeat(32)}`,
	});
	const nodeIds = cluster.members.map(({ id }) => id);
	const [pool, task] = [
		fixturePool({ id: fixtureId(0x500), name: "shared", config: { path: "/shared" }, nodeIds }),
		0x700,
	];
	await system({
		kind: "poolCreate",
		pool,
		task: fixtureTask("pool.create", { kind: "pool", id: pool.id }, { id: fixtureId(task) }),
	});
	for (const [number, nodeId] of nodeIds.entries()) {
		const vm = fixtureVm({ id: fixtureId(0x100 + number), name: `vm-${number + 1}`, nodeId });
		const target = { kind: "vm", id: vm.id } as const;
		const created = fixtureTask("vm.create", target, { id: fixtureId(task + 1 + number), nodeId });
		await system({ kind: "vmCreate", vm, volumes: [], task: created });
	}
	await cluster.converge();
});
afterEach(async () => {
	for (const store of opened.splice(0)) await store.close();
	await cluster.remove();
});

const recover = (dataDir: string, options: Partial<Parameters<typeof recoverCluster>[0]> = {}) => {
	const seen: Recoverable[] = [];
	const confirm = async (found: Recoverable) => {
		seen.push(found);
		return found.nodeName;
	};
	const reach = async () => "Nobody listens there.";
	const tools = { reach, newId: () => ids.newId(), nowMs: Date.now(), logger: silentLogger };
	return recoverCluster({ dataDir, confirm, ...tools, ...options }).then((recovered) => ({ ...recovered, seen }));
};

/** As the state of a node that is stopped says it. */
function nodesBeside(id: string, dataDir: string): Node[] {
	const state = openStateFile(pathsOf(dataDir).state);
	try {
		return state.all("node").filter((node) => node.id !== id);
	} finally {
		state.close();
	}
}

/** Hashes of all files but the lock, and what a reader of a database leaves. */
const contents = (dataDir: string) =>
	Object.fromEntries(
		readdirSync(dataDir, { recursive: true, withFileTypes: true })
			.filter((file) => file.isFile() && file.name !== "lock" && !file.name.endsWith("-shm"))
			.map((file) => join(file.parentPath, file.name))
			.map((path) => [path, Bun.hash(readFileSync(path))]),
	);

/** As its daemon does it, alone. */
async function start(dataDir: string): Promise<{ store: Store; consensus: RaftConsensus }> {
	await completeSwitch(dataDir, silentLogger);
	const identity = await openNodeFile(dataDir, () => expect.unreachable("it is known"));
	let consensus: RaftConsensus | undefined;
	const store = await openStore({
		...loneNode,
		...{ dataDir, identity, clock: systemClock, logger: silentLogger, fsync: false },
		onConsensus(made) {
			consensus = made;
		},
		onFatal(error) {
			throw error;
		},
	});
	opened.push(store);
	return { store, consensus: consensus as RaftConsensus };
}
async function stop(store: Store): Promise<void> {
	opened.splice(opened.indexOf(store), 1);
	await store.close();
}

/** All stop; the one that led has a change in its log that nobody else has, and that nobody was told of. */
async function lost(): Promise<StoreMember> {
	const survivor = cluster.leader;
	const before = survivor.raft.details().lastIndex;
	for (const { name } of cluster.members) if (name !== survivor.name) cluster.cutOff.add(name);
	const user = fixtureUser({ id: ids.newId(), name: "unconfirmed" });
	const proposed = survivor.system({ kind: "userCreate", user, passwordHash: "$x" }).catch((error) => error);
	await until(() => survivor.raft.details().durableIndex > before);
	for (const member of cluster.members) await cluster.close(member);
	expect(await proposed).toMatchObject({ code: "unavailable" });
	return survivor;
}

test("has all that its log has, is alone under another id, and takes changes", async () => {
	const { dataDir, id, name } = await lost();
	writeFileSync(join(dataDir, "initial-admin-password"), "first\n", { mode: 0o600 });
	const others = cluster.members.filter((member) => member.id !== id).map((member) => member.name);
	const { seen, index, clusterId, membersLeft } = await recover(dataDir);
	expect(seen).toEqual([{ clusterName: "test", nodeName: name, index, otherMembers: others, damage: null }]);
	expect(membersLeft).toEqual(others);
	expect(clusterId).not.toBe(clusterIds.cluster);
	expect(readFileSync(join(dataDir, "initial-admin-password"), "utf8")).toBe("first\n");
	// Of before, everything is kept, and nothing is in its way.
	expect(readdirSync(join(dataDir, "former", clusterIds.cluster)).sort()).toEqual(
		expect.arrayContaining(["node.json", "peer", "raft", "snapshots", "state.db"]),
	);
	const left = readdirSync(dataDir).sort();
	expect(left).toEqual(["former", "initial-admin-password", "lock", "node.json", "raft", "snapshots", "state.db"]);

	const { store, consensus } = await start(dataDir);
	expect(store.userByName("unconfirmed")).not.toBeNull();
	expect(store.all("cluster")).toMatchObject([{ id: clusterId, name: "test" }]);
	expect(store.status()).toMatchObject({ leader: id, quorum: true });
	const removed = cluster.members.filter((member) => member.id !== id).map((member) => member.id);
	expect(consensus.details().configuration).toEqual({ voters: [id], witnesses: [], learners: [], removed });
	for (const node of store.all("node")) expect(node.status.phase).toBe(node.id === id ? "ready" : "left");
	for (const vm of store.all("vm")) expect(vm.status.powerState === "unknown").toBe(vm.nodeId !== id);
	expect(store.all("pool").find((pool) => pool.name === "shared")?.nodeIds).toEqual([id]);
	expect([store.authority(), store.count("joinToken"), store.count("session")]).toEqual([null, 0, 0]);
	expect(store.sessionBySecretHash("5e".repeat(16))).toBeNull();
	const confirmation = `${name}; ${others.map((other) => `${other} is off`).join("; ")}`;
	expect(store.all("audit").filter(({ operation }) => operation === "clusterRecover")).toMatchObject([
		{ requester: { kind: "local" }, outcome: "accepted", confirmation, targets: [{ id: clusterId }, {}, {}] },
	]);
	// Of the secrets, not a byte is left.
	for (const file of [
		pathsOf(dataDir).state,
		join(pathsOf(dataDir).snapshots, readdirSync(pathsOf(dataDir).snapshots)[0] ?? ""),
	])
		for (const secret of ["-----BEGIN Y", "5e".repeat(16)]) expect(readFileSync(file).includes(secret)).toBe(false);
	await store.propose(userCommand("afterwards"));
	// A member of before says something: it is of another cluster.
	const { term } = store.status();
	consensus.receive({
		...{ type: "vote", clusterId: clusterIds.cluster, from: removed[0] ?? "", to: id, term: term + 5 },
		...{ lastIndex: 10_000, lastTerm: term + 4, transfer: true },
	} as unknown as Parameters<RaftConsensus["receive"]>[0]);
	await store.propose(userCommand("later"));
	expect(store.status()).toMatchObject({ leader: id, term });
	await stop(store);
	const again = await start(dataDir);
	expect(["afterwards", "later", "unconfirmed"].map((one) => again.store.userByName(one) !== null)).toEqual([
		true,
		true,
		true,
	]);
}, 30_000);

const userCommand = (name: string) => ({
	...{ id: ids.newId(), timeMs: Date.now(), remoteAddress: null, operation: "system", idempotencyKey: null },
	...{ requester: { kind: "system", id: null, name: "system" } as const, credential: null },
	body: { kind: "userCreate", user: fixtureUser({ id: ids.newId(), name }), passwordHash: "$x" } as const,
});

test("another name, or no answer: nothing has changed", async () => {
	const { dataDir, name } = await lost();
	const before = contents(dataDir);
	for (const confirm of [async () => `${name}2`, () => Promise.reject(new Error("Ctrl-C"))])
		await expect(recover(dataDir, { confirm })).rejects.toThrow(/Nothing was changed|Ctrl-C/);
	expect(contents(dataDir)).toEqual(before);
	expect(readdirSync(dataDir)).not.toContain("recover.tmp");
}, 30_000);

test("not while another member answers, whatever would be typed", async () => {
	const { dataDir, id } = await lost();
	const before = contents(dataDir);
	const [there] = cluster.members.filter((member) => member.id !== id);
	const reach = async (_: unknown, nodeId: string) => (nodeId === there?.id ? null : "Nobody listens there.");
	const confirm = () => expect.unreachable("nobody is asked");
	await expect(recover(dataDir, { reach, confirm })).rejects.toMatchObject({
		...{ code: "wrong-state", message: expect.stringContaining(`answers there: ${there?.name}.`) },
	});
	expect(contents(dataDir)).toEqual(before);
}, 30_000);

test("nor while one answers where only this node was told that it is", async () => {
	const { dataDir, id } = await lost();
	const there = cluster.members.find((member) => member.id !== id) as StoreMember;
	await readdressLocally(dataDir, there.id, ["10.7.0.9:8444"]);
	const asked: string[] = [];
	const reach = async (addresses: readonly Address[], nodeId: string) => {
		asked.push(...addresses.map((address) => `${nodeId} ${formatAddress(address)}`));
		return addresses.some(({ host }) => host === "10.7.0.9") ? null : "Nobody listens there.";
	};
	const confirm = () => expect.unreachable("nobody is asked");
	await expect(recover(dataDir, { reach, confirm })).rejects.toMatchObject({
		...{ code: "wrong-state", message: expect.stringContaining(`answers there: ${there.name}.`) },
	});
	// Nobody else is looked for there, and what the state says is tried as well.
	expect(asked.filter((one) => one.endsWith(" 10.7.0.9:8444"))).toEqual([`${there.id} 10.7.0.9:8444`]);
	for (const { id: nodeId, peerAddresses } of nodesBeside(id, dataDir))
		for (const address of peerAddresses) expect(asked).toContain(`${nodeId} ${address}`);
}, 30_000);

test("interrupted after any step: the node is what it was, or its next start completes it; another time works", async () => {
	const { dataDir } = await lost();
	const crashes: string[] = [];
	const daemonMeanwhile: Promise<string>[] = [];
	await recover(dataDir, {
		afterStep(step) {
			crashes.push(step);
			// Nobody else begins to be this node meanwhile.
			if (step === "prepared")
				daemonMeanwhile.push(completeSwitch(dataDir, silentLogger).then(String, (error) => toAppError(error).code));
			cpSync(dataDir, join(cluster.folder, `after ${step}`), { recursive: true });
		},
	});
	expect(await Promise.all(daemonMeanwhile)).toEqual(["in-use"]);
	expect(crashes).toEqual(["collected", "snapshot made", "state made", "log made", "made", "prepared", "switched"]);
	for (const step of crashes) {
		const crashed = join(cluster.folder, `after ${step}`);
		const done = ["prepared", "switched"].includes(step);
		const { store } = await start(crashed);
		const [found] = store.all("cluster");
		expect({ step, other: found?.id !== clusterIds.cluster }).toEqual({ step, other: done });
		expect({ step, quorum: store.status().quorum }).toEqual({ step, quorum: done });
		await stop(store);
		if (done) expect(readdirSync(crashed)).not.toContain("recover.tmp");
		const { seen } = await recover(crashed);
		expect(seen[0]?.otherMembers).toHaveLength(done ? 0 : 2);
		const again = await start(crashed);
		expect(again.store.userByName("unconfirmed")).not.toBeNull();
		await again.store.propose(userCommand("afterwards"));
		await stop(again.store);
	}
}, 60_000);

describe("what it has", () => {
	test("a follower that was away says how far it is", async () => {
		const behind = cluster.members.find((member) => member !== cluster.leader) as StoreMember;
		cluster.cutOff.add(behind.name);
		const index = behind.up.appliedIndex;
		await cluster.addUsers(cluster.leader, 100, 5);
		for (const member of cluster.members) await cluster.close(member);
		const { seen } = await recover(behind.dataDir);
		expect(seen[0]).toMatchObject({ index, nodeName: behind.name, damage: null });
		const { store } = await start(behind.dataDir);
		expect([store.count("user"), store.userByName("user-100")]).toEqual([4, null]);
	}, 30_000);

	test("without the state database: the newest snapshot and the log", async () => {
		const { dataDir, up } = cluster.leader;
		await up.snapshot(join(pathsOf(dataDir).snapshots, `${String(up.appliedIndex).padStart(16, "0")}.db`));
		await lost();
		for (const name of readdirSync(dataDir)) if (name.startsWith("state.db")) rmSync(join(dataDir, name));
		await recover(dataDir);
		expect((await start(dataDir)).store.userByName("unconfirmed")).not.toBeNull();
	}, 30_000);

	test("a log that is damaged: up to there, and it is said", async () => {
		const { dataDir } = await lost();
		const path = join(pathsOf(dataDir).log, "0000000000000001.log");
		const bytes = readFileSync(path);
		const at = bytes.lastIndexOf("unconfirmed");
		bytes[at] = (bytes[at] ?? 0) ^ 1;
		writeFileSync(path, bytes);
		const { seen } = await recover(dataDir);
		expect(seen[0]?.damage).toMatch(/^The log is damaged at byte \d+ of 0000000000000001\.log, entry \d+/);
		expect((await start(dataDir)).store.userByName("unconfirmed")).toBeNull();
	}, 30_000);

	test("no log, or no vote: what the state has", async () => {
		const { dataDir } = await lost();
		const other = join(cluster.folder, "without-vote");
		cpSync(dataDir, other, { recursive: true });
		rmSync(join(pathsOf(other).log, "hard-state"));
		rmSync(pathsOf(dataDir).log, { recursive: true });
		expect((await recover(other)).seen[0]?.damage).toBeNull();
		expect((await recover(dataDir)).seen[0]?.damage).toMatch(/^The log is missing/);
		for (const place of [dataDir, other]) expect((await start(place)).store.count("vm")).toBe(3);
	}, 30_000);
});

describe("refused, and nothing is changed:", () => {
	const refuses = async (dataDir: string, code: string, message: RegExp) => {
		const before = contents(dataDir);
		await expect(recover(dataDir)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
		expect(contents(dataDir)).toEqual(before);
	};

	test("no folder, no node, one that runs, one that is becoming another", async () => {
		const { dataDir } = cluster.member(1);
		await expect(recover(join(cluster.folder, "nowhere"))).rejects.toMatchObject({ code: "not-found" });
		expect(existsSync(join(cluster.folder, "nowhere"))).toBe(false);
		await expect(recover(dataDir)).rejects.toMatchObject({ code: "in-use" });
		await cluster.close(cluster.member(1));
		for (const [name, code, message] of [
			["switching.json", "wrong-state", /Start the node once/],
			["restoring", "corrupt", /restore into .* was not finished/],
			// What members told it, which its copy of the state has not heard.
			["peer/removed", "wrong-state", /is no member of the cluster any more/],
		] as const) {
			writeFileSync(join(dataDir, name), "{}");
			await refuses(dataDir, code, message);
			rmSync(join(dataDir, name));
		}
		rmSync(join(dataDir, "node.json"));
		await refuses(dataDir, "not-found", /no node\.json/);
	});

	test("a node that was removed, one that has nothing yet, a state of another cluster, a damaged one", async () => {
		await cluster.leader.system({
			...{ kind: "nodeRemove", id: cluster.member(3).id, leaving: false, confirmName: "node-3" },
		});
		await cluster.converge();
		for (const member of cluster.members) await cluster.close(member);
		await refuses(cluster.member(3).dataDir, "wrong-state", /is no member of the cluster any more/);
		const { dataDir } = cluster.member(1);
		const { node } = clusterPathsOf(dataDir);
		await writeNodeFile(node, { nodeId: fixtureId(0x77), clusterId: clusterIds.cluster, founder: false });
		await refuses(dataDir, "wrong-state", /has not received the state/);
		await writeNodeFile(node, { nodeId: clusterIds.node, clusterId: fixtureId(0x78), founder: true });
		await refuses(dataDir, "corrupt", /another cluster/);
		const { state } = pathsOf(cluster.member(2).dataDir);
		writeFileSync(state, readFileSync(state).fill(0x5a, 8192, 20_000));
		await refuses(cluster.member(2).dataDir, "corrupt", /state\.db is damaged.*Move .*state\.db/);
	});
});

test("a copy of the state that a reader opens says the same as the node did", async () => {
	const { dataDir } = await lost();
	await recover(dataDir);
	const state = openStateFile(pathsOf(dataDir).state);
	expect(state.configuration?.configuration.voters).toHaveLength(1);
	expect(state.configuration?.index).toBe(state.appliedIndex);
	state.close();
}, 30_000);
