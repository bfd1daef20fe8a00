/** Nodes that are not where the cluster's state says: whoever they reach can reach them, since they say where they are. */
import { afterEach, expect, test } from "bun:test";
import { type LogFields, silentLogger } from "../lib/log.ts";
import type { Address } from "./address.ts";
import { closeAll, type TestNode, testId, testNode, until } from "./test-peers.ts";

afterEach(closeAll);

const nobody: Address = { host: "127.0.0.1", port: 1 };
const echo = Uint8Array.of(1);
const quick = { timeoutMs: 3000 };

/** Node 2 says that it is at `announced`, or where it is; node 1 has another address of it, node 2 the right one of node 1. */
async function renumbered(announced?: Address[], logger = silentLogger): Promise<[TestNode, TestNode]> {
	const first = await testNode(1, { logger });
	const second: TestNode = await testNode(2, { ownAddresses: () => announced ?? [second.address] });
	first.node.setMembership([{ nodeId: testId(2), addresses: [nobody] }], []);
	second.node.setMembership([{ nodeId: testId(1), addresses: [first.address] }], []);
	return [first, second];
}
const isConnected = ({ node }: TestNode): boolean => node.status()[0]?.link.state === "connected";

test("a node that has moved is reached where it says it is, and that is said once", async () => {
	const lines: LogFields[] = [];
	const logger = { ...silentLogger, warn: (_message: string, fields?: LogFields) => void lines.push(fields ?? {}) };
	const [first, second] = await renumbered(undefined, logger);
	await until(() => isConnected(first));
	expect(await first.node.call(testId(2), "echo", echo, quick)).toEqual(echo);
	expect(lines).toEqual([{ nodeId: testId(2), address: `127.0.0.1:${second.address.port}` }]);
});

test("where it says it is must be the node itself", async () => {
	const third = await testNode(3);
	const [first] = await renumbered([third.address]);
	await until(() => first.node.status()[0]?.link.lastClose?.code === "other-node");
	expect(first.node.status()[0]?.peer?.nodeId).toBe(testId(2));
	expect(third.node.status()).toEqual([]);
});

test("what the state says is tried first, and once it says something else, nothing but that until the node comes again", async () => {
	const [first, second] = await renumbered();
	await until(() => isConnected(first));
	first.node.setMembership([{ nodeId: testId(2), addresses: [second.address] }], []);
	await first.node.call(testId(2), "echo", echo, quick);
	expect(first.node.addressesOf(testId(2))).toEqual([second.address]);
});

test("addresses that are none, or too many, are no reason to refuse a node, and are not kept", async () => {
	const many = Array.from({ length: 40 }, (_, number) => ({ host: "192.0.2.1", port: number + 1 }));
	const [first] = await renumbered([{ host: "no host at all", port: 1 }, ...many]);
	await until(() => first.node.addressesOf(testId(2)).length > 1);
	expect(first.node.addressesOf(testId(2)).length).toBeLessThanOrEqual(1 + 16);
});
