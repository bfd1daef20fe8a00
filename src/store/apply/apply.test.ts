/** What holds for every command: duplicates, idempotency keys, audit, events, refusals, bounds, tasks. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Event } from "../../model/event.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureNetwork,
	fixturePool,
	fixtureTask,
	fixtureVm,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { Command, CommandBody } from "../command.ts";
import { requesterKeyOf } from "../idempotency.ts";

let store: MemoryStore;
let next = 1;
beforeEach(async () => {
	store = await openMemoryStore({ commands: [fixtureCluster()] });
});
afterEach(() => store.close());

const freshId = () => fixtureId(0x30000000 + next++);
const local = { kind: "local", id: null, name: "root" } as const;
const timeMs = Date.UTC(2026, 0, 2);
const command = (body: CommandBody, changes: Partial<Command> = {}): Command => ({
	id: freshId(),
	timeMs,
	requester: local,
	remoteAddress: null,
	operation: "vmCreate",
	idempotencyKey: null,
	credential: null,
	body,
	...changes,
});
const createVm = (name = `vm-${next}`): Extract<CommandBody, { kind: "vmCreate" }> => {
	const vm = fixtureVm({ id: freshId(), name });
	return {
		kind: "vmCreate",
		vm,
		volumes: [],
		task: fixtureTask("vm.create", { kind: "vm", id: vm.id }, { id: freshId() }),
	};
};
const start = (id: string, key: string): Command =>
	command(
		{ kind: "vmAction", id, task: fixtureTask("vm.start", { kind: "vm", id }, { id: freshId() }) },
		{ idempotencyKey: key, operation: "vmStart" },
	);
const fails = (promise: Promise<unknown>, code: string) => expect(promise).rejects.toMatchObject({ code });

describe("a command that comes twice", () => {
	test("is applied once", async () => {
		const once = command(createVm());
		const first = await store.propose(once);
		expect(await store.propose(once)).toEqual({ ...first, replayed: true });
		expect([store.count("vm"), store.count("audit")]).toEqual([1, 1]);
	});

	test("is refused again when it was refused", async () => {
		const once = command({ kind: "volumeGone", id: freshId() });
		await fails(store.propose(once), "not-found");
		await fails(store.propose(once), "not-found");
		expect(store.count("audit")).toBe(1);
	});
});

describe("an idempotency key", () => {
	test("gives the first result again, also for a body with new ids", async () => {
		const first = await store.propose(command(createVm("web"), { idempotencyKey: "k" }));
		const second = await store.propose(command(createVm("web"), { idempotencyKey: "k" }));
		expect(second).toEqual({ ...first, replayed: true });
		expect(store.count("vm")).toBe(1);
		expect(store.idempotent(requesterKeyOf(local, "k"))).toEqual({
			operation: "vmCreate",
			requestHash: null,
			applied: { ...first, replayed: true },
		});
	});

	test("is refused for another operation, another kind of command and another object", async () => {
		const { targets } = await store.propose(command(createVm(), { idempotencyKey: "k" }));
		await fails(store.propose(command(createVm(), { idempotencyKey: "k", operation: "vmCreateDemo" })), "invalid");
		const hashed = (digit: string) =>
			store.propose(command(createVm(), { idempotencyKey: "h", idempotencyHash: digit.repeat(64) }));
		const first = await hashed("a");
		expect(await hashed("a")).toEqual({ ...first, replayed: true });
		await fails(hashed("b"), "invalid");
		expect(store.idempotent(requesterKeyOf(local, "h"))?.requestHash).toBe("a".repeat(64));
		await fails(store.propose(command(createVm(), { idempotencyKey: "i", idempotencyHash: "short" })), "invalid");
		const vmId = targets[0]?.id ?? "";
		await fails(store.propose(start(vmId, "k")), "invalid");
		const other = await store.propose(command(createVm()));
		for (const task of store.all("task"))
			await store.proposer.proposeSystem({ kind: "taskUpdate", id: task.id, state: "succeeded" });
		await store.propose(start(vmId, "start"));
		await fails(store.propose(start(other.targets[0]?.id ?? "", "start")), "invalid");
	});

	test("belongs to its requester, and is forgotten after a day", async () => {
		await store.propose(command(createVm(), { idempotencyKey: "k" }));
		await store.proposer.proposeSystem({ kind: "taskCancel", id: freshId() }).catch(() => {});
		const day = 24 * 3_600_000;
		await store.propose(command(createVm(), { idempotencyKey: "k", timeMs: timeMs + day }));
		expect(store.count("vm")).toBe(1);
		await store.propose(command(createVm(), { idempotencyKey: "k", timeMs: timeMs + day + 1 }));
		expect(store.count("vm")).toBe(2);
	});

	test("of a refused command can be used again", async () => {
		const taken = await store.propose(command(createVm("web")));
		await fails(store.propose(command(createVm("web"), { idempotencyKey: "k" })), "already-exists");
		expect(taken.replayed).toBe(false);
		expect((await store.propose(command(createVm("other"), { idempotencyKey: "k" }))).replayed).toBe(false);
	});
});

describe("events", () => {
	test("tell each change in order, to listeners and to those who resume", async () => {
		const heard: Event[] = [];
		const before = store.lastEventId();
		const stop = store.subscribe((events) => heard.push(...events));
		const body = createVm();
		const { index } = await store.propose(command(body));
		await fails(store.propose(start(freshId(), "x")), "not-found");
		stop();
		expect(heard.map(({ id, type, target }) => [id, type, target.kind])).toEqual([
			[`${index}.0`, "created", "vm"],
			[`${index}.1`, "created", "task"],
		]);
		expect(heard[0]).toMatchObject({ target: { name: body.vm.name }, object: { id: body.vm.id, generation: 1 } });
		expect(store.eventsAfter(before, 100)).toEqual(heard);
		expect(store.eventsAfter(`${index}.0`, 100)).toEqual(heard.slice(1));
		expect(store.lastEventId()).toBe(`${index}.1`);
	});

	test("of a refused command do not exist", async () => {
		const before = store.lastEventId();
		const body = createVm();
		await fails(store.propose(command({ ...body, task: { ...body.task, nodeId: freshId() } })), "invalid");
		expect(store.lastEventId()).toBe(before);
	});
});

test("a command that is refused changes nothing but the audit", async () => {
	const volume = fixtureVolume({ name: "data" });
	const body: CommandBody = { ...createVm(), volumes: [volume] };
	await fails(store.propose(command(body)), "invalid");
	expect([store.count("vm"), store.count("volume"), store.count("task")]).toEqual([0, 0, 0]);
	expect(store.list("audit", { limit: 10 }).items).toMatchObject([{ outcome: "rejected", errorCode: "invalid" }]);
});

test("documents of any shape are refused, not stored", async () => {
	const body = createVm();
	const documents: unknown[] = [null, [], "x", 1, {}, { ...body.vm, extra: 1 }, { ...body.vm, name: ["x"] }];
	for (const vm of [...documents, { ...body.vm, name: "../x" }, { ...body.vm, name: "-rf" }])
		await fails(store.propose(command({ ...body, vm: vm as typeof body.vm })), "invalid");
	expect(store.count("vm")).toBe(0);
});

describe("tasks", () => {
	const update = (id: string, state: "pending" | "running" | "succeeded" | "failed" | "canceled", more = {}) =>
		store.propose(command({ kind: "taskUpdate", id, state, ...more }, { operation: "system" }));
	const task = async () => {
		const { taskId } = await store.propose(command(createVm()));
		return store.get("task", taskId ?? "") ?? expect.unreachable("the task is there");
	};

	test("go forward, with the times of the commands, and end once", async () => {
		const { id } = await task();
		await update(id, "running", { progress: 10, message: "copying" });
		expect(store.get("task", id)).toMatchObject({
			state: "running",
			startedAt: "2026-01-02T00:00:00.000Z",
			finishedAt: null,
		});
		await fails(update(id, "pending"), "wrong-state");
		await fails(update(id, "failed"), "invalid");
		await update(id, "succeeded");
		expect(store.get("task", id)).toMatchObject({ progress: 100, finishedAt: "2026-01-02T00:00:00.000Z" });
		await fails(update(id, "running"), "wrong-state");
		await fails(update(id, "failed", { error: { code: "storage", message: "x" } }), "wrong-state");
	});

	test("can be canceled only when they say so", async () => {
		const { id } = await task();
		const cancel = () => store.propose(command({ kind: "taskCancel", id }, { operation: "taskCancel" }));
		await fails(cancel(), "wrong-state");
		await update(id, "running", { cancelable: true });
		await cancel();
		expect(store.get("task", id)).toMatchObject({ cancelRequested: true, state: "running" });
		await update(id, "canceled");
		await fails(cancel(), "wrong-state");
	});
});

describe("prune", () => {
	const prune = (before: string, at = timeMs) =>
		store.propose(
			command(
				{ kind: "prune", tasksBefore: before, sessionsExpiredBefore: before, auditBefore: before },
				{ timeMs: at, operation: "system" },
			),
		);

	test("deletes what is finished and older, and nothing else", async () => {
		const done = await store.propose(command(createVm()));
		const open = await store.propose(command(createVm()));
		await store.propose(command({ kind: "taskUpdate", id: done.taskId ?? "", state: "succeeded" }));
		await prune("2026-01-02T00:00:00.000Z");
		expect(store.count("task")).toBe(2);
		await prune("2026-01-02T00:00:00.001Z");
		expect(store.all("task").map(({ id }) => id)).toEqual([open.taskId ?? ""]);
		expect(store.count("audit")).toBe(0);
	});

	test("with a clock that went back, keeps what it should", async () => {
		const later = await store.propose(command(createVm(), { timeMs: timeMs + 1_000_000, idempotencyKey: "k" }));
		await prune("2025-01-01T00:00:00.000Z", timeMs - 1_000_000);
		const again = await store.propose(command(createVm(), { timeMs: timeMs - 1_000_000, idempotencyKey: "k" }));
		expect(again).toEqual({ ...later, replayed: true });
	});

	test("refuses what is no time", async () => {
		await fails(prune("yesterday"), "invalid");
	});
});

describe("pools and networks", () => {
	const create = (changes: Parameters<typeof fixturePool>[0]) => {
		const pool = fixturePool({ id: freshId(), ...changes });
		const task = fixtureTask("pool.create", { kind: "pool", id: pool.id }, { id: freshId() });
		return store.propose(command({ kind: "poolCreate", pool, task }));
	};

	test("two pools do not share a folder", async () => {
		const path = "/var/lib/limiquantix/pools/local";
		for (const same of [path, `${path}/`, `${path}//x`, "/var/lib/limiquantix"])
			await fails(create({ name: "second", config: { path: same } }), "already-exists");
		await create({ name: "second", config: { path: `${path}-2` } });
	});

	test("the phase of a pool follows from its nodes", async () => {
		const status = (health: "healthy" | "error") =>
			store.proposer.proposeSystem({
				kind: "poolNodeStatus",
				id: clusterIds.pool,
				status: {
					nodeId: clusterIds.node,
					health,
					reason: null,
					totalBytes: 1,
					usedBytes: 0,
					availableBytes: 1,
					capabilities: null,
					updatedAt: "2026-01-01T00:00:00.000Z",
				},
			});
		await status("healthy");
		expect(store.get("pool", clusterIds.pool)?.phase).toBe("ready");
		await status("error");
		expect(store.get("pool", clusterIds.pool)).toMatchObject({ phase: "error", nodes: [{ health: "error" }] });
	});

	test("NAT networks do not overlap", async () => {
		const network = (gateway: string) =>
			fixtureNetwork({
				id: freshId(),
				name: "second",
				config: {
					kind: "nat",
					gateway,
					prefixLength: 16,
					dhcpStart: gateway.replace(/1$/, "5"),
					dhcpEnd: gateway.replace(/1$/, "9"),
				},
			});
		const task = () => fixtureTask("network.create", { kind: "network", id: freshId() }, { id: freshId() });
		const make = (gateway: string) =>
			store.propose(command({ kind: "networkCreate", network: network(gateway), task: task() }));
		await fails(make("10.20.7.1"), "already-exists");
		await make("10.21.0.1");
	});
});
