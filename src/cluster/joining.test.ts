/**
 * Whether a node that is a member already may join another cluster: only the one that its own was recovered as. And how
 * long a node asks a cluster that cannot answer yet.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, shiftedClock, systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { ClusterJoin } from "../model/cluster.ts";
import type { Brought } from "../model/join-clashes.ts";
import { formatAddress } from "../peer/address.ts";
import { formatToken, newSecret } from "../peer/join-token.ts";
import { closeAll, clusterId, strangeAuthority, testId, testIdentity, testNode } from "../peer/test-peers.ts";
import { fixtureNfs } from "../testing/fixtures.ts";
import type { JoinAnswer, JoinFacts } from "./admission.ts";
import { hasToLeave, joinCluster, othersPauseMs } from "./joining.ts";
import { decodePacked, encodeJson } from "./methods.ts";

let dataDir: string;
beforeEach(() => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-joining-"));
});
afterEach(async () => {
	await closeAll();
	rmSync(dataDir, { recursive: true, force: true });
});

/** Pauses between attempts pass at once; all other limits are as long as they are. */
function impatientClock(): Clock {
	let passedMs = 0;
	return {
		nowMs: () => systemClock.nowMs(),
		monotonicMs: () => systemClock.monotonicMs() + passedMs,
		schedule(delayMs, callback) {
			if (delayMs !== othersPauseMs) return systemClock.schedule(delayMs, callback);
			passedMs += delayMs;
			return systemClock.schedule(0, callback);
		},
	};
}

type Berlin = {
	/** VMs that run on the host of the node that joins. */
	runs?: string[] | null;
	wasMember?: boolean;
	/** How many requests it refuses at first, and with what. */
	refusals?: { count: number; error: AppError };
	/** How many requests are pushed out by others that come after them. */
	pushedOut?: number;
	/** How far the member's clock is ahead, and that of the node that joins. */
	clockAheadMs?: number;
	ownAheadMs?: number;
	/** What the member says of itself, where it is not of an older version. */
	asked?: JoinAnswer["asked"];
	/** What the node that joins has. */
	has?: Partial<Pick<Brought, "vms" | "volumes" | "images" | "pools">>;
	alone?: boolean;
	/** What the member finds in the way. */
	clashes?: JoinAnswer["clashes"];
};
const noLeader = new AppError("unavailable", "No leader confirmed that this is the newest state.");

/** A member of "berlin" that says whether it knows the node from before, and would admit it. */
async function berlin(options: Berlin) {
	const { wasMember, refusals, pushedOut = 0, runs = null, clockAheadMs = 0, ownAheadMs = 0, has = {} } = options;
	let refused = 0;
	let pushed = 0;
	const asked: ("preview" | "admit")[] = [];
	const saidToRun: (readonly string[] | undefined)[] = [];
	const answer: JoinAnswer = {
		...{ clusterId, clusterName: "berlin", memberNames: ["node-1"], clashes: [], members: [] },
		...(options.clashes === undefined ? {} : { clashes: options.clashes }),
		...(wasMember === undefined ? {} : { wasMember }),
		...(options.asked === undefined ? {} : { asked: options.asked }),
	};
	const { node, address } = await testNode(1, {
		clock: shiftedClock(systemClock, clockAheadMs),
		...(pushedOut > 0 ? { limits: { admission: { total: 1, perAddress: 1 } } } : {}),
		handlers: {
			join: {
				async redeem() {
					if (pushed < pushedOut) {
						pushed += 1;
						connect(address.port, address.host).on("error", () => {});
						return new Promise(() => {});
					}
					if (refusals !== undefined && refused < refusals.count) {
						refused += 1;
						throw refusals.error;
					}
					return "ok";
				},
				async admit({ facts }) {
					const { preview, belongings } = decodePacked<JoinFacts>(facts);
					asked.push(preview ? "preview" : "admit");
					saidToRun.push(belongings.runs);
					return { nodeId: "", certificatePem: "", authoritiesPem: "", configuration: encodeJson(answer) };
				},
			},
		},
	});
	const { authorityFingerprint } = node.identity;
	const secret = newSecret(systemRandom);
	const token = formatToken({ tokenId: testId(9), secret, authorityFingerprint, clusterId, addresses: [address] });
	const ask = (memberOf: string | null, request: Partial<ClusterJoin> = {}, checkMayJoin = () => {}) =>
		joinCluster(
			{
				...{ dataDir, nodeId: testId(2), nodeName: "node-2", memberOf, build: "test", ownAddresses: [address] },
				belongings: async () => ({
					...{ pools: [], networks: [], images: [], volumes: [], vms: [], nodeId: testId(2), nodeName: "node-2" },
					...has,
				}),
				running: async () => runs,
				...{ arriving: null, checkMayJoin, alone: options.alone ?? false },
				...{ clock: shiftedClock(impatientClock(), ownAheadMs), random: systemRandom, logger: silentLogger },
			},
			{ token, ...request },
		);
	return { ask, asked, saidToRun, refused: () => refused };
}
const before = testId(0xd);

describe("a pool that nodes share", () => {
	const nas = { id: testId(0xe), name: "nas", type: "nfs", config: fixtureNfs } as const;

	test("keeps its node from being admitted also where the member, of an older version, says nothing of it", async () => {
		const { ask, asked } = await berlin({ alone: true, has: { pools: [nas] } });
		const clash = {
			kind: "pool",
			name: "nas",
			message: expect.stringContaining("not brought along"),
			renamable: false,
		};
		expect(await ask(null, { rename: true })).toMatchObject({ joining: false, clashes: [clash] });
		expect(asked).toEqual(["preview"]);
	});

	test("is said once", async () => {
		const clashes = [{ kind: "pool", name: "nas", message: "It is in the way.", renamable: false }] as const;
		const { ask } = await berlin({ alone: true, has: { pools: [nas] }, clashes: [...clashes] });
		expect(await ask(null, { preview: true })).toMatchObject({ clashes });
	});

	test("that is made after the member was asked keeps it from being admitted, too", async () => {
		const pools: Brought["pools"][number][] = [];
		const { ask, asked } = await berlin({ alone: true, has: { pools } });
		const making = ask(null, {}, () => void pools.push(nas));
		await expect(making).rejects.toMatchObject({
			...{ code: "wrong-state", message: expect.stringContaining("The storage pool nas: Pools of this type") },
		});
		expect(asked).toEqual(["preview"]);
	});

	test("is no matter of a node that was a member of this cluster, or is not alone in its own", async () => {
		for (const options of [{ alone: true, wasMember: true }, { alone: false }]) {
			const { ask } = await berlin({ ...options, has: { pools: [nas] } });
			expect(await ask(null, { preview: true })).toMatchObject({ clashes: [] });
		}
	});
});

test("a node of its own joins whatever it has a token of", async () => {
	const { ask } = await berlin({});
	expect(await ask(null, { preview: true })).toMatchObject({ clusterName: "berlin", recovered: false, joining: false });
});

test.each([
	[3 * 3_600_000, "The clock of this node is 3 h behind that of the member"],
	[-600_000, "The clock of this node is 10 min ahead of that of the member"],
	[-20 * 365 * 86_400_000, "The clock of this node is 7300 d ahead of that of the member"],
])(
	"one whose clock is not the member's, which is %d ms ahead, does not join, and is told so",
	async (clockAheadMs, said) => {
		const { ask, asked } = await berlin({ clockAheadMs });
		const refused = { code: "wrong-state", message: expect.stringContaining(said) };
		await expect(ask(null)).rejects.toMatchObject(refused);
		await expect(ask(null, { preview: true })).rejects.toMatchObject(refused);
		expect(asked).toEqual(["preview", "preview"]);
	},
);

describe("the member that is asked", () => {
	const hourMs = 3_600_000;

	test("is named, where its clock is not that of the node that joins", async () => {
		const { ask } = await berlin({ clockAheadMs: hourMs, asked: { name: "node-1", agreedAheadMs: 0 } });
		await expect(ask(null)).rejects.toMatchObject({
			message: expect.stringContaining("is 1 h behind the time that node-1, the member that was asked, goes by."),
		});
	});

	test("may have a clock that is off: the time that it goes by counts, as most members agree on it", async () => {
		const asked = { name: "node-1", agreedAheadMs: -hourMs };
		const right = await (await berlin({ clockAheadMs: hourMs, asked })).ask(null, { preview: true });
		expect(right).toMatchObject({ joining: false, clockOf: "node-1" });
		expect(Math.abs(right.clockOffsetMs ?? 0)).toBeLessThan(1_000);
		// One that is off by as much is not let in for that.
		const { ask } = await berlin({ clockAheadMs: hourMs, ownAheadMs: hourMs, asked });
		await expect(ask(null)).rejects.toMatchObject({
			message: expect.stringContaining("is 1 h ahead of the time that"),
		});
	});

	test("says nothing in an older version, and nonsense is nothing", async () => {
		for (const asked of [undefined, null, { name: 7, agreedAheadMs: "x" }] as unknown as JoinAnswer["asked"][]) {
			const { ask } = await berlin({ clockAheadMs: 2_000, ...(asked === undefined ? {} : { asked }) });
			const { clockOffsetMs, clockOf } = await ask(null, { preview: true });
			expect([Math.round((clockOffsetMs ?? 0) / 1_000), clockOf]).toEqual([-2, null]);
		}
	});
});

test("one whose clock is so far ahead that the member's certificate has ended for it is told that, and the dates", async () => {
	const { ask, asked } = await berlin({ ownAheadMs: 9 * 365 * 86_400_000 });
	await expect(ask(null)).rejects.toMatchObject({
		code: "forbidden",
		message: expect.stringMatching(/good from .* to .* by the clock .* one of the two clocks is wrong/),
	});
	expect(asked).toEqual([]);
});

test("a smaller difference is said", async () => {
	const { clockOffsetMs } = await (await berlin({ clockAheadMs: 12_000 })).ask(null, { preview: true });
	expect(Math.abs((clockOffsetMs ?? 0) + 12_000)).toBeLessThan(1_000);
});

test("it says what runs on its host, when libvirt says so: a member knows what of that is another node's", async () => {
	for (const runs of [[testId(5)], null]) {
		const { ask, saidToRun } = await berlin({ runs });
		await ask(null, { preview: true });
		expect(saidToRun).toEqual([runs ?? undefined]);
	}
});

test("one that holds anything does not become a witness, which is said before anybody is asked", async () => {
	const volume = { id: testId(6), name: "data", nodeId: testId(2), poolId: testId(7) };
	const vm = { id: testId(8), name: "web", nodeId: testId(2), spec: { nics: [] } };
	const holdings: [Berlin["has"], string][] = [
		[{ vms: [vm] }, "VMs: 1"],
		[{ volumes: [volume, volume] }, "volumes: 2"],
		[{ volumes: [volume], images: [volume] }, "volumes: 1, images: 1"],
	];
	for (const [has = {}, counts] of holdings)
		for (const preview of [true, false]) {
			const { ask, asked } = await berlin({ has });
			await expect(ask(null, { witness: true, preview })).rejects.toMatchObject({
				...{ code: "wrong-state", message: expect.stringContaining(`this node has some (${counts}).`) },
			});
			expect(asked).toEqual([]);
		}
	expect(await (await berlin({})).ask(null, { witness: true, preview: true })).toMatchObject({ joining: false });
});

test("a member joins no other cluster, nor its own again", async () => {
	for (const [wasMember, memberOf] of [
		[false, before],
		// Of a version that does not say.
		[undefined, before],
		[true, clusterId],
	] as const) {
		const { ask, asked } = await berlin(wasMember === undefined ? {} : { wasMember });
		await expect(ask(memberOf)).rejects.toMatchObject({
			code: "wrong-state",
			message: expect.stringContaining("leave"),
		});
		expect(asked).toEqual(["preview"]);
	}
});

test("it joins the one that its own was recovered as, once its name is typed", async () => {
	const { ask, asked } = await berlin({ wasMember: true });
	expect(await ask(before, { preview: true })).toMatchObject({ recovered: true, joining: false });
	for (const confirmName of [undefined, "node-1"])
		await expect(ask(before, confirmName === undefined ? {} : { confirmName })).rejects.toMatchObject({
			...{ code: "invalid", fields: [{ path: "/confirmName" }] },
		});
	expect(asked).toEqual(["preview", "preview", "preview"]);
	// The member of this test has no certificate to give.
	await expect(ask(before, { confirmName: "node-2" })).rejects.toThrow();
	expect(asked.at(-1)).toBe("admit");
});

test("a node that somebody has come to meanwhile breaks off before it is admitted anywhere", async () => {
	const { ask, asked } = await berlin({});
	const checkMayJoin = () => {
		expect(asked).toEqual(["preview"]);
		throw hasToLeave();
	};
	await expect(ask(null, {}, checkMayJoin)).rejects.toMatchObject({ code: "wrong-state" });
	expect(asked).toEqual(["preview"]);
});

test("a cluster that has no leader yet is asked again, before anything else is", async () => {
	const { ask, asked, refused } = await berlin({ refusals: { count: 3, error: noLeader } });
	expect(await ask(null, { preview: true })).toMatchObject({ clusterName: "berlin", joining: false });
	expect([refused(), asked]).toEqual([3, ["preview"]]);
});

test("one that never has one is given up after a while, with what it said", async () => {
	const { ask, asked, refused } = await berlin({ refusals: { count: Number.POSITIVE_INFINITY, error: noLeader } });
	await expect(ask(null)).rejects.toMatchObject({
		code: "unavailable",
		message: expect.stringContaining("No leader confirmed"),
	});
	expect(refused()).toBeGreaterThan(10);
	expect(asked).toEqual([]);
});

test("one that has no room for another connection now is asked again", async () => {
	const { ask, asked } = await berlin({ pushedOut: 2 });
	expect(await ask(null, { preview: true })).toMatchObject({ clusterName: "berlin", joining: false });
	expect(asked).toEqual(["preview"]);
});

test("what the cluster refuses for good is not asked again", async () => {
	const error = new AppError("forbidden", "Upgrade the members first.");
	const { ask, refused } = await berlin({ refusals: { count: Number.POSITIVE_INFINITY, error } });
	await expect(ask(null)).rejects.toMatchObject({ code: "forbidden", message: "Upgrade the members first." });
	expect(refused()).toBe(1);
});

test("members that are not there are named, and what to do", async () => {
	const { ask } = await berlin({});
	const addresses = ["127.0.0.1:1", "127.0.0.2:1"];
	await expect(ask(null, { addresses })).rejects.toMatchObject({
		code: "unavailable",
		message:
			"No member of the cluster was reached. Nobody listens at 127.0.0.1:1. Nobody listens at 127.0.0.2:1. Is LimiQuantix running there, with this peer-listen, and does a firewall let it through? Others are asked with `limiquantix cluster join HOST:PORT`.",
	});
});

test("who is there but does not belong to the token is named", async () => {
	const { ask, asked } = await berlin({});
	const stranger = await testNode(4, { identity: await testIdentity(4, { by: strangeAuthority }) });
	const address = formatAddress(stranger.address);
	await expect(ask(null, { addresses: [address] })).rejects.toMatchObject({
		code: "forbidden",
		message: `The node at ${address} does not belong to the cluster of the token. Nothing was sent to it.`,
	});
	expect(asked).toEqual([]);
});
