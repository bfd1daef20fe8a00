/** Who looks whether a node is at an address: never the node itself. */
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { formatAddress } from "../peer/address.ts";
import { closeAll, introduce, type TestNode, testNode, until } from "../peer/test-peers.ts";
import { methods } from "./methods.ts";
import { answerProbe, whyUnreached } from "./reachability.ts";

afterEach(closeAll);

const nobody = "127.0.0.1:1";
let asked: number[] = [];
const nodeOf = (number: number, older = false): Promise<TestNode> =>
	testNode(number, {
		handlers: {
			async onRequest({ method, payload }) {
				asked.push(number);
				if (older || method !== methods.probe) throw new AppError("unsupported", "What is that?");
				return answerProbe(payload, systemClock);
			},
		},
	});
const problemOf = (about: TestNode, addresses: string[], on: TestNode) =>
	whyUnreached({ nodeId: about.node.nodeId, addresses }, on.node, systemClock);

test("another node is looked for from here", async () => {
	asked = [];
	const [one, two] = [await nodeOf(1), await nodeOf(2)];
	expect(await problemOf(two, [nobody, formatAddress(two.address)], one)).toBeNull();
	expect(await problemOf(two, [formatAddress(one.address)], one)).toContain("Another node is at");
	expect(asked).toEqual([]);
});

test("this one is looked for by another that is linked, and knows how", async () => {
	asked = [];
	const [one, older, three] = [await nodeOf(1), await nodeOf(2, true), await nodeOf(3)];
	introduce(one, older, three);
	await until(() => one.node.status().every(({ link }) => link.state === "connected"));
	expect(await problemOf(one, [nobody], one)).toBe(`Nobody listens at ${nobody}.`);
	expect(await problemOf(one, [formatAddress(one.address)], one)).toBeNull();
	expect(asked).toEqual([2, 3, 2, 3]);
});

test("without anybody who could look nothing is said", async () => {
	const one = await nodeOf(1);
	expect(await problemOf(one, [nobody], one)).toBeNull();
});
