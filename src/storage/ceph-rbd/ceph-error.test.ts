import { expect, test } from "bun:test";
import fc from "fast-check";
import { AppError, isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { InfoAnswer, readAnswer } from "./answers.ts";
import { cephError, errnoOfCeph } from "./ceph-error.ts";
import { unlessCrashed } from "./runner.ts";

const failed = (program: string, exitCode: number, stderr: string) =>
	cephError(new AppError("internal", `${program} failed`, { context: { program, exitCode, stderr } }));

test.each([
	["rbd", 2, "rbd: error opening image x: (2) No such file or directory", "storage", 2],
	[
		"rbd",
		13,
		"handle_auth_bad_method server allowed_methods [2]\nrbd: couldn't connect to the cluster!",
		"storage",
		13,
	],
	["rados", 1, "handle_auth_bad_method server\nfailed to fetch mon config (--no-mon-config to skip)", "storage", 13],
	["rados", 1, "failed to fetch mon config (--no-mon-config to skip)", "timeout", 110],
	["ceph", 1, "timed out", "timeout", 110],
	["ceph", 13, "[errno 13] RADOS permission denied (error connecting to the cluster)", "storage", 13],
	["rados", 1, "ERROR: failed locking: (16) Device or resource busy", "in-use", 16],
	["rbd", 39, "Removing image: 0% complete...failed.\nrbd: image has snapshots with linked clones", "in-use", 39],
	["rbd", 17, "rbd: rename error: (17) File exists", "already-exists", 17],
	["rbd", 28, "", "no-space", 28],
	["rbd", 122, "rbd: create error: (122) Disk quota exceeded", "no-space", 122],
	[
		"rbd",
		2,
		"handle_trash_add: failed to add image to trash: (122) Disk quota exceeded\nrbd: delete error: (2) No such file or directory",
		"no-space",
		122,
	],
	["rbd", 110, "rbd: couldn't connect to the cluster!", "timeout", 110],
	["rbd", 108, "", "storage", 108],
	["rados", 1, "", "storage", null],
] as const)("%s ends with %i: %s", (program, exitCode, stderr, code, number) => {
	const error = failed(program, exitCode, stderr);
	expect(error.code).toBe(code);
	expect(errnoOfCeph(error)).toBe(number);
	expect(error.message).toMatch(/\.$/);
});

test("who is ended while its key is refused again and again was refused, and did not wait for an answer", () => {
	const ended = (stderr: string) =>
		cephError(new AppError("timeout", "ceph did not finish", { context: { program: "ceph", exitCode: null, stderr } }));
	const refused = ended("monclient(hunting): handle_auth_bad_method server allowed_methods [2] but i only support [2]");
	expect([refused.code, refused.message]).toEqual(["storage", "The Ceph cluster refuses the user or the key."]);
	expect([ended("").code, errnoOfCeph(ended(""))]).toEqual(["timeout", 110]);
});

test("other errors stay what they are", () => {
	const canceled = new AppError("canceled", "x");
	expect(cephError(canceled)).toBe(canceled);
	expect(cephError(new AppError("timeout", "rbd did not finish")).code).toBe("timeout");
	expect(cephError(new Error("x")).code).toBe("internal");
	expect(failed("rbd", 5, "2026-11-29T23:22:34.623+0000 7f71df7fe6c0 -1 librbd: bad\n\n").message).toBe(
		"Ceph refused an operation: librbd: bad.",
	);
});

test("garbage in place of an answer is an error of the storage", () => {
	fc.assert(
		fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
			try {
				readAnswer(InfoAnswer, text, "rbd info");
				return false;
			} catch (error) {
				return isAppError(error, "storage") && error.message.includes("rbd info");
			}
		}),
	);
});

test("a question is asked again when its program crashed, a failure is told at once", async () => {
	let asked = 0;
	const crash = () =>
		run("bash", ["-c", "kill -ABRT $$"], { timeoutMs: 10_000 }).catch((error) => {
			throw cephError(error);
		});
	const answer = await unlessCrashed(async () => (++asked < 3 ? crash() : "an answer"));
	expect([answer, asked]).toEqual(["an answer", 3]);
	asked = 0;
	const always = unlessCrashed(() => {
		asked += 1;
		return crash();
	});
	await expect(always).rejects.toMatchObject({
		code: "storage",
		message: "The program bash of Ceph crashed (SIGABRT).",
	});
	expect(asked).toBe(3);
	asked = 0;
	const refused = unlessCrashed(async () => {
		asked += 1;
		throw failed("rbd", 2, "rbd: error opening image x: (2) No such file or directory");
	});
	await expect(refused).rejects.toMatchObject({ code: "storage" });
	expect(asked).toBe(1);
});
