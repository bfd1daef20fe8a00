/** Sessions that pools and looks share are ended by the last of them, and others' never are. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import type { IscsiTarget } from "./iscsi.ts";
import type { Portal } from "./names.ts";
import { TargetSessions, targetsWithSessions } from "./target-sessions.ts";

const portal = { host: "10.0.0.1", port: 3260 };
let folder: string;
let target: IscsiTarget;
let number = 0;
let sessions: Portal[];
let held: Promise<void> | null;
let refusal: AppError | null;
let cut: boolean;
const iscsi = {
	async login({ portals }: IscsiTarget, begin: (missing: readonly Portal[]) => Promise<void> = async () => {}) {
		const made = portals.filter((one) => !sessions.some(({ host }) => host === one.host));
		if (made.length > 0) await begin(made);
		await held;
		if (refusal !== null) throw refusal;
		sessions.push(...made);
		if (cut) throw new Error("The process ends here.");
		return { made, reused: portals.filter((one) => !made.includes(one)), failed: [] };
	},
	async logout(_target: string, portals: readonly Portal[]) {
		await held;
		sessions = sessions.filter((one) => !portals.some(({ host }) => host === one.host));
	},
};
const ends = async () => true;

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-sessions-"));
	target = { target: `iqn.2026-01.net.example:${number++}`, portals: [portal], chap: null };
	sessions = [];
	held = null;
	refusal = null;
	cut = false;
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const ours = () => new TargetSessions(iscsi, target, folder);

test("a look ends what it began, and nothing of a pool that has come meanwhile", async () => {
	const alone = await ours().join({});
	expect(sessions).toEqual([portal]);
	await alone.undo();
	expect([sessions, await readdir(folder)]).toEqual([[], []]);

	const look = await ours().join({});
	const gate = Promise.withResolvers<void>();
	held = gate.promise;
	// The pool asks while the look goes: the one or the other is first, and the pool has its sessions in the end.
	const both = Promise.all([ours().join("pool"), look.undo()]);
	gate.resolve();
	await both;
	expect(sessions).toEqual([portal]);
	await ours().leave("pool", ends);
	expect([sessions, await readdir(folder)]).toEqual([[], []]);
});

test("the last pool that goes ends the sessions, whoever has made them; those of others stay", async () => {
	await ours().join("one");
	await ours().join("two");
	await ours().leave("one", ends);
	expect(sessions).toEqual([portal]);
	await ours().leave("two", async () => false);
	expect(sessions).toEqual([portal]);
	await ours().leave("two", ends);
	expect(sessions).toEqual([]);

	sessions = [portal];
	const look = await ours().join({});
	await look.undo();
	await ours().join("pool");
	await ours().leave("pool", ends);
	expect(sessions).toEqual([portal]);
});

test("sessions that a process had begun when it ended are known to the next one, and ended by it", async () => {
	expect(await targetsWithSessions(join(folder, "not-there"))).toEqual([]);
	cut = true;
	await expect(ours().join({})).rejects.toThrow("ends here");
	expect([sessions, await targetsWithSessions(folder)]).toEqual([[portal], [target.target]]);
	await ours().leave({}, ends);
	expect([sessions, await readdir(folder)]).toEqual([[], []]);
});

test("a login that was refused leaves nothing behind, and what was ours before stays ours", async () => {
	refusal = new AppError("storage", "The target refused.");
	await expect(ours().join({})).rejects.toThrow("refused");
	expect(await readdir(folder)).toEqual([]);

	refusal = null;
	await ours().join("pool");
	refusal = new AppError("storage", "The target refused.");
	sessions = [];
	await expect(ours().join("pool")).rejects.toThrow("refused");
	expect(await targetsWithSessions(folder)).toEqual([target.target]);
});
