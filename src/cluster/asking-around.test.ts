/** Two nodes that have moved, and one that stayed: it tells each where the other is. Real links. */
import { afterEach, expect, test } from "bun:test";
import { type Clock, systemClock } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { Address } from "../peer/address.ts";
import type { PeerNode } from "../peer/peer.ts";
import { answeringNode, closeAll, type TestNode, testId, until } from "../peer/test-peers.ts";
import { answerWhereIs, askAround, keepAskingAround } from "./asking-around.ts";
import { encodeJson, methods } from "./methods.ts";

const ends: (() => void)[] = [];
afterEach(() => {
	for (const end of ends.splice(0)) end();
	return closeAll();
});

const nobody: Address = { host: "127.0.0.1", port: 1 };
type AnswerOf = (payload: Uint8Array, node: PeerNode) => Uint8Array;

const nodeOf = (number: number, answer: AnswerOf = answerWhereIs): Promise<TestNode> =>
	answeringNode(number, methods.whereIs, answer, { announces: true });

/** 1 stayed and has old addresses of 2 and 3; they know where 1 is, and have old addresses of each other. */
async function twoMoved(answer?: AnswerOf): Promise<[TestNode, TestNode, TestNode]> {
	const [first, second, third] = [await nodeOf(1, answer), await nodeOf(2), await nodeOf(3)];
	for (const [{ node }, address] of [
		[first, nobody] as const,
		[second, first.address] as const,
		[third, first.address] as const,
	])
		node.setMembership(
			[1, 2, 3].map((number) => ({ nodeId: testId(number), addresses: [number === 1 ? address : nobody] })),
			[],
		);
	await until(() => connected(second, 1) && connected(third, 1) && connected(first, 2) && connected(first, 3));
	await until(() => failures(third, 2) > 0 && failures(second, 3) > 0);
	return [first, second, third];
}
const linkOf = ({ node }: TestNode, to: number) => node.status().find(({ nodeId }) => nodeId === testId(to))?.link;
const connected = (node: TestNode, to: number): boolean => linkOf(node, to)?.state === "connected";
const failures = (node: TestNode, to: number): number => linkOf(node, to)?.failures ?? 0;

test("two nodes that both moved find each other by one that stayed, when one of them asks", async () => {
	const [, second, third] = await twoMoved();
	await askAround(third.node);
	await until(() => connected(third, 2) && connected(second, 3));
	expect(third.node.addressesOf(testId(2))[0]).toEqual(second.address);
});

test("it is asked again and again while a node is missing", async () => {
	let refused = 0;
	const [, second, third] = await twoMoved((payload, node) => {
		if (refused++ < 2) throw new AppError("unsupported", "This node knows no such call.");
		return answerWhereIs(payload, node);
	});
	const soon: Clock = { ...systemClock, schedule: (ms, work) => systemClock.schedule(Math.min(ms, 20), work) };
	ends.push(keepAskingAround(third.node, soon));
	await until(() => connected(third, 2) && connected(second, 3));
	expect(refused).toBeGreaterThan(2);
});

test("an answer that is none, or names the address of another node, leads nowhere", async () => {
	const answers = [
		"nothing",
		null,
		{ found: null },
		{ found: { [testId(2)]: "192.0.2.1:1" } },
		{ found: { [testId(2)]: [7, null, "no address", {}] } },
		{ found: { [testId(9)]: ["192.0.2.1:1"] } },
	];
	let asked = 0;
	let stranger: string[] = [];
	const [first, second, third] = await twoMoved(() => {
		const answer = answers[asked++];
		return encodeJson(answer === undefined ? { found: { [testId(2)]: stranger } } : answer);
	});
	for (const _ of answers) await askAround(third.node);
	expect(asked).toBe(answers.length);
	expect(third.node.addressesOf(testId(2))).toEqual([nobody]);
	expect(third.node.addressesOf(testId(9))).toEqual([]);
	stranger = Array.from({ length: 40 }, (_, port) => `127.0.0.1:${port === 0 ? first.address.port : port}`);
	await askAround(third.node);
	expect(third.node.addressesOf(testId(2)).length).toBeLessThanOrEqual(1 + 4);
	await until(() => linkOf(third, 2)?.lastClose?.code === "other-node");
	expect([connected(third, 2), connected(second, 3)]).toEqual([false, false]);
});

test("nobody is told of a node that is not there, and a question that is none is refused", async () => {
	const [first, second] = await twoMoved();
	const foundBy = (nodeIds: unknown) =>
		JSON.parse(new TextDecoder().decode(answerWhereIs(encodeJson({ nodeIds }), first.node))).found;
	expect(Object.keys(foundBy([testId(2), testId(3), testId(9)])).sort()).toEqual([testId(2), testId(3)]);
	await second.node.close();
	await until(() => !connected(first, 2));
	expect(Object.keys(foundBy([testId(2), testId(3)]))).toEqual([testId(3)]);
	for (const wrong of [undefined, "x", [7], Array.from({ length: 129 }, () => testId(2))]) {
		const refused = (() => {
			try {
				return foundBy(wrong);
			} catch (error) {
				return error;
			}
		})();
		expect(isAppError(refused) && refused.code).toBe("malformed");
	}
});
