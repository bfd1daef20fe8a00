/** Who is at an address, as far as a look from outside tells. */
import { afterEach, expect, test } from "bun:test";
import { createServer } from "node:net";
import { systemClock } from "../lib/clock.ts";
import { formatAddress } from "./address.ts";
import { probe } from "./probe.ts";
import { closeAll, testId, testNode } from "./test-peers.ts";

afterEach(closeAll);

const closed = { host: "127.0.0.1", port: 1 };

test("a node that is at one of several addresses is found", async () => {
	const { address } = await testNode(1);
	expect(await probe([closed, address], testId(1), systemClock)).toBeNull();
});

test("nobody, somebody else and something that never answers are told apart, each with its address", async () => {
	const { address } = await testNode(1);
	const silent = createServer(() => {}).listen(0, "127.0.0.1");
	await new Promise((resolve) => silent.once("listening", resolve));
	const { port } = silent.address() as { port: number };
	try {
		const said = await probe([closed, address, { host: "127.0.0.1", port }], testId(2), systemClock, 200);
		expect(said).toBe(
			`Nobody listens at 127.0.0.1:1. Another node is at ${formatAddress(address)}. 127.0.0.1:${port} does not answer: nothing came back within 0.2 s.`,
		);
	} finally {
		silent.close();
	}
	expect(await probe([], testId(2), systemClock)).toBe("No address is known.");
});
