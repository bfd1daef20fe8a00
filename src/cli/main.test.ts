/** Exit codes, errors, and where they go. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { type FakeApi, fakeApi, page, problem } from "../testing/cli/fake-api.ts";
import { fakeIo } from "../testing/cli/fake-io.ts";
import { cli } from "../testing/cli/run-cli.ts";
import { fixtureId, fixtureTask, fixtureVm } from "../testing/fixtures.ts";

let runDir: string;
let api: FakeApi;
beforeEach(() => {
	runDir = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi({ runDir }, {});
});
afterEach(async () => {
	await api.stop();
	rmSync(runDir, { recursive: true, force: true });
});
const here = (words: string, options: Parameters<typeof cli>[1] = {}) =>
	cli([...words.split(" "), "--run-dir", runDir], options);

const health = (quorum: boolean) => ({
	version: "1.2.3",
	nodeId: fixtureId(2),
	leader: null,
	quorum,
	appliedIndex: 7,
	hypervisor: "connected",
});

describe("exit codes", () => {
	test("0: done", async () => {
		api.handlers.healthGet = () => health(true);
		const { code, out, err } = await here("health");
		expect({ code, err }).toEqual({ code: 0, err: "" });
		expect(out).toContain("version        1.2.3\n");
	});

	test("1: the API refuses", async () => {
		api.handlers.vmGet = () => problem(404, "not-found", "There is no VM with the id.");
		const { code, out, err } = await here(`vm show ${fixtureId(9)}`);
		expect({ code, out, err }).toEqual({ code: 1, out: "", err: "Error: There is no VM with the id.\n" });
	});

	test("2: what the API calls a bad value is as wrong as what is seen here; the fields are named, one a line", async () => {
		const errors = [
			{ path: "/disks/0/sizeBytes", message: "too\u001b[2Jsmall" },
			{ path: "/name", message: "taken" },
		];
		api.handlers.vmCreate = () => problem(422, "invalid", "The VM cannot be made.", { errors });
		const { code, err } = await here("vm create web");
		expect(code).toBe(2);
		expect(err).toBe("Error: The VM cannot be made.\n  /disks/0/sizeBytes: too\\e[2Jsmall\n  /name: taken\n");
	});

	test("2: used wrongly", async () => {
		for (const words of [
			"vm lst",
			"vm",
			"frobnicate",
			"vm list --bogus",
			"vm show",
			"vm show a b",
			"vm create web --memory lots",
			"vm create web --cpus 0",
			"vm list --state sleeping",
			"vm list --output xml",
			"task wait x --timeout never",
			"vm edit",
			"vm create web --ssh-key k",
			"network create n",
			`vm delete ${fixtureId(9)}`,
		]) {
			const { code, err } = await here(words);
			expect({ words, code }).toEqual({ words, code: 2 });
			expect(err).not.toBe("");
		}
		expect(api.requests).toEqual([]);
		expect((await here(`vm delete ${fixtureId(9)}`)).err).toContain("--yes");
		expect((await cli([])).code).toBe(2);
		expect((await here("vm lst")).err).toBe(
			"Error: Unknown command 'lst' (Did you mean list?)\nSee: limiquantix vm --help\n",
		);
	});

	test("3: no quorum", async () => {
		api.handlers.healthGet = () => health(false);
		expect((await here("health")).code).toBe(3);
		api.handlers.vmList = () => problem(503, "unavailable", "There is no leader.");
		expect(await here("vm list")).toMatchObject({ code: 3, err: "Error: There is no leader.\n" });
	});

	test("3: nobody there", async () => {
		await api.stop();
		rmSync(join(runDir, "limiquantix.sock"), { force: true });
		const { code, err } = await here("vm list");
		expect(code).toBe(3);
		expect(err).toContain("No node runs on this machine");
		const refused = await cli("vm list --server http://127.0.0.1:1");
		expect(refused.code).toBe(3);
		expect(refused.err).toContain("nothing listens there");
	});

	test("1, not 3: a task that failed because something was away", async () => {
		const failed = fixtureTask(
			"vm.start",
			{ kind: "vm", id: fixtureId(9), name: "web" },
			{ state: "failed", error: { code: "unavailable", message: "libvirt is away." } },
		);
		api.handlers.vmStart = () => failed;
		api.handlers.taskGet = () => failed;
		const { code, err } = await here(`vm start ${fixtureId(9)}`);
		expect({ code, err }).toEqual({ code: 1, err: "Error: vm.start web failed: libvirt is away.\n" });
	});

	test("1, not 2: a task that failed over a value that was fine when it was asked for", async () => {
		const failed = fixtureTask(
			"vm.start",
			{ kind: "vm", id: fixtureId(9), name: "web" },
			{ state: "failed", error: { code: "invalid", message: "libvirt does not take it." } },
		);
		api.handlers.vmStart = () => failed;
		api.handlers.taskGet = () => failed;
		expect((await here(`vm start ${fixtureId(9)}`)).code).toBe(1);
	});

	test("help and version are no failures, and go to standard output", async () => {
		for (const words of ["--help", "vm --help", "vm create -h", "help vm"]) {
			const { code, out, err } = await cli(words);
			expect({ words, code, err }).toEqual({ words, code: 0, err: "" });
			expect(out).toContain("Usage: limiquantix");
		}
		expect((await cli("--version")).out).toMatch(/^\d+\.\d+\.\d+/);
		expect((await cli("vm create --help")).out).toContain("Examples:\n  limiquantix vm create web");
	});
});

describe("errors for programs", () => {
	test("with --output json they are problems, wherever they come from", async () => {
		api.handlers.vmGet = () => problem(409, "wrong-state", "It runs.", { errors: [{ path: "/a", message: "b" }] });
		const refused = await here(`vm show ${fixtureId(9)} --output json`);
		expect(JSON.parse(refused.err)).toEqual({
			type: "about:blank",
			title: "wrong-state",
			status: 409,
			detail: "It runs.",
			code: "wrong-state",
			errors: [{ path: "/a", message: "b" }],
		});
		const usage = await cli("vm -o json lst");
		expect({ code: usage.code, problem: JSON.parse(usage.err).code }).toEqual({ code: 2, problem: "invalid" });
		expect(parse((await here(`vm show ${fixtureId(9)} --output=yaml`)).err).code).toBe("wrong-state");
	});

	test("an answer that is none of ours is a failure, not a crash", async () => {
		api.handlers.vmList = () => new Response("<html>proxy</html>", { status: 502 });
		expect(await here("vm list")).toMatchObject({ code: 1 });
		api.handlers.vmList = () => new Response("not json");
		expect(await here("vm list")).toMatchObject({ code: 1 });
		api.handlers.vmList = () => new Response(null, { status: 302, headers: { location: "http://127.0.0.1:1/" } });
		expect(await here("vm list")).toMatchObject({ code: 1 });
	});

	test("a list without an end is not followed for ever in one page", async () => {
		let pages = 0;
		api.handlers.vmList = () => {
			pages += 1;
			return { items: [fixtureVm({ name: `vm-${pages}` })], nextPageToken: pages < 3 ? `page-${pages}` : null };
		};
		api.handlers.nodeList = () => page();
		const { out } = await here("vm list --output json");
		expect(JSON.parse(out).map(({ name }: { name: string }) => name)).toEqual(["vm-1", "vm-2", "vm-3"]);
		expect(api.requests.map(({ query }) => query.get("pageToken"))).toEqual([null, "page-1", "page-2"]);
	});

	test("what was read without a quorum is marked", async () => {
		api.handlers.vmList = () => Response.json(page(), { headers: { "x-lqx-stale": "true" } });
		const { code, err } = await here("vm list --output json");
		expect(code).toBe(0);
		expect(err).toContain("no quorum");
	});
});

describe("options of every command", () => {
	test("may stand before the noun, before the verb and behind it; the last one wins", async () => {
		api.handlers.vmList = () => page(fixtureVm());
		for (const words of [
			`--output json --run-dir ${runDir} vm list`,
			`vm --output json --run-dir ${runDir} list`,
			`vm list --run-dir ${runDir} -o json`,
			`--output yaml vm --output table list -o json --run-dir ${runDir}`,
		]) {
			const { code, out } = await cli(words);
			expect({ words, code }).toEqual({ words, code: 0 });
			expect(JSON.parse(out)).toHaveLength(1);
		}
	});

	test("a value that looks like an option of ours stays the value of its own option", async () => {
		api.handlers.vmCreate = () => problem(409, "already-exists", "no");
		await cli(["vm", "create", "web", "--description=-q", "--run-dir", runDir]);
		expect(api.requests.at(-1)?.json).toMatchObject({ description: "-q" });
	});

	test("environment variables, and options over them", async () => {
		api.handlers.vmList = () => page();
		expect((await cli("vm list -o json", { environment: { LIMIQUANTIX_RUN_DIR: runDir } })).code).toBe(0);
		const wrong = { LIMIQUANTIX_RUN_DIR: "/nonexistent", LIMIQUANTIX_SERVER: "http://127.0.0.1:1" };
		expect((await here("vm list -o json", { environment: wrong })).code).toBe(0);
	});
});

test("Ctrl-C in the middle of a request ends with 130", async () => {
	const io = fakeIo();
	api.handlers.vmList = () => {
		io.interrupt();
		return new Promise(() => {});
	};
	const { code, err } = await here("vm list", { io });
	expect({ code, err }).toEqual({ code: 130, err: "Error: Interrupted.\n" });
});
