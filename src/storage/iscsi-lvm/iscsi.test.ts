/**
 * Records of open-iscsi: those that an administrator has made are put back, ours go with their passwords, also after a process that was cut
 * short, and a question leaves none. iscsiadm is played here; the real one is in the storage lab VM (iscsi-lvm.vm.test.ts).
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { Iscsi, type IscsiParts } from "./iscsi.ts";
import { IscsiDatabase } from "./iscsi-database.ts";
import { MadeRecords } from "./made-records.ts";
import type { IscsiSession } from "./sysfs.ts";
import { fakeTarget } from "./testing/fake-target.ts";

const portal = { host: "10.0.0.1", port: 3260 };
const chap = { user: "node", password: "initiator-secret", mutual: null };
const theirs = "# BEGIN RECORD 2.1\nnode.startup = automatic\nnode.session.auth.password = their-own\n# END RECORD\n";
let folder: string;
let target: string;
let sessions: IscsiSession[];
let number = 0;
/** What becomes of a login; "ends": of the whole process, in the middle of it. */
let login: "in" | "refused" | "ends";

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-iscsi-"));
	target = `iqn.2026-11.test.limiquantix:r${number++}`;
	sessions = [];
	login = "in";
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const database = () => join(folder, "database");
const records = () => join(database(), "nodes", target);
const place = () => join(records(), `${portal.host},${portal.port},1`);
const recordPath = () => join(place(), "default");

const iscsiadm: IscsiParts["run"] = async (_program, args) => {
	const operation = args.at(-1);
	if (operation === "new") {
		await mkdir(place(), { recursive: true });
		await writeFile(recordPath(), "# BEGIN RECORD 2.1\nnode.startup = manual\n# END RECORD\n", { mode: 0o600 });
	} else if (operation === "delete") await rm(records(), { recursive: true });
	else if (operation === "--logout") sessions = [];
	else if (operation === "--login") {
		if (login === "ends") throw new Error("The process ends here.");
		if (login === "refused") throw new AppError("internal", "iscsiadm failed", { context: { exitCode: 24 } });
		sessions = [{ name: "session1", target, ...portal, state: "LOGGED_IN" }];
	} else throw new Error(`iscsiadm ${args.join(" ")}`);
	return { exitCode: 0, stdout: "", stderr: "" };
};
const open = () =>
	new Iscsi({
		sysfs: { sessions: async () => sessions },
		...{ database: new IscsiDatabase([database()]), made: new MadeRecords(join(folder, "staging")) },
		...{ random: systemRandom, run: iscsiadm, name: async () => "iqn.2026-11.test.limiquantix:node" },
	});
const logIn = (iscsi = open()) => iscsi.login({ target, portals: [portal], chap });

async function texts(path = folder): Promise<string> {
	const all = await readdir(path, { recursive: true, withFileTypes: true });
	const files = all.filter((entry) => entry.isFile());
	const paths = files.map((file) => join(file.parentPath, file.name)).sort();
	return (await Promise.all(paths.map((file) => readFile(file, "utf8")))).join("\n");
}
async function theirRecord(): Promise<void> {
	await mkdir(place(), { recursive: true });
	await writeFile(recordPath(), theirs, { mode: 0o600 });
}

test("a record that was not there is gone after the logout, and its mark, too", async () => {
	await logIn();
	expect(await texts(database())).toContain(chap.password);
	await open().logout(target, [portal]);
	expect(sessions).toEqual([]);
	expect(await texts()).toBe("");
});

test("an administrator's record is as it was, after the logout and after a login that failed", async () => {
	await theirRecord();
	await logIn();
	expect(await readFile(recordPath(), "utf8")).toContain(chap.password);
	await open().logout(target, [portal]);
	expect(await texts()).toBe(theirs);

	login = "refused";
	await expect(logIn()).rejects.toThrow("CHAP");
	expect(await texts()).toBe(theirs);
});

test("a record that somebody made, with a session that was there, is not touched", async () => {
	await theirRecord();
	sessions = [{ name: "session1", target, ...portal, state: "LOGGED_IN" }];
	const { made, reused } = await logIn();
	expect([made, reused]).toEqual([[], [portal]]);
	// Without a mark it is not ours, whoever asks.
	await open().logout(target, [portal]);
	expect(await texts()).toBe(theirs);
});

for (const before of ["none", "the administrator's"])
	test(`a process that ends while it logs in leaves a password, which the next start takes away: ${before}`, async () => {
		if (before !== "none") await theirRecord();
		login = "ends";
		await expect(logIn()).rejects.toThrow("ends here");
		expect(await texts(database())).toContain(chap.password);
		await open().forgetLeft(silentLogger);
		expect(await texts()).toBe(before === "none" ? "" : theirs);
	});

test("the next start leaves the record of a session that is there", async () => {
	await logIn();
	const before = await texts();
	await open().forgetLeft(silentLogger);
	expect(await texts()).toBe(before);
	// Lost with the machine.
	sessions = [];
	await open().forgetLeft(silentLogger);
	expect(await texts()).toBe("");
});

test("a note that cannot be read keeps nothing else from going", async () => {
	login = "ends";
	await expect(logIn()).rejects.toThrow("ends here");
	await mkdir(join(folder, "staging/iscsi-records/0.json"), { recursive: true });
	await open().forgetLeft(silentLogger);
	expect(await texts()).toBe("");
});

test("asking for targets writes nothing, not even while it is asked", async () => {
	await using fake = await fakeTarget({ ...chap, targets: [`TargetName=${target}`, "TargetAddress=10.0.0.1:3260,1"] });
	expect(await open().discover(fake.portal, chap)).toEqual([{ target, portals: [portal] }]);
	const wrong = { ...chap, password: "not-the-secret" };
	await expect(open().discover(fake.portal, wrong)).rejects.toThrow("CHAP");
	await using silent = await fakeTarget({ says: null });
	const asking = open().discover(silent.portal, chap);
	asking.catch(() => {});
	await silent.connected;
	expect(await readdir(folder)).toEqual([]);
});
