/** From when on what a node was before it joined is not what counts any more. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Node } from "../model/node.ts";
import { fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { type ArrivalParts, arrivingWith } from "./arrival.ts";
import { clusterPathsOf } from "./node-file.ts";

let dataDir: string;
beforeEach(() => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-arrival-"));
	mkdirSync(clusterPathsOf(dataDir).peer);
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const hints = { members: [], formerNodeId: fixtureId(7), rename: false, witness: false };
function arriving(phase: Node["status"]["phase"] | null, vms = 0, given: ArrivalParts["hints"] = hints) {
	const node = fixtureNode();
	const record = phase && { ...node, status: { ...node.status, phase } };
	const store = { get: () => record, count: (table: string) => (table === "vm" ? vms : 0) };
	return arrivingWith({ dataDir, node: { nodeId: node.id }, hints: given, store: store as ArrivalParts["store"] });
}

test("it has not arrived before the state is there, nor before what it brings is in it", () => {
	expect([arriving(null), arriving("joining"), arriving("not-ready"), arriving("ready")]).toEqual([
		...[hints, hints],
		...[null, null],
	]);
});

test("removed on the way it still has what it was; removed with VMs that the cluster knows it has those", () => {
	expect([arriving("left"), arriving("left", 1)]).toEqual([hints, null]);
});

test("a node that never joined, and one that noted that it has brought everything, are what they are", () => {
	expect(arriving("ready", 0, null)).toBeNull();
	writeFileSync(clusterPathsOf(dataDir).imported, "");
	expect(arriving("left")).toBeNull();
});
