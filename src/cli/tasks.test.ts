/** Waiting for work: what is shown, how it ends, and that it is the node's work whoever waits. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Task } from "../model/task.ts";
import { type FakeApi, fakeApi, page, problem, withTask } from "../testing/cli/fake-api.ts";
import { fakeIo } from "../testing/cli/fake-io.ts";
import { cli } from "../testing/cli/run-cli.ts";
import { fixtureId, fixtureTask, fixtureTime, fixtureVm } from "../testing/fixtures.ts";
import { monotonicStep } from "./progress-steps.ts";

const vm = fixtureVm({ name: "web" });
const started = fixtureTask("vm.start", { kind: "vm", id: vm.id, name: "web" });
const running = (progress: number | null, message: string): Task => ({
	...started,
	state: "running",
	progress,
	message,
});
const done: Task = {
	...started,
	state: "succeeded",
	startedAt: fixtureTime,
	finishedAt: new Date(Date.parse(fixtureTime) + 2400).toISOString(),
};

let runDir: string;
let api: FakeApi;
beforeEach(() => {
	runDir = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi(
		{ runDir },
		{ vmStart: () => withTask(202, started, started.id), vmGet: () => vm, nodeList: () => page() },
	);
});
afterEach(async () => {
	await api.stop();
	rmSync(runDir, { recursive: true, force: true });
});
const here = (words: string, options: Parameters<typeof cli>[1] = {}) =>
	cli([...words.split(" "), "--run-dir", runDir], options);

/** Answers of taskGet, one after the other; the last one stays. */
function tasks(...states: (Task | Response)[]) {
	let at = 0;
	api.handlers.taskGet = () => {
		const state = states[Math.min(at, states.length - 1)];
		at += 1;
		return state instanceof Response ? state.clone() : (state ?? null);
	};
}

describe("a verb that starts work", () => {
	test("waits, tells what changes, and says how long it took", async () => {
		tasks(started, running(10, "defining"), running(12, "defining"), running(60, "starting"), done);
		const { code, out, err } = await here(`vm start ${vm.id}`);
		expect({ code, out }).toEqual({ code: 0, out: "vm.start web: done (2 s)\n" });
		expect(err).toBe(
			["vm.start web: waiting for its turn", "vm.start web: 10 %, defining", "vm.start web: 60 %, starting", ""].join(
				"\n",
			),
		);
		const waits = api.requests
			.filter(({ operation }) => operation === "taskGet")
			.map(({ query }) => query.get("waitMs"));
		expect(waits.slice(0, 2)).toEqual(["0", "20000"]);
	});

	test("draws a bar on a terminal, and takes it away", async () => {
		tasks(started, running(50, "half\u001b[2Jway"), done);
		const io = fakeIo({ tty: true, columns: 70 });
		expect((await here(`vm start ${vm.id}`, { io })).code).toBe(0);
		expect(io.err).toContain("\r\u001b[2Kvm.start web  [############............]  50 %  half\\e[2Jway");
		expect(io.err.endsWith("\r\u001b[2K")).toBe(true);
		for (const line of io.err.split("\r\u001b[2K")) expect(line.length).toBeLessThan(70);
	});

	test("draws nothing on a dumb terminal, and nothing at all when quiet or when programs read along", async () => {
		tasks(started, running(50, "halfway"), done);
		const dumb = fakeIo({ tty: true });
		await here(`vm start ${vm.id}`, { io: dumb, environment: { TERM: "dumb" } });
		expect(dumb.err).not.toContain("\u001b");
		tasks(started, running(50, "halfway"), done);
		expect(await here(`vm start ${vm.id} --quiet`)).toMatchObject({ out: `${vm.id}\n`, err: "" });
		tasks(started, running(50, "halfway"), done);
		const json = await here(`vm start ${vm.id} -o json`);
		expect({ state: JSON.parse(json.out).state, err: json.err }).toEqual({ state: "succeeded", err: "" });
	});

	test("fails as the task fails", async () => {
		const error = {
			code: "no-space",
			message: "The pool is full.",
			fields: [{ path: "/disks/0", message: "too large" }],
		};
		tasks(started, { ...started, state: "failed", error });
		const { code, err } = await here(`vm start ${vm.id}`);
		expect(code).toBe(1);
		expect(err).toEndWith("Error: vm.start web failed: The pool is full.\n  /disks/0: too large\n");
		tasks({ ...started, state: "canceled" });
		expect(await here(`vm start ${vm.id}`)).toMatchObject({ code: 1, err: "Error: vm.start web was canceled.\n" });
	});

	test("does not wait with --no-wait", async () => {
		const { code, out } = await here(`vm start ${vm.id} --no-wait`);
		expect({ code, out }).toEqual({
			code: 0,
			out: `vm.start web: started, to wait for it again: limiquantix task wait ${started.id}\n`,
		});
		expect(api.called).toEqual(["vmStart"]);
		expect((await here(`vm start ${vm.id} --no-wait --quiet`)).out).toBe(`${started.id}\n`);
	});

	test("does not ask for what is over already", async () => {
		const message = "Stopped on this host without a quorum.";
		const now: Task = { ...done, message };
		api.handlers.vmStart = () => Response.json(now, { status: 202 });
		api.handlers.taskGet = () => problem(503, "unavailable", "This node has no contact with a quorum.");
		for (const how of ["", " --no-wait"])
			expect(await here(`vm start ${vm.id}${how}`)).toMatchObject({
				...{ code: 0, out: "vm.start web: done (2 s)\n", err: `${message}\n` },
			});
		expect(api.called).not.toContain("taskGet");
		const error = { code: "no-space", message: "The pool is full.", fields: null };
		api.handlers.vmStart = () => Response.json({ ...now, state: "failed", error }, { status: 202 });
		expect(await here(`vm start ${vm.id}`)).toMatchObject({ code: 1 });
	});

	test("gives up after --timeout, and says that the work goes on", async () => {
		tasks(running(null, "slow"));
		const { code, err } = await here(`vm start ${vm.id} --timeout 30ms`);
		expect(code).toBe(1);
		expect(err).toContain("not finished after 30 ms; it goes on");
		expect(err).toContain(`limiquantix task wait ${started.id}`);
		expect(api.called).not.toContain("taskCancel");
	});

	test("stops waiting at Ctrl-C, and says that the work goes on", async () => {
		const io = fakeIo();
		tasks(started);
		const first = api.handlers.taskGet;
		api.handlers.taskGet = (request) => {
			if (request.query.get("waitMs") === "0") return first?.(request) ?? null;
			io.interrupt();
			return new Promise(() => {});
		};
		const { code, err } = await here(`vm start ${vm.id}`, { io });
		expect(code).toBe(130);
		expect(err).toContain(`The task goes on; to wait for it again: limiquantix task wait ${started.id}`);
		expect(api.called).not.toContain("taskCancel");
	});

	test("waits for a node that is restarted", async () => {
		tasks(started, problem(503, "unavailable", "There is no leader."), problem(503, "unavailable", "Again."), done);
		expect((await here(`vm start ${vm.id}`)).code).toBe(0);
	});
});

describe("a verb that makes an object", () => {
	test("shows it as it is when the work is done", async () => {
		const made = fixtureTask("vm.create", { kind: "vm", id: vm.id, name: "web" });
		api.handlers.vmCreate = () => withTask(201, vm, made.id);
		tasks(made, { ...made, state: "succeeded" });
		api.handlers.vmGet = () => ({ ...vm, status: { ...vm.status, powerState: "running" } });
		const { code, out } = await here("vm create web -o json");
		expect({ code, state: JSON.parse(out).status.powerState }).toEqual({ code: 0, state: "running" });
		expect((await here("vm create web --quiet")).out).toBe(`${vm.id}\n`);
		expect(api.requests.find(({ operation }) => operation === "vmCreate")?.headers.get("idempotency-key")).toMatch(
			/^[0-9a-f]{32}$/,
		);
	});

	test("needs no task when there is no work", async () => {
		api.handlers.vmUpdate = () => ({ ...vm, name: "new" });
		expect((await here(`vm edit ${vm.id} --name new -q`)).code).toBe(0);
		expect(api.called).toEqual(["vmGet", "vmUpdate"]);
	});
});

test("task wait fails when the task failed", async () => {
	tasks({ ...started, state: "failed", error: { code: "timeout", message: "It took too long." } });
	expect(await here(`task wait ${started.id}`)).toMatchObject({
		code: 1,
		err: "Error: vm.start web failed: It took too long.\n",
	});
});

test("the same request is sent again once, with the same key, when the connection is lost", async () => {
	let calls = 0;
	api.handlers.vmStart = () => {
		calls += 1;
		return withTask(202, started, started.id);
	};
	const real = api.requests;
	const { createCli } = await import("./cli.ts");
	const { AppError } = await import("../lib/errors.ts");
	const io = fakeIo();
	const globals = {
		output: undefined,
		quiet: false,
		runDir,
		server: undefined,
		token: undefined,
		tokenFile: undefined,
		fingerprint: undefined,
		cacert: undefined,
	};
	const own = createCli(io, {}, globals, new AbortController().signal);
	const { fetch } = own.connection();
	const keys: (string | null)[] = [];
	Object.assign(own.connection(), {
		fetch: async (url: string, init: RequestInit) => {
			keys.push(new Headers(init.headers).get("idempotency-key"));
			if (keys.length === 1) {
				await fetch(url, init);
				throw new AppError("unavailable", "lost", { context: { lost: true } });
			}
			return fetch(url, init);
		},
	});
	await own.call("vmStart", { path: { id: fixtureId(1) } });
	expect(calls).toBe(2);
	expect(keys).toHaveLength(2);
	expect(keys[0]).toBe(keys[1] ?? "");
	expect(real).toHaveLength(2);
});

test("a line for another message or ten percent more", () => {
	const worth = monotonicStep();
	const told = [
		[null, "a"],
		[null, "a"],
		[0, "a"],
		[5, "a"],
		[10, "a"],
		[10, "b"],
		[9, "b"],
		[100, "b"],
	] as const;
	expect(told.map(([percent, message]) => worth(percent, message))).toEqual([
		true,
		false,
		true,
		false,
		true,
		true,
		false,
		true,
	]);
});
