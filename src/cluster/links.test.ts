/** Proposals on their way to the leader: what becomes of them when it is lost, and what whoever proposed is told. */
import { describe, expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import type { PeerNode } from "../peer/peer.ts";
import { PeerError } from "../peer/peer-error.ts";
import { decodeError, encodeError } from "../peer/wire.ts";
import type { Message } from "../raft/messages.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { lost, refusalError, removed, unknownOutcome } from "../store/raft/refusals.ts";
import { proposeAll } from "./forwarding.ts";
import { ClusterLinks } from "./links.ts";
import { decodeProposal, decodeProposals, encodeProposals } from "./methods.ts";

const data = new Uint8Array([1, 2, 3]);

/** Links whose calls are answered by `answer`. */
function linksWith(answer: PeerNode["call"]): ClusterLinks {
	const links = new ClusterLinks(silentLogger);
	const never = async (): Promise<never> => {
		throw new AppError("internal", "not asked for");
	};
	links.usePeers({ sendRaft() {}, openSnapshot: never, call: answer });
	return links;
}
const failing = (error: Error) => linksWith(() => Promise.reject(error));
const outcomeOf = (work: Promise<void>) =>
	work.then(
		() => "done",
		(error: AppError) => [error.code, error.context.outcome],
	);

describe("a proposal for the leader", () => {
	test("goes to it with its urgency", async () => {
		const calls: unknown[] = [];
		const links = linksWith(async (nodeId, method, payload) => {
			calls.push([nodeId, method, decodeProposal(payload)]);
			return new Uint8Array(0);
		});
		await links.forward("leader", data, "growing");
		expect(calls).toEqual([["leader", "propose", { data, urgency: "growing" }]]);
	});

	test("that was not sent was not proposed; one that was sent may have been", async () => {
		const close = { code: "unreachable", message: "gone" } as const;
		const [unsent, sent] = [new PeerError(close, false), new PeerError(close, true)];
		expect(await outcomeOf(failing(unsent).forward("leader", data, "growing"))).toEqual([
			"unavailable",
			"not-proposed",
		]);
		expect(await outcomeOf(failing(sent).forward("leader", data, "growing"))).toEqual(["unavailable", "unknown"]);
		const alone = new ClusterLinks(silentLogger);
		expect(await outcomeOf(alone.forward("leader", data, "growing"))).toEqual(["unavailable", "not-proposed"]);
	});

	test("what the leader refuses for good is passed on", async () => {
		const refused = failing(new AppError("no-space", "full"));
		await expect(refused.forward("leader", data, "growing")).rejects.toMatchObject({ code: "no-space" });
		const busy = failing(new AppError("unavailable", "Just elected.", { retryAfterMs: 7 }));
		await expect(busy.forward("leader", data, "growing")).rejects.toMatchObject({
			...{ code: "unavailable", retryAfterMs: 7, context: { outcome: "unknown" } },
		});
	});

	test("what the leader says of the outcome is believed, and where it says nothing, nothing is claimed", async () => {
		const before = unknownOutcome("Full.", "no-space");
		for (const said of [lost(), refusalError({ refused: "not-ready", leader: null }), before])
			expect(await outcomeOf(failing(decodeError(encodeError(said))).forward("leader", data, "growing"))).toEqual([
				said.code,
				said.context.outcome,
			]);
		const older = failing(new AppError("unavailable", lost().message)).forward("leader", data, "growing");
		await expect(older).rejects.toThrow("may still take effect");
	});

	test("that a removed leader refuses goes to the next one", async () => {
		expect(await outcomeOf(failing(removed()).forward("leader", data, "growing"))).toEqual([
			"unavailable",
			"not-proposed",
		]);
	});

	test("is not waited for when another node leads, or none", async () => {
		for (const next of ["another", null]) {
			const links = linksWith((_nodeId, _method, _payload, { signal }) => {
				const { promise, reject } = Promise.withResolvers<Uint8Array>();
				signal?.addEventListener("abort", () => reject(new AppError("canceled", "given up")));
				return promise;
			});
			const waiting = links.forward("leader", data, "growing");
			links.onLeader("leader");
			links.onLeader(next);
			expect(await outcomeOf(waiting)).toEqual(["unavailable", "unknown"]);
		}
	});
});

describe("proposals of one turn, while another is with the leader", () => {
	const proposal = (number: number) => ({ data: new Uint8Array([number]), urgency: "essential" as const });
	type Answer = (method: string, payload: Uint8Array) => Promise<Uint8Array>;

	/** The first one goes alone and is answered last; the others are proposed with it under way. */
	async function forwardAll(numbers: readonly number[], answer: Answer): Promise<unknown[]> {
		const first = Promise.withResolvers<Uint8Array>();
		let calls = 0;
		const links = linksWith((_nodeId, method, payload) => (calls++ === 0 ? first.promise : answer(method, payload)));
		const waiting = links.forward("leader", data, "growing");
		const outcomes = await Promise.all(
			numbers.map((number) => outcomeOf(links.forward("leader", proposal(number).data, "essential"))),
		);
		first.resolve(new Uint8Array(0));
		await waiting;
		return outcomes;
	}

	test("go in one call, and each hears what became of it", async () => {
		const proposed: number[][] = [];
		const consensus = {
			proposeHere: async ([number]: Uint8Array): Promise<void> => {
				proposed.push([Number(number)]);
				if (number === 2) throw new AppError("no-space", "full");
				if (number === 3) throw removed();
			},
		};
		const methodsCalled: string[] = [];
		const outcomes = await forwardAll([1, 2, 3, 4], (method, payload) => {
			methodsCalled.push(method);
			return proposeAll(consensus, payload);
		});
		expect(methodsCalled).toEqual(["propose-several"]);
		expect(proposed).toEqual([[1], [2], [3], [4]]);
		expect(outcomes).toEqual(["done", ["no-space", undefined], ["unavailable", "not-proposed"], "done"]);
	});

	test("go one by one to a leader that does not know the call", async () => {
		const calls: unknown[] = [];
		const outcomes = await forwardAll([1, 2], async (method, payload) => {
			if (method !== "propose") throw new AppError("unsupported", "not known");
			calls.push(decodeProposal(payload));
			return new Uint8Array(0);
		});
		expect(calls).toEqual([proposal(1), proposal(2)]);
		expect(outcomes).toEqual(["done", "done"]);
	});

	test("may all have been taken when the call is lost", async () => {
		const lost = new PeerError({ code: "unreachable", message: "gone" }, true);
		const outcomes = await forwardAll([1, 2], () => Promise.reject(lost));
		expect(outcomes).toEqual([
			["unavailable", "unknown"],
			["unavailable", "unknown"],
		]);
	});

	test("are not sent when another node leads before", async () => {
		let calls = 0;
		const links = linksWith((_nodeId, _method, _payload, { signal }) => {
			calls += 1;
			const { promise, reject } = Promise.withResolvers<Uint8Array>();
			signal?.addEventListener("abort", () => reject(new AppError("canceled", "given up")));
			return promise;
		});
		const waiting = [1, 2, 3].map((number) => outcomeOf(links.forward("leader", proposal(number).data, "essential")));
		links.onLeader("another");
		expect(await Promise.all(waiting)).toEqual([
			["unavailable", "unknown"],
			["unavailable", "not-proposed"],
			["unavailable", "not-proposed"],
		]);
		expect(calls).toBe(1);
	});

	test("are read as they were written, and nothing else is", () => {
		const several = [proposal(1), { data: new Uint8Array(300), urgency: "growing" as const }];
		const bytes = encodeProposals(several);
		expect(decodeProposals(bytes)).toEqual(several);
		for (let length = 1; length < bytes.length; length++)
			if (length !== 6) expect(() => decodeProposals(bytes.subarray(0, length))).toThrow("no proposals");
		expect(() => decodeProposals(new Uint8Array([0, 0, 0, 0]))).toThrow("no proposal");
		expect(() => decodeProposals(encodeProposals(Array(1025).fill(proposal(1))))).toThrow("no proposals");
	});
});

test("silent, the consensus is told nothing and says nothing, until it is not any more", () => {
	const [sent, heard]: [string[], string[]] = [[], []];
	const links = new ClusterLinks(silentLogger);
	links.usePeers({
		sendRaft: (message) => void sent.push(message.type),
		openSnapshot: () => Promise.reject(new AppError("internal", "not asked for")),
		call: () => Promise.reject(new AppError("internal", "not asked for")),
	});
	links.useConsensus({ receive: ({ type }: Message) => void heard.push(type) } as unknown as RaftConsensus);
	const message = { type: "read", clusterId: "c", from: "a", to: "b", term: 1 } as unknown as Message;
	const speakAgain = links.silence();
	links.transport.send(message);
	links.onRaftMessage(message);
	expect([sent, heard]).toEqual([[], []]);
	speakAgain();
	links.transport.send(message);
	links.onRaftMessage(message);
	expect([sent, heard]).toEqual([["read"], ["read"]]);
});
