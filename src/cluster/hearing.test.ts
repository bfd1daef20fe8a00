/** A node that only one member hears is not off, whoever else is asked. Real links. */
import { afterEach, expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import type { Address } from "../peer/address.ts";
import type { PeerNode } from "../peer/peer.ts";
import { answeringNode, closeAll, type TestNode, testId, until } from "../peer/test-peers.ts";
import { answerHears, whoHears } from "./hearing.ts";
import { encodeJson, methods } from "./methods.ts";

afterEach(closeAll);

const nobody: Address = { host: "127.0.0.1", port: 1 };
type AnswerOf = (payload: Uint8Array, node: PeerNode) => Uint8Array;

const nodeOf = (number: number, answer: AnswerOf = answerHears): Promise<TestNode> =>
	answeringNode(number, methods.hears, answer);

/** 1 and 3 have each other; 2 comes to 3 alone, and neither of them reaches it. */
async function heardByOne(answer?: AnswerOf): Promise<[TestNode, TestNode, TestNode]> {
	const [first, second, third] = [await nodeOf(1), await nodeOf(2), await nodeOf(3, answer)];
	const at = (number: number, address: Address) => ({ nodeId: testId(number), addresses: [address] });
	first.node.setMembership([at(1, first.address), at(2, nobody), at(3, third.address)], []);
	third.node.setMembership([at(1, first.address), at(2, nobody), at(3, third.address)], []);
	second.node.setMembership([at(3, third.address), at(1, nobody)], []);
	await until(() => linked(first, 3) && linked(second, 3));
	return [first, second, third];
}
const linked = ({ node }: TestNode, to: number): boolean =>
	node.status().some(({ nodeId, link }) => nodeId === testId(to) && link.state === "connected");

test("all members are asked whether they hear a node, until nobody does", async () => {
	const [first, second, third] = await heardByOne();
	expect(await whoHears(testId(2), first.node)).toBe(testId(3));
	expect(await whoHears(testId(2), third.node)).toBe(testId(3));
	await second.node.close();
	await until(() => third.node.status().every(({ nodeId, incoming }) => nodeId !== testId(2) || incoming.raft === 0));
	expect(await whoHears(testId(2), first.node)).toBe(null);
	expect(await whoHears(testId(3), first.node)).toBe(testId(1));
});

test("so is one that was removed and asks one of them to be let in", async () => {
	const [first, , third] = await heardByOne();
	for (const { node } of [first, third])
		node.setMembership(
			[
				{ nodeId: testId(1), addresses: [first.address] },
				{ nodeId: testId(3), addresses: [third.address] },
			],
			[testId(2)],
		);
	// It asks again after a while only: it has been told that it was removed.
	await until(() => third.node.sinceRemovedMs(testId(2)) !== null, "node 2 to ask again", 20_000);
	expect(await whoHears(testId(2), first.node)).toBe(testId(3));
});

test("who does not know the question, or says nothing that is an answer, hears nobody", async () => {
	const older = () => {
		throw new AppError("unsupported", "This node knows no such call.");
	};
	const answers: AnswerOf[] = [older, () => encodeJson({ hears: "perhaps" }), () => new Uint8Array([1, 2, 3])];
	const [first] = await heardByOne(() => (answers.shift() ?? older)(new Uint8Array(0), first.node));
	for (let asked = 0; asked < 3; asked++) expect(await whoHears(testId(2), first.node)).toBe(null);
	expect(answers).toEqual([]);
	for (const wrong of [{}, { nodeId: 7 }]) {
		const asked = () => answerHears(encodeJson(wrong), { nodeId: "", status: () => [], sinceRemovedMs: () => null });
		expect(asked).toThrow("no node");
	}
});
