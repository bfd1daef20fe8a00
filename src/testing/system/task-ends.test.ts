import { expect, test } from "bun:test";
import type { Task } from "../../model/task.ts";
import { fixtureTask } from "../fixtures.ts";
import { underWay, wrongEnds } from "./task-ends.ts";

const at = (second: number): string => `2030-01-01T00:00:0${second}.000Z`;
const task = (kind: Task["kind"], state: Task["state"], second: number, changes: Partial<Task> = {}): Task =>
	fixtureTask(kind, { kind: "vm", id: "a" }, { state, createdAt: at(second), ...changes });
const there = new Set(["a"]);

test("what did its work, or was overtaken, ended well", () => {
	expect(wrongEnds([task("vm.create", "succeeded", 1), task("vm.start", "succeeded", 2)], there)).toEqual([]);
	expect(wrongEnds([task("vm.create", "canceled", 1), task("vm.stop", "succeeded", 2)], there)).toEqual([]);
	const gone = [task("vm.delete", "succeeded", 3), task("vm.start", "canceled", 2), task("vm.create", "succeeded", 1)];
	expect(wrongEnds(gone, new Set())).toEqual([]);
	expect(wrongEnds([fixtureTask("volume.create", { kind: "volume", id: "v" }, { state: "failed" })], there)).toEqual(
		[],
	);
});

test("what failed, was called off by nobody, or is half there, did not", () => {
	const failed = task("vm.start", "failed", 2, { error: { code: "hypervisor", message: "No." } });
	expect(wrongEnds([task("vm.create", "succeeded", 1), failed], there)).toEqual([expect.stringContaining("No.")]);
	expect(wrongEnds([task("vm.stop", "succeeded", 1), task("vm.start", "canceled", 2)], there)).toEqual([
		expect.stringContaining("nothing came after it"),
	]);
	expect(wrongEnds([task("vm.create", "succeeded", 1)], new Set())).toEqual([expect.stringContaining("not there")]);
	expect(wrongEnds([task("vm.create", "canceled", 1), task("vm.delete", "succeeded", 2)], there)).toHaveLength(2);
});

test("under way at a moment is what was accepted before and finished after it", () => {
	const tasks = [
		task("vm.create", "succeeded", 1, { finishedAt: at(2) }),
		task("vm.start", "succeeded", 2, { finishedAt: at(4) }),
		task("vm.stop", "running", 3, { finishedAt: null }),
		task("vm.delete", "pending", 5, { finishedAt: null }),
	];
	expect(underWay(tasks, Date.parse(at(3))).map(({ kind }) => kind)).toEqual(["vm.start", "vm.stop"]);
});
