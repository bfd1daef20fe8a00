/** `cluster status`, `init`, `rename`, `readdress`, `transfer-leader`, `leave`, `remove` and `token`, against a fake API. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fixtureClusterStatus, fixtureMember } from "../../testing/api/fake-cluster.ts";
import { type FakeApi, fakeApi, page, problem } from "../../testing/cli/fake-api.ts";
import { fakeIo } from "../../testing/cli/fake-io.ts";
import { expectGolden } from "../../testing/cli/golden.ts";
import { cli } from "../../testing/cli/run-cli.ts";
import { fixtureClusterObject, fixtureId, fixtureJoinToken, fixtureNode, fixtureVm } from "../../testing/fixtures.ts";

const [ownId, otherId, witnessId] = [fixtureId(0x21), fixtureId(0x22), fixtureId(0x23)];
const three = fixtureClusterStatus({
	...{ nodeId: ownId, leaderNodeId: otherId, quorumSize: 2, voterCount: 3, failuresTolerated: 1 },
	members: [
		fixtureMember({ nodeId: ownId, name: "node1", role: "follower", latencyMs: null, clockOffsetMs: 0 }),
		fixtureMember({
			nodeId: otherId,
			name: "node2",
			latencyMs: 0.42,
			clockOffsetMs: -7_500_000,
			clockOff: true,
			peerAddresses: ["10.0.0.2:8444", "[fd00::2]:8444"],
		}),
		fixtureMember({
			...{ nodeId: witnessId, name: "arbiter", role: "learner", witness: true, reachable: false },
			...{ lagEntries: 1234, version: null, features: null, latencyMs: null, peerAddresses: [] },
		}),
	],
});
const cluster = {
	...fixtureClusterObject({ name: "berlin" }),
	...{ version: "0", quorum: true, leaderNodeId: otherId, demoAvailable: false, firstRun: false },
};

let folder: string;
let api: FakeApi;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	const names: Record<string, string> = { [ownId]: "node1", [otherId]: "node2", [witnessId]: "arbiter" };
	const node = (id: string) => fixtureNode({ id, name: names[id] ?? "?", peerAddresses: ["10.0.0.1:8444"] });
	api = fakeApi(
		{ runDir: folder },
		{
			healthGet: () => ({ version: "0", nodeId: ownId, leader: otherId, quorum: true, appliedIndex: 1 }),
			clusterGet: () => cluster,
			clusterStatusGet: () => three,
			nodeList: () => page(node(ownId), node(otherId), node(witnessId)),
			nodeGet: ({ id = "" }) => node(id),
			nodeUpdate: ({ id = "", json }) => ({ ...node(id), ...(json as object) }),
			clusterUpdate: ({ json }) => ({ ...cluster, ...(json as object) }),
		},
	);
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
const here = (words: string, options: Parameters<typeof cli>[1] = {}) =>
	cli([...words.split(" "), "--run-dir", folder], options);
const sent = (operation: string) => api.requests.findLast((request) => request.operation === operation);

describe("cluster status", () => {
	test("as people see it: healthy, without a quorum, alone, removed", async () => {
		const cases = {
			healthy: three,
			"none more may fail": fixtureClusterStatus({
				...three,
				failuresTolerated: 0,
				members: three.members.slice(0, 2),
			}),
			"no quorum": fixtureClusterStatus({
				...{ ...three, quorum: false, leaderNodeId: null, problem: "No leader is known since 12 s." },
				members: [
					fixtureMember({ nodeId: ownId, name: "node1", role: "follower", recovering: true }),
					fixtureMember({ nodeId: otherId, name: "node2", role: "follower", reachable: false, lagEntries: null }),
					fixtureMember({ nodeId: witnessId, name: "node\u001b[2J3", role: "learner", receivesSnapshot: true }),
				],
			}),
			"as many vote as may": fixtureClusterStatus({
				...{ ...three, quorumSize: 8, voterCount: 15, failuresTolerated: 7 },
				members: [
					...three.members.slice(0, 2),
					...Array.from({ length: 13 }, (_, at) =>
						fixtureMember({ nodeId: fixtureId(0x30 + at), name: `node${at + 3}`, role: "follower" }),
					),
					fixtureMember({ nodeId: fixtureId(0x50), name: "node16", role: "learner" }),
				],
			}),
			alone: fixtureClusterStatus(),
			removed: fixtureClusterStatus({ quorum: false, removed: true }),
		};
		let text = "";
		for (const [name, status] of Object.entries(cases)) {
			api.handlers.clusterStatusGet = () => status;
			const { code, out } = await here("cluster status");
			expect({ name, code }).toEqual({ name, code: status.quorum ? 0 : 3 });
			text += `# ${name}\n${out}\n`;
		}
		expectGolden(join(import.meta.dir, "golden/cluster-status.txt"), text);
	});

	test("for programs, and ids alone", async () => {
		expect(JSON.parse((await here("cluster status -o json")).out)).toEqual(three);
		expect((await here("cluster status -q")).out).toBe(`${ownId}\n${otherId}\n${witnessId}\n`);
		api.handlers.clusterStatusGet = () => problem(503, "unavailable", "Not now.");
		expect((await here("cluster status")).code).toBe(3);
	});

	test("--watch shows what changed, waits for a node that is away, and ends with Ctrl-C", async () => {
		let asked = 0;
		api.handlers.clusterStatusGet = () => {
			asked += 1;
			if (asked === 3) return problem(503, "unavailable", "It is away.");
			return asked <= 2 ? three : { ...three, term: asked, quorum: false };
		};
		const io = fakeIo();
		const running = here("cluster status --watch", { io });
		await io.until(({ out }) => out.includes("No quorum"));
		io.interrupt();
		const { code, out, err } = await running;
		expect(code).toBe(0);
		expect(err).toContain("It is away.");
		expect(out.split("1 more may fail")).toHaveLength(2);
		expect(out).not.toContain("\u001b");
	});

	test("--watch draws it anew on a terminal, is one object a line in JSON, and fails at once when nobody is there", async () => {
		for (const [words, mark] of [
			["cluster status --watch", "\u001b[H\u001b[J"],
			["cluster status --watch -o json", `"nodeId":"${ownId}"`],
		] as const) {
			const io = fakeIo({ tty: true });
			const running = here(words, { io });
			await io.until(({ out }) => out.includes(mark));
			io.interrupt();
			expect((await running).code).toBe(0);
		}
		api.handlers.clusterStatusGet = () => problem(503, "unavailable", "It is away.");
		expect((await here("cluster status --watch")).code).toBe(3);
	});
});

test("cluster show names the leader, and gives programs its id", async () => {
	expect((await here("cluster show")).out).toMatch(/leader +node2\n/);
	expect(JSON.parse((await here("cluster show -o json")).out).leaderNodeId).toBe(otherId);
});

describe("naming, addresses, the leader", () => {
	test("init names the cluster, sets this node's addresses, and says what comes next", async () => {
		const { code, out, err } = await here("cluster init --name berlin --address 10.0.0.1 --address fd00::1");
		expect(code).toBe(0);
		expect(sent("clusterUpdate")?.json).toEqual({ name: "berlin" });
		expect(sent("nodeUpdate")).toMatchObject({
			...{ id: ownId, json: { peerAddresses: ["10.0.0.1:8444", "[fd00::1]:8444"] } },
		});
		expect(out).toBe("cluster    berlin\nnode       node1\naddresses  10.0.0.1:8444\n");
		expect(err).toContain("limiquantix cluster token create");
	});

	test("init changes nothing that is not asked for", async () => {
		api.handlers.nodeGet = ({ id = "" }) => fixtureNode({ id, name: "node1", peerAddresses: [] });
		const { code, err } = await here("cluster init");
		expect({ code, changed: api.called.filter((name) => name.endsWith("Update")) }).toEqual({ code: 0, changed: [] });
		expect(err).toContain("--address");
	});

	test("rename is of the cluster, or of a node", async () => {
		expect((await here("cluster rename paris")).out).toBe("name  paris\n");
		expect((await here("cluster rename --node node2 rack2")).out).toBe("name  rack2\n");
		expect(sent("nodeUpdate")).toMatchObject({ id: otherId, json: { name: "rack2" } });
	});

	test("readdress is of this node, or of the one named first", async () => {
		await here("cluster readdress 10.0.0.9:8444");
		expect(sent("nodeUpdate")).toMatchObject({ id: ownId, json: { peerAddresses: ["10.0.0.9:8444"] } });
		await here("cluster readdress node2 10.0.0.2:1 [fd00::2]:1");
		expect(sent("nodeUpdate")).toMatchObject({ id: otherId, json: { peerAddresses: ["10.0.0.2:1", "[fd00::2]:1"] } });
		expect((await here("cluster readdress node2")).code).toBe(2);
	});

	test("readdress to where the node is not says how to do it all the same", async () => {
		const update = api.handlers.nodeUpdate;
		const errors = [{ path: "/confirmUnreached", message: "The others do not reach node2 there." }];
		api.handlers.nodeUpdate = (request) =>
			(request.json as { confirmUnreached?: boolean }).confirmUnreached
				? (update?.(request) ?? null)
				: problem(422, "invalid", "The others do not reach node2 there.", { errors });
		const { code, err } = await here("cluster readdress node2 10.0.0.2:1");
		expect(code).toBe(2);
		expect(err).toContain("The others do not reach node2 there.\nWhen it will be there, say so with --unreached.");
		expect((await here("cluster readdress node2 10.0.0.2:1 --unreached")).code).toBe(0);
		expect(sent("nodeUpdate")?.json).toEqual({ peerAddresses: ["10.0.0.2:1"], confirmUnreached: true });
	});

	test("readdress of a stopped node asks no node, and needs the name of the other one", async () => {
		const said: unknown[] = [];
		const readdress = async (...words: unknown[]) => {
			said.push(words);
			return "node2";
		};
		const io = fakeIo({ offline: { readdress } });
		const { code, out } = await cli("cluster readdress --data-dir /srv/lqx node2 10.1.0.2:8444", { io });
		expect({ code, said }).toEqual({ code: 0, said: [["/srv/lqx", "node2", ["10.1.0.2:8444"]]] });
		expect(out).toBe("The node of /srv/lqx looks for node2 at 10.1.0.2:8444, too. It can be started.\n");
		expect((await cli("cluster readdress --data-dir /srv/lqx 10.1.0.2:8444", { io })).code).toBe(2);
	});

	test("transfer-leader names a node, or leaves it to the leader", async () => {
		api.handlers.clusterLeaderTransfer = () => ({ leaderNodeId: otherId });
		expect((await here("cluster transfer-leader")).out).toBe("node2 leads.\n");
		expect(sent("clusterLeaderTransfer")?.json).toEqual({});
		await here("cluster transfer-leader node2");
		expect(sent("clusterLeaderTransfer")?.json).toEqual({ nodeId: otherId });
	});
});

describe("cluster renew-certificate", () => {
	test("is of this node, or of the one named", async () => {
		const fingerprint = "ab".repeat(32);
		api.handlers.nodeCertificateRenew = () => ({ fingerprint, expiresAt: "2029-01-02T03:04:05.000Z" });
		const { out } = await here("cluster renew-certificate");
		expect(out).toContain(fingerprint);
		expect(out).toContain("2029-01-02T03:04:05.000Z");
		expect(sent("nodeCertificateRenew")).toMatchObject({ id: ownId });
		await here("cluster renew-certificate node2");
		expect(sent("nodeCertificateRenew")).toMatchObject({ id: otherId });
	});
});

describe("cluster leave", () => {
	test("asks, and waits until the node is a cluster of its own", async () => {
		let looks = 0;
		api.handlers.nodeLeave = () => null;
		const before = api.handlers.healthGet;
		api.handlers.healthGet = (request) => {
			if (!api.called.includes("nodeLeave")) return before?.(request) ?? null;
			looks += 1;
			if (looks === 2) return problem(503, "unavailable", "The node is starting.");
			const health = { version: "0", leader: null, appliedIndex: 0 };
			return { ...health, nodeId: looks > 2 ? fixtureId(0x99) : ownId, quorum: looks > 3 };
		};
		const io = fakeIo({ tty: true });
		io.feed("y\n");
		const { code, out, err } = await here("cluster leave", { io });
		expect({ code, out }).toEqual({ code: 0, out: "node1 has left berlin. It is a cluster of its own.\n" });
		expect(err).toContain("Take node1 out of the cluster berlin? [y/N]");
		expect(sent("nodeLeave")?.id).toBe(ownId);
		expect(looks).toBe(4);
	});

	test("of a node that was admitted and has no state gives up joining", async () => {
		api.handlers.nodeLeave = () => null;
		api.handlers.nodeGet = () => problem(404, "not-found", "There is no node with the id.");
		api.handlers.clusterStatusGet = () =>
			fixtureClusterStatus({ nodeId: ownId, arriving: true, quorum: false, members: [] });
		api.handlers.healthGet = () => {
			const left = api.called.includes("nodeLeave");
			return { version: "0", leader: null, appliedIndex: 0, nodeId: left ? fixtureId(0x99) : ownId, quorum: left };
		};
		const io = fakeIo({ tty: true });
		io.feed("y\n");
		const { code, out, err } = await here("cluster leave", { io });
		expect({ code, out }).toEqual({
			...{ code: 0, out: "The node is what it was before it joined, with its VMs.\n" },
		});
		expect(err).toContain("Give up joining?");
		expect(err).toContain("limiquantix cluster remove NODE there");
		expect(sent("nodeLeave")?.id).toBe(ownId);
	});

	test("is refused with the reason, and not without a yes", async () => {
		api.handlers.nodeLeave = () => problem(409, "in-use", "VMs are on it: web.");
		expect((await here("cluster leave")).code).toBe(2);
		expect(await here("cluster leave --yes")).toMatchObject({ code: 1, err: "Error: VMs are on it: web.\n" });
	});
});

describe("cluster remove", () => {
	beforeEach(() => {
		api.handlers.nodeRemove = () => null;
		api.handlers.vmList = () => page(...Array.from({ length: 12 }, (_, at) => fixtureVm({ name: `vm-${at}` })));
	});

	test("says what comes of it and has the name typed", async () => {
		const io = fakeIo({ tty: true });
		io.feed("node2\n");
		const { code, out, err } = await here("cluster remove node2", { io });
		expect({ code, out }).toEqual({ code: 0, out: "node2 is no member any more.\n" });
		expect(sent("nodeRemove")).toMatchObject({ id: otherId, json: { confirmName: "node2" } });
		expect(sent("vmList")?.query.get("nodeId")).toBe(otherId);
		expectGolden(join(import.meta.dir, "golden/cluster-remove.txt"), `${err}\n`);
	});

	test("does nothing when another name is typed, or none can be", async () => {
		const io = fakeIo({ tty: true });
		io.feed("node1\n");
		expect(await here("cluster remove node2", { io })).toMatchObject({ code: 1 });
		expect(await here("cluster remove node2")).toMatchObject({ code: 2, err: expect.stringContaining("--confirm") });
		expect((await here("cluster remove node2 --confirm node1")).code).toBe(1);
		expect(api.called).not.toContain("nodeRemove");
	});

	test("takes the name as an option", async () => {
		expect((await here(`cluster remove ${witnessId} --confirm arbiter`)).code).toBe(0);
		expect(sent("nodeRemove")).toMatchObject({ id: witnessId, json: { confirmName: "arbiter" } });
	});
});

describe("cluster token", () => {
	const secret = "lqxjoin1_abc";
	beforeEach(() => {
		api.handlers.joinTokenCreate = () => ({
			token: fixtureJoinToken({ expiresAt: "2026-01-02T05:04:05.000Z" }),
			...{ secret, command: `limiquantix cluster join --token ${secret}` },
		});
		api.handlers.joinTokenList = () => page(fixtureJoinToken({ expiresAt: "2026-01-02T05:04:05.000Z", usesLeft: 2 }));
		api.handlers.joinTokenDelete = () => null;
	});

	test("create shows the token once, with the command for the new node", async () => {
		const { out } = await here("cluster token create --uses 2 --expires 30m");
		expect(sent("joinTokenCreate")?.json).toEqual({ uses: 2, expiresInMs: 1_800_000 });
		expectGolden(
			join(import.meta.dir, "golden/cluster-token.txt"),
			`${out}\n${(await here("cluster token list")).out}`,
		);
		expect(JSON.parse((await here("cluster token create -o json")).out).secret).toBe(secret);
		expect(sent("joinTokenCreate")?.json).toEqual({});
	});

	test("is good for a minute to a day, for 1 to 64 nodes", async () => {
		for (const words of ["--expires 30s", "--expires 25h", "--uses 0", "--uses 65", "--expires soon"])
			expect((await here(`cluster token create ${words}`)).code).toBe(2);
		expect(api.requests).toEqual([]);
	});

	test("delete asks", async () => {
		expect((await here(`cluster token delete ${fixtureId(9)}`)).code).toBe(2);
		expect((await here(`cluster token delete ${fixtureId(9)} --yes`)).code).toBe(0);
		expect(sent("joinTokenDelete")?.id).toBe(fixtureId(9));
		expect((await here("cluster token")).code).toBe(2);
	});
});
