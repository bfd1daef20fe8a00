import { expect, test } from "bun:test";
import type { Volume } from "../../model/storage.ts";
import type { Task } from "../../model/task.ts";
import { fixtureTask, fixtureVolume } from "../fixtures.ts";
import { isUnmade } from "./leftovers.ts";

const noSpace = { code: "no-space" as const, message: "The pool is full." };
const ended = (state: Task["state"], error: Task["error"] = null) =>
	fixtureTask("vm.create", { kind: "vm", id: "a" }, { state, error });
const volume = (changes: Partial<Volume>) => fixtureVolume({ vmId: "a", ...changes });

test("a volume without a file needs a task that says why", () => {
	expect(isUnmade(volume({ phase: "pending" }), [ended("canceled")])).toBe(true);
	expect(isUnmade(volume({ phase: "error", error: noSpace }), [ended("failed", noSpace)])).toBe(true);

	expect(isUnmade(volume({ phase: "pending" }), [ended("succeeded")])).toBe(false);
	expect(isUnmade(volume({ phase: "pending", vmId: null }), [ended("canceled")])).toBe(false);
	expect(isUnmade(volume({ phase: "error", error: noSpace }), [ended("canceled")])).toBe(false);
	expect(isUnmade(volume({ phase: "error", error: noSpace, vmId: "b" }), [ended("failed", noSpace)])).toBe(false);
	expect(isUnmade(volume({ phase: "ready" }), [ended("failed", noSpace)])).toBe(false);
});
