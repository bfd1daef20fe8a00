/** `cluster join`: what it says first, what it asks, and how it waits for a node that begins anew. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { JoinClash } from "../../model/cluster.ts";
import { fixtureClusterStatus, fixtureJoinPreview, fixtureMember } from "../../testing/api/fake-cluster.ts";
import { type FakeApi, fakeApi, problem } from "../../testing/cli/fake-api.ts";
import { fakeIo } from "../../testing/cli/fake-io.ts";
import { expectGolden } from "../../testing/cli/golden.ts";
import { cli } from "../../testing/cli/run-cli.ts";
import { fixtureId, fixtureNode } from "../../testing/fixtures.ts";

const [formerId, newId] = [fixtureId(0x31), fixtureId(0x32)];
const renamable: JoinClash = {
	kind: "vm",
	name: "web",
	message: "A VM of the cluster has this name.",
	renamable: true,
};
const fixed: JoinClash = {
	kind: "network",
	name: "default",
	message: "Its subnet 10.20.0.0/24 is that of the network lan.",
	renamable: false,
};
const preview = fixtureJoinPreview({
	...{ clusterName: "berlin", memberNames: ["node1", "node2"], joining: false },
	brings: { vms: 2, volumes: 3, images: 0, networks: 1, pools: 1 },
});

let folder: string;
let api: FakeApi;
/** What the node says of itself after it has joined, one look after the other; the last one stays. */
let looks: (() => object | Response)[];
let clashes: JoinClash[];
let recovered: boolean;
const phase = (name: "joining" | "ready", reason: string | null = null) => {
	const { status, ...node } = fixtureNode({ id: newId, name: "node3" });
	return { ...node, status: { ...status, phase: name, reason } };
};
const health = (nodeId: string, quorum = true) => ({ version: "0", nodeId, leader: null, quorum, appliedIndex: 1 });
const notYet = {};
const joined = () => api.requests.some(({ json }) => joinBody(json) && !joinBody(json)?.preview);
const joinBody = (json: unknown) =>
	typeof json === "object" && json !== null ? (json as { preview?: boolean }) : null;

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	clashes = [];
	recovered = false;
	looks = [() => phase("ready")];
	let now: () => object | Response = () => health(newId);
	api = fakeApi(
		{ runDir: folder },
		{
			clusterJoin: ({ json }) => ({
				...preview,
				...{ clashes, recovered },
				joining: joinBody(json)?.preview !== true && clashes.length === 0,
			}),
			clusterStatusGet: () =>
				fixtureClusterStatus({ nodeId: formerId, members: [fixtureMember({ nodeId: formerId, name: "node3" })] }),
			healthGet: () => {
				if (!joined()) return health(formerId);
				now = (looks.length > 1 ? looks.shift() : looks[0]) ?? now;
				const seen = now();
				return "generation" in seen || seen === notYet ? health(newId) : seen;
			},
			nodeGet: () => (now() === notYet ? problem(404, "not-found", "There is no node with the id.") : now()),
		},
	);
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
const here = (words: string, options: Parameters<typeof cli>[1] = {}) =>
	cli([...words.split(" "), "--run-dir", folder], options);
const bodies = () => api.requests.flatMap(({ operation, json }) => (operation === "clusterJoin" ? [json] : []));

test("looks first, asks, joins, and waits until the node is ready", async () => {
	looks = [
		() => health(formerId),
		() => problem(503, "unavailable", "It is starting."),
		() => health(newId, false),
		() => notYet,
		() => phase("joining"),
		() => phase("joining", "Imports what it had."),
		() => phase("ready"),
	];
	const io = fakeIo({ tty: true });
	io.feed("yes\n");
	const words = "cluster join node1 10.0.0.2:9000 --token lqxjoin1_x --address 10.0.0.3 --witness --rename";
	const { code, out, err } = await here(words, { io });
	expect({ code, out }).toEqual({ code: 0, out: "node3 is a member of berlin.\n" });
	const request = {
		...{ token: "lqxjoin1_x", addresses: ["node1:8444", "10.0.0.2:9000"], ownAddresses: ["10.0.0.3:8444"] },
		...{ witness: true, rename: true },
	};
	expect(bodies()).toEqual([{ ...request, preview: true }, request]);
	expect(err).toContain("Comes along: 2 VMs, 3 volumes, 1 network, 1 pool.");
	expect(err).toContain("Make this node a member of berlin? [y/N]");
	expect(api.requests.every(({ headers }) => headers.get("authorization") === null)).toBe(true);
});

test("warns when its clock is not that of the member", async () => {
	const clockOffsetMs = 12_340;
	api.handlers.clusterJoin = ({ json }) => ({ ...preview, clockOffsetMs, joining: joinBody(json)?.preview !== true });
	const { err } = await here("cluster join --token x --yes");
	expect(err).toContain("Warning: the clock of this node is 12.3 s ahead of that of the member that was asked.");
	api.handlers.clusterJoin = ({ json }) => ({
		...{ ...preview, clockOffsetMs, clockOf: "node-7" },
		joining: joinBody(json)?.preview !== true,
	});
	expect((await here("cluster join --token x --yes")).err).toContain(
		"Warning: the clock of this node is 12.3 s ahead of the time that node-7, the member that was asked, goes by.",
	);
	api.handlers.clusterJoin = ({ json }) => ({
		...preview,
		clockOffsetMs: -900,
		joining: joinBody(json)?.preview !== true,
	});
	expect((await here("cluster join --token x --yes")).err).not.toContain("clock");
});

test("says once what the node says when nobody reaches it, and who is admitted again may stay who it is", async () => {
	const members = [fixtureMember({ nodeId: newId })];
	const stuck = {
		nodeId: newId,
		arriving: true,
		quorum: false,
		problem: "The members do not reach it at 10.0.0.3:8444.",
	};
	api.handlers.clusterStatusGet = () => fixtureClusterStatus({ ...stuck, members });
	looks = [...Array.from({ length: 20 }, () => () => health(newId, false)), () => phase("ready")];
	// Its pauses pass at once, and count.
	let passedMs = 0;
	const clock: Clock = {
		nowMs: systemClock.nowMs,
		monotonicMs: () => systemClock.monotonicMs() + passedMs,
		schedule(delayMs, callback) {
			if (delayMs > 1000) return systemClock.schedule(delayMs, callback);
			passedMs += delayMs;
			return systemClock.schedule(0, callback);
		},
	};
	const { code, out, err } = await here("cluster join --token x --yes", { io: fakeIo({ clock }) });
	expect({ code, out }).toEqual({ code: 0, out: "node3 is a member of berlin.\n" });
	expect(err.split("The members do not reach it at 10.0.0.3:8444.")).toHaveLength(2);
});

test("to whoever is a copy of a member, no names help", async () => {
	clashes = [{ kind: "node", name: "node3", message: "The cluster has the node that node3 is.", renamable: false }];
	const { code, err } = await here("cluster join --token x --yes");
	expect(code).toBe(1);
	expect(err).toContain("A copy of a member does not join beside it.");
	expect(err).not.toContain("Change or delete");
});

describe("of a node whose cluster was recovered elsewhere", () => {
	beforeEach(() => {
		recovered = true;
	});

	test("wants its name typed, after it has said what is given up", async () => {
		const io = fakeIo({ tty: true });
		io.feed("node3\n");
		const { code, err } = await here("cluster join --token x", { io });
		expect(code).toBe(0);
		expect(err).toContain("What was changed here since is given up");
		expect(bodies()).toEqual([
			{ token: "x", preview: true },
			{ token: "x", confirmName: "node3" },
		]);
	});

	test("does not without, or with another one", async () => {
		expect(await here("cluster join --token x --yes")).toMatchObject({
			code: 2,
			err: expect.stringContaining("--confirm node3"),
		});
		const other = await here("cluster join --token x --yes --confirm node1");
		expect(other.err).toContain("The name of this node is node3");
		expect(bodies()).toEqual(Array(2).fill({ token: "x", preview: true }));
	});
});

test("says what it waits for, one line for each", async () => {
	looks = [
		() => health(formerId),
		() => health(newId, false),
		() => phase("joining", "Imports."),
		() => phase("ready"),
	];
	const { code, err } = await here("cluster join --token x --yes");
	expect(code).toBe(0);
	expectGolden(join(import.meta.dir, "golden/cluster-join.txt"), err);
});

describe("clashes", () => {
	test("are a table, and nothing is done", async () => {
		clashes = [renamable, fixed];
		const { code, out, err } = await here("cluster join --token x --yes");
		expect({ code, joined: joined() }).toEqual({ code: 1, joined: false });
		expectGolden(join(import.meta.dir, "golden/cluster-join-clashes.txt"), `${out}\n${err}`);
	});

	test("of names are no obstacle with --rename; without it is said that it helps", async () => {
		clashes = [renamable];
		expect((await here("cluster join --token x --yes")).err).toContain("With --rename these get other names.");
		expect(joined()).toBe(false);
		api.handlers.clusterJoin = ({ json }) => ({ ...preview, clashes, joining: joinBody(json)?.preview !== true });
		expect((await here("cluster join --token x --yes --rename")).code).toBe(0);
	});

	test("that came up between the look and the join are told as well", async () => {
		api.handlers.clusterJoin = ({ json }) => ({ ...preview, clashes: joinBody(json)?.preview ? [] : [fixed] });
		const { code, out } = await here("cluster join --token x --yes");
		expect({ code, named: out.includes("10.20.0.0/24") }).toEqual({ code: 1, named: true });
	});

	test("are fields of the problem for programs, and --preview ends with 1 as well", async () => {
		clashes = [fixed];
		const { code, out, err } = await here("cluster join --token x --preview -o json");
		expect({ code, clashes: JSON.parse(out).clashes }).toEqual({ code: 1, clashes });
		expect(JSON.parse(err).errors).toEqual([{ path: "network default", message: fixed.message }]);
	});
});

test("--preview changes nothing and asks nothing", async () => {
	const { code, out } = await here("cluster join --token x --preview");
	expect(code).toBe(0);
	expect(out).toStartWith("Cluster berlin, with node1, node2.\n");
	expect(bodies()).toEqual([{ token: "x", preview: true }]);
});

describe("the token", () => {
	test("comes from standard input, the environment, or is asked for without echo", async () => {
		const piped = fakeIo();
		piped.feed(" secret-1\n");
		piped.endInput();
		await here("cluster join --token - --preview", { io: piped });
		await here("cluster join --preview", { environment: { LIMIQUANTIX_JOIN_TOKEN: "secret-2" } });
		const asked = fakeIo({ tty: true });
		asked.feed("secret-3\r");
		const { out, err } = await here("cluster join --preview", { io: asked });
		expect(bodies().map((body) => (body as { token: string }).token)).toEqual(["secret-1", "secret-2", "secret-3"]);
		expect(out + err).not.toContain("secret-3");
	});

	test("is needed", async () => {
		expect((await here("cluster join --preview")).code).toBe(2);
		expect(api.requests).toEqual([]);
	});

	test("that is no good is told as the member says it", async () => {
		// As the member refuses it: that says nothing of who asks, over this node's own socket.
		api.handlers.clusterJoin = () => problem(401, "unauthenticated", "This token is used up.");
		expect(await here("cluster join --token x")).toMatchObject({ code: 1, err: "Error: This token is used up.\n" });
	});
});

describe("the node begins anew", () => {
	test("also when its answer was lost over it", async () => {
		let asked = 0;
		const server = api.handlers.clusterJoin;
		api.handlers.clusterJoin = async (request) => {
			asked += 1;
			if (asked === 1) return (await server?.(request)) ?? null;
			// Cuts the connection before there is an answer.
			setImmediate(() => void api.stop());
			return new Promise(() => {});
		};
		const io = fakeIo();
		const running = here("cluster join --token x --yes --timeout 1m", { io });
		await io.until(({ err }) => err.includes("The answer was lost"));
		const again = fakeApi({ runDir: folder }, { healthGet: () => health(newId), nodeGet: () => phase("ready") });
		const { code, out } = await running;
		await again.stop();
		expect({ code, out }).toEqual({ code: 0, out: "node3 is a member of berlin.\n" });
	});

	test("and is a member also when libvirt is away; that is said", async () => {
		const { status, ...node } = phase("joining");
		const away = {
			phase: "not-ready" as const,
			hypervisor: "disconnected" as const,
			reason: "libvirt does not answer.",
		};
		looks = [() => ({ ...node, status: { ...status, ...away } })];
		const { code, out, err } = await here("cluster join --token x --yes");
		expect({ code, out }).toEqual({ code: 0, out: "node3 is a member of berlin.\n" });
		expect(err).toContain("Warning: node3 is not-ready: libvirt does not answer.");
	});

	test("--no-wait does not wait", async () => {
		expect((await here("cluster join --token x --yes --no-wait")).out).toContain("cluster status");
		expect(api.called).not.toContain("nodeGet");
	});

	test("--timeout ends the waiting and says what for", async () => {
		looks = [() => phase("joining", "It is far behind.")];
		const { code, err } = await here("cluster join --token x --yes --timeout 20ms");
		expect(code).toBe(1);
		expect(err).toContain("It is far behind.");
		expect(err).toContain("It goes on by itself");
	});

	test("Ctrl-C ends the waiting, not the joining", async () => {
		looks = [() => phase("joining")];
		const io = fakeIo();
		const running = here("cluster join --token x --yes", { io });
		await io.until(({ err }) => err.includes("it is joining"));
		io.interrupt();
		const { code, err } = await running;
		expect({ code, told: err.includes("The node goes on by itself") }).toEqual({ code: 130, told: true });
	});

	test("what went wrong while it waits is told", async () => {
		api.handlers.nodeGet = () => problem(403, "forbidden", "Not you.");
		expect(await here("cluster join --token x --yes")).toMatchObject({ code: 1 });
	});
});
