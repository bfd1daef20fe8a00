import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { CommandBody } from "../store/command.ts";
import { fixtureUser } from "../testing/fixtures.ts";
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
const clusterId = ids.newId();
const setUp = (nodeName = "host-1.example.com") =>
	setUpCluster(
		folder,
		{ nodeId, clusterId, nodeName, version: "1", poolPath: "/var/lib/limiquantix/pools/local", hostSubnets: [] },
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

describe("the file with the first password", () => {
	const watch = () => removeInitialPasswordWhenChanged(folder, { store, passwords, logger: silentLogger });
	const admin = () => store.userByName("admin")?.user.id ?? "";
	const propose = (body: CommandBody) => store.proposer.proposeSystem(body);
	const setPassword = async (mustChangePassword: boolean) =>
		propose({ kind: "userPasswordSet", id: admin(), passwordHash: await passwords.hash("x"), mustChangePassword });
	const rename = () => propose({ kind: "userUpdate", id: admin(), displayName: "A" });

	// True: reset by root, who wants another one at the next sign-in.
	test.each([false, true])("goes when the password becomes another one (to be changed again: %p)", async (again) => {
		await setUp();
		const stop = await watch();
		await rename();
		expect(existsSync(path())).toBe(true);
		await setPassword(again);
		expect(existsSync(path())).toBe(false);
		stop();
	});

	test.each([false, true])("goes at the next start when nobody looked (to be changed again: %p)", async (again) => {
		await setUp();
		await setPassword(again);
		expect(existsSync(path())).toBe(true);
		(await watch())();
		expect(existsSync(path())).toBe(false);
	});

	test("goes when the change comes while the start looks", async () => {
		await setUp();
		await rename();
		const watching = watch();
		await setPassword(true);
		(await watching)();
		expect(existsSync(path())).toBe(false);
	});

	test("goes with its user", async () => {
		await setUp();
		const stop = await watch();
		const user = fixtureUser({ id: ids.newId(), name: "other", role: "admin" });
		await propose({ kind: "userCreate", user, passwordHash: "$other" });
		expect(existsSync(path())).toBe(true);
		await propose({ kind: "userDelete", id: admin() });
		expect(existsSync(path())).toBe(false);
		stop();
	});

	test("stays over starts and other changes as long as the password works", async () => {
		await setUp();
		(await watch())();
		await rename();
		const stop = await watch();
		expect(existsSync(path())).toBe(true);
		await setPassword(true);
		expect(existsSync(path())).toBe(false);
		stop();
	});
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
