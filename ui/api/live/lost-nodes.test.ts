import { expect, test } from "bun:test";
import type { Event } from "../types.ts";
import { watchLostNodes } from "./lost-nodes.ts";

const event = (id: string, status: object | null, kind: Event["target"]["kind"] = "node"): Event => ({
	...{ id: "1.0", time: "2026-01-02T03:04:05.000Z", type: status === null ? "deleted" : "updated" },
	target: { kind, id, name: null },
	object: status === null ? null : { id, status },
});
const lost = { phase: "not-ready", lost: true };

test("VMs and tasks are read anew when a node is lost, and when it is back; not because it is heard of", () => {
	const changed = watchLostNodes((nodeId) => nodeId === "away");
	expect(changed(event("a", { phase: "ready" }))).toBe(false);
	expect(changed(event("a", { phase: "not-ready" }))).toBe(false);
	expect(changed(event("a", lost))).toBe(true);
	expect(changed(event("a", lost))).toBe(false);
	expect(changed(event("b", lost))).toBe(true);
	expect(changed(event("a", { phase: "ready" }))).toBe(true);
	expect(changed(event("a", { phase: "ready" }))).toBe(false);
	expect(changed(event("a", lost, "vm"))).toBe(false);
	expect(changed(event("away", lost))).toBe(false);
	expect(changed(event("away", { phase: "ready" }))).toBe(true);
});
