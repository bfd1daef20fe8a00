/** Who a node is: kept, found in a state of before there were clusters, or new; never guessed. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathsOf } from "../store/open-store.ts";
import { openStateFile } from "../store/sqlite/database.ts";
import { clusterIds, fixtureClusterObject, fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { clusterPathsOf, noteStarted, openNodeFile, readNodeFile } from "./node-file.ts";

let folder: string;
let count: number;
beforeEach(() => {
	folder = mkdtempSync("/tmp/lqx-node-file-");
	count = 0x100;
});
afterEach(() => rmSync(folder, { recursive: true }));
const newId = () => fixtureId(count++);
const open = () => openNodeFile(folder, newId);
const path = () => clusterPathsOf(folder).node;

test("a first start makes ids and keeps them, for root only", async () => {
	const first = await open();
	expect(first).toEqual({ nodeId: fixtureId(0x100), clusterId: fixtureId(0x101), founder: true });
	expect(statSync(path()).mode & 0o777).toBe(0o600);
	expect(await open()).toEqual(first);
});

test("a node that has had a log and has it no more is not made anew with the same id", async () => {
	const first = await open();
	expect(await open()).toEqual(first);
	await noteStarted(folder, first);
	const log = pathsOf(folder).log;
	for (const missing of [true, false]) {
		if (!missing) mkdirSync(log);
		await expect(open()).rejects.toMatchObject({ code: "corrupt", message: expect.stringContaining("is missing") });
	}
	writeFileSync(join(log, "hard-state"), "");
	expect(await open()).toEqual({ ...first, started: true });
});

test("a damaged file is refused, and stays as it is", async () => {
	for (const text of ["", "{", '{"nodeId":"x","clusterId":"y","founder":true}', '{"nodeId":null}']) {
		writeFileSync(path(), text);
		await expect(readNodeFile(path())).rejects.toMatchObject({ code: "corrupt" });
		await expect(open()).rejects.toMatchObject({ code: "corrupt" });
		expect(readFileSync(path(), "utf8")).toBe(text);
	}
});

describe("a data folder without the file", () => {
	const fill = (nodes: string[]) => {
		const state = openStateFile(pathsOf(folder).state);
		state.transaction(() => {
			state.insert("cluster", fixtureClusterObject());
			for (const id of nodes) state.insert("node", fixtureNode({ id, name: id.slice(-3) }));
		});
		state.close();
	};

	test("with a state of one node is that node", async () => {
		fill([clusterIds.node]);
		expect(await open()).toEqual({ nodeId: clusterIds.node, clusterId: clusterIds.cluster, founder: true });
	});

	test("with an empty state is a new node", async () => {
		fill([]);
		rmSync(pathsOf(folder).state);
		openStateFile(pathsOf(folder).state).close();
		expect((await open()).nodeId).toBe(fixtureId(0x100));
	});

	test("with a state of several nodes is refused: it could be any of them", async () => {
		fill([fixtureId(0xa), fixtureId(0xb)]);
		await expect(open()).rejects.toMatchObject({ code: "corrupt", message: expect.stringContaining("several nodes") });
		expect(existsSync(path())).toBe(false);
	});

	test("with a log and no state is refused", async () => {
		mkdirSync(pathsOf(folder).log);
		writeFileSync(join(pathsOf(folder).log, "hard-state"), "");
		await expect(open()).rejects.toMatchObject({ code: "corrupt" });
		expect(existsSync(path())).toBe(false);
	});
});
