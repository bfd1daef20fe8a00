/** Proposals on their way to the leader: what becomes of them when it is lost, and what whoever proposed is told. */
import { describe, expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import type { PeerNode } from "../peer/peer.ts";
import { PeerError } from "../peer/peer-error.ts";
import { removed } from "../store/raft/refusals.ts";
import { ClusterLinks } from "./links.ts";
import { decodeProposal } from "./methods.ts";

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
