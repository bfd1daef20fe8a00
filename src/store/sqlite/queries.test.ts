/** Lists: filters, sorts, search, and pages that neither repeat nor lose a row. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AppError } from "../../lib/errors.ts";
import type { Page } from "../../model/schema.ts";
import type { Vm } from "../../model/vm.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
} from "../../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { ListQuery, TableName } from "../store.ts";
import { tableColumns, tableNames } from "./columns.ts";
import { openMemoryState } from "./database.ts";
import { SqliteReader } from "./reader.ts";

const vmCount = 10_000;
const powerStates = ["stopped", "running", "paused", "failed"] as const;
const nameOf = (number: number): string =>
	`${number % 2 === 0 ? "VM" : "vm"}-${String((number * 7919) % vmCount).padStart(5, "0")}`;
const vmOf = (number: number): Vm =>
	fixtureVm({
		id: fixtureId(0x100000 + number),
		name: nameOf(number),
		createdAt: new Date(Date.UTC(2026, 0, 1) + (number % 97) * 1000).toISOString(),
		tags: number % 10 === 3 ? ["web", "x"] : [],
		spec: fixtureVmSpec({ cpu: { vcpus: 1 + (number % 4), maxVcpus: 8, model: "portable" } }),
		status: fixtureVmStatus({ powerState: powerStates[number % 4] ?? "stopped" }),
	});

/** 10,000 VMs, put straight into the database. */
const state = openMemoryState();
const reader = new SqliteReader(state);
beforeAll(() => {
	state.transaction(() => {
		for (let number = 0; number < vmCount; number++) state.insert("vm", vmOf(number));
	});
});
afterAll(() => state.close());

function pages(query: Omit<ListQuery, "pageToken">): Vm[] {
	const items: Vm[] = [];
	let pageToken: string | null = null;
	do {
		const page: Page<Vm> = reader.list("vm", { ...query, pageToken });
		items.push(...page.items);
		pageToken = page.nextPageToken;
	} while (pageToken !== null);
	return items;
}
const invalid = (query: ListQuery, table: TableName = "vm") => {
	try {
		reader.list(table, query);
	} catch (error) {
		return error instanceof AppError ? error.code : error;
	}
	return "accepted";
};

describe("10,000 VMs", () => {
	test("come in pages by name, whatever the case, each once", () => {
		const names = pages({ limit: 997, sort: "name" }).map((vm) => vm.name.toLowerCase());
		expect(names).toHaveLength(vmCount);
		expect(names).toEqual([...names].sort());
	});

	test("come backwards by a value that many share, each once", () => {
		const listed = pages({ limit: 1000, sort: "-createdAt" });
		expect(new Set(listed.map((vm) => vm.id)).size).toBe(vmCount);
		const order = listed.map((vm) => `${vm.createdAt} ${vm.id}`);
		expect(order).toEqual([...order].sort().reverse());
	});

	test("a page of 100, filtered by state and sorted by name, takes few milliseconds", () => {
		const query = { limit: 100, filter: { powerState: "running" }, sort: "name" };
		const durations = Array.from({ length: 50 }, () => {
			const began = performance.now();
			reader.listJson("vm", query);
			return performance.now() - began;
		}).sort((a, b) => a - b);
		expect(durations[25]).toBeLessThan(5);
	});

	test("what they want on each node is summed up", () => {
		const vms = Array.from({ length: vmCount }, (_, number) => vmOf(number));
		expect(reader.vmLoads()).toEqual([
			{
				nodeId: clusterIds.node,
				memoryBytes: vms.reduce((sum, { spec }) => sum + spec.memory.sizeBytes, 0),
				vcpus: vms.reduce((sum, { spec }) => sum + spec.cpu.vcpus, 0),
			},
		]);
	});

	test("no list of the API needs a sort of its own", () => {
		const filters: ListQuery["filter"][] = [
			undefined,
			{ powerState: "running" },
			{ powerState: ["running", "paused"] },
			{ tag: "web" },
		];
		for (const sort of ["name", "-name", "createdAt", "-createdAt", "memoryBytes", "vcpus"])
			for (const filter of filters) {
				const seen: string[] = [];
				const spy = new Proxy(state, {
					get(target, key) {
						if (key === "rows")
							return (sql: string, ...values: never[]) => {
								const plan = target.database.query(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[];
								seen.push(...plan.map((row) => row.detail));
								return target.rows(sql, ...values);
							};
						const value: unknown = Reflect.get(target, key, target);
						return typeof value === "function" ? value.bind(target) : value;
					},
				});
				new SqliteReader(spy).list("vm", { limit: 10, sort, ...(filter ? { filter } : {}) });
				expect(seen.length).toBeGreaterThan(0);
				expect(seen.filter((line) => line.includes("TEMP B-TREE FOR ORDER BY"))).toEqual([]);
			}
	});

	test("filters, search and counts agree with a plain look at all rows", () => {
		const all = reader.all("vm");
		const cases: { filter: NonNullable<ListQuery["filter"]>; search?: string; expected: (vm: Vm) => boolean }[] = [
			{ filter: { powerState: "running" }, expected: (vm) => vm.status.powerState === "running" },
			{
				filter: { powerState: ["running", "failed"] },
				expected: (vm) => ["running", "failed"].includes(vm.status.powerState),
			},
			{ filter: { tag: "web" }, expected: (vm) => vm.tags.includes("web") },
			{
				filter: { tag: ["web", "x", "none"], vcpus: 2 },
				expected: (vm) => vm.tags.length > 0 && vm.spec.cpu.vcpus === 2,
			},
			{ filter: { deleting: false, nodeId: clusterIds.node }, expected: () => true },
			{ filter: { nodeId: null }, expected: () => false },
			{ filter: {}, search: "vM-0012", expected: (vm) => vm.name.toLowerCase().includes("vm-0012") },
			{ filter: {}, search: "100%_", expected: () => false },
		];
		for (const { filter, search, expected } of cases) {
			const listed = pages({ limit: 1000, filter, sort: "name", ...(search === undefined ? {} : { search }) });
			expect(listed.map((vm) => vm.id).sort()).toEqual(
				all
					.filter(expected)
					.map((vm) => vm.id)
					.sort(),
			);
			if (search === undefined) expect(reader.count("vm", filter)).toBe(listed.length);
		}
	});

	test("JSON pages hold the same items", () => {
		const query = { limit: 50, filter: { tag: "web" }, sort: "-name" };
		const { itemsJson, nextPageToken } = reader.listJson("vm", query);
		const page = reader.list("vm", query);
		expect(JSON.parse(itemsJson)).toEqual(page.items);
		expect(nextPageToken).toBe(page.nextPageToken);
	});
});

describe("page tokens", () => {
	const query = { limit: 10, filter: { powerState: "running" }, sort: "name" };
	const pageToken = () => reader.list("vm", query).nextPageToken;

	test("belong to one query", () => {
		const token = pageToken();
		expect(invalid({ ...query, pageToken: token })).toBe("accepted");
		expect(invalid({ ...query, limit: 20, pageToken: token })).toBe("accepted");
		expect(invalid({ ...query, sort: "-name", pageToken: token })).toBe("invalid");
		expect(invalid({ ...query, filter: { powerState: "paused" }, pageToken: token })).toBe("invalid");
		expect(invalid({ ...query, search: "x", pageToken: token })).toBe("invalid");
	});

	test("of any other content are invalid", () => {
		fc.assert(
			fc.property(fc.oneof(fc.string({ minLength: 1 }), fc.base64String({ minLength: 1 }), fc.json()), (text) => {
				expect(invalid({ ...query, pageToken: text })).toBe("invalid");
				expect(invalid({ ...query, pageToken: Buffer.from(text).toString("base64url") })).toBe("invalid");
			}),
		);
	});
});

test("bad queries are invalid, and nothing of them reaches SQL", () => {
	const bad: Partial<ListQuery>[] = [
		{ limit: 0 },
		{ limit: 1001 },
		{ limit: 1.5 },
		{ sort: "status" },
		{ sort: "name; DROP TABLE vm" },
		{ sort: "__proto__" },
		{ filter: { "name' OR 1=1 --": "x" } },
		{ filter: { constructor: "x" } },
	];
	for (const query of bad) expect(invalid({ limit: 10, ...query })).toBe("invalid");
	expect(invalid({ limit: 10, search: "x" }, "session")).toBe("invalid");
	expect(invalid({ limit: 10, filter: { powerState: "' OR 1=1 --" } })).toBe("accepted");
});

test("every filter and sort that is offered works, on every table", () => {
	for (const table of tableNames) {
		const { filters, sorts } = tableColumns[table];
		for (const sort of Object.keys(sorts))
			for (const name of Object.keys(filters))
				for (const value of ["x", ["x", "y"], null])
					expect(invalid({ limit: 1, sort, filter: { [name]: value } }, table)).toBe("accepted");
	}
});

describe("paging while rows come and go", () => {
	let store: MemoryStore;
	const task = (id: string, number: number) =>
		fixtureTask("vm.create", { kind: "vm", id }, { id: fixtureId(0x900000 + number) });

	test("shows each row that stays exactly once, also when the clock goes back", async () => {
		let nowMs = Date.UTC(2026, 5, 1);
		const clock = { nowMs: () => nowMs, monotonicMs: () => performance.now(), schedule: () => ({ cancel() {} }) };
		store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
		const create = async (number: number) => {
			// Forward and back by up to a day.
			nowMs += ((number * 7907) % 3) * 86_400_000 - 86_400_000;
			const vm = fixtureVm({ id: fixtureId(0x100000 + number), name: `vm-${(number * 37) % 1000}` });
			await store.proposer.proposeSystem({ kind: "vmCreate", vm, volumes: [], task: task(vm.id, number) });
		};
		for (let number = 0; number < 60; number++) await create(number);
		const stay = new Set(store.all("vm").map((vm) => vm.id));
		for (const sort of ["name", "-createdAt"]) {
			const seen: string[] = [];
			let pageToken: string | null = null;
			let number = sort === "name" ? 100 : 200;
			do {
				const page: Page<Vm> = store.list("vm", { limit: 7, sort, pageToken });
				seen.push(...page.items.map((vm) => vm.id));
				pageToken = page.nextPageToken;
				await create(number++);
			} while (pageToken !== null);
			expect(seen.filter((id) => stay.has(id)).sort()).toEqual([...stay].sort());
			expect(new Set(seen).size).toBe(seen.length);
		}
		await store.close();
	});
});
