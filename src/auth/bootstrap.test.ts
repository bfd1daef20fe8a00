import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { type MemoryStore, openMemoryStore } from "../testing/memory-store.ts";
import {
	chooseNatNetwork,
	initialPasswordFile,
	readInitialPassword,
	removeInitialPasswordWhenChanged,
	setUpCluster,
} from "./bootstrap.ts";
import { createPasswordHasher } from "./passwords.ts";

let folder: string;
let store: MemoryStore;
const passwords = createPasswordHasher({ memoryCost: 8, timeCost: 1 });
const ids = idSource(systemClock, systemRandom);
beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), "lqx-first-"));
	store = await openMemoryStore();
});
afterEach(async () => {
	await store.close();
	rmSync(folder, { recursive: true });
});

const nodeId = ids.newId();
const setUp = (nodeName = "host-1.example.com") =>
	setUpCluster(
		folder,
		{ nodeId, nodeName, version: "1", poolPath: "/var/lib/limiquantix/pools/local", hostSubnets: [] },
		{ clock: systemClock, random: systemRandom, ids, passwords, store, proposeSystem: store.proposer.proposeSystem },
	);
const path = () => join(folder, initialPasswordFile);

test("the first start makes a cluster that works, and a password that only root can read", async () => {
	expect(await setUp()).toEqual({ passwordFile: path() });
	expect(statSync(path()).mode & 0o777).toBe(0o600);
	const password = readInitialPassword(folder) ?? "";
	expect(password).toMatch(/^[\w-]{24}$/);
	const admin = store.userByName("admin");
	expect(admin?.user).toMatchObject({ role: "admin", enabled: true, mustChangePassword: true });
	expect(await passwords.verify(password, admin?.passwordHash ?? null)).toBe(true);
	expect(store.all("node")).toMatchObject([{ id: nodeId, name: "host-1.example.com" }]);
	expect(store.all("pool")).toMatchObject([{ name: "local", nodeIds: [nodeId] }]);
	expect(store.all("network")).toMatchObject([{ name: "nat", config: { kind: "nat" } }]);
});

test("no other start changes anything", async () => {
	await setUp();
	const password = readInitialPassword(folder);
	expect(await setUp()).toBeNull();
	expect(readInitialPassword(folder)).toBe(password);
});

test("a first start that was cut off after writing the password is made again, with a password that works", async () => {
	const { writeInitialPassword } = await import("./bootstrap.ts");
	writeInitialPassword(folder, "left over");
	await setUp();
	const password = readInitialPassword(folder) ?? "";
	expect(await passwords.verify(password, store.userByName("admin")?.passwordHash ?? null)).toBe(true);
});

test("a host name that is no name of ours", async () => {
	await setUp("--");
	expect(store.all("node")[0]?.name).toBe("node-1");
});

test("the file goes with the first change of the password", async () => {
	await setUp();
	const stop = removeInitialPasswordWhenChanged(folder, store, silentLogger);
	const admin = store.userByName("admin")?.user;
	const body = { kind: "userPasswordSet", id: admin?.id ?? "", passwordHash: await passwords.hash("x") } as const;
	await store.proposer.proposeSystem({ kind: "userUpdate", id: body.id, displayName: "A" });
	expect(existsSync(path())).toBe(true);
	await store.proposer.proposeSystem({ ...body, mustChangePassword: false });
	expect(existsSync(path())).toBe(false);
	stop();
});

test("a change while nobody looked is found at the next start", async () => {
	await setUp();
	const id = store.userByName("admin")?.user.id ?? "";
	await store.proposer.proposeSystem({
		kind: "userPasswordSet",
		id,
		passwordHash: await passwords.hash("x"),
		mustChangePassword: false,
	});
	expect(existsSync(path())).toBe(true);
	removeInitialPasswordWhenChanged(folder, store, silentLogger)();
	expect(existsSync(path())).toBe(false);
});

test("the NAT network keeps clear of where the host is", () => {
	expect(chooseNatNetwork([])).toEqual({
		kind: "nat",
		gateway: "10.64.0.1",
		prefixLength: 24,
		dhcpStart: "10.64.0.10",
		dhcpEnd: "10.64.0.250",
	});
	expect(chooseNatNetwork([{ address: "10.64.7.9", prefixLength: 15 }]).gateway).toBe("10.66.0.1");
	expect(chooseNatNetwork([{ address: "10.1.2.3", prefixLength: 8 }]).gateway).toBe("192.168.250.1");
});
