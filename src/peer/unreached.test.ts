/** What is said of an address where no node was. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import type { Address } from "./address.ts";
import { raftPace } from "./connection.ts";
import { dial, dialAny } from "./dial.ts";
import { protocolVersions } from "./hello.ts";
import { type Close, PeerError } from "./peer-error.ts";
import { clusterId, testId, testIdentity } from "./test-peers.ts";
import { unreached } from "./unreached.ts";

const servers: Server[] = [];
let cuts: Address;
let babbles: Address;
let isSilent: Address;

async function listening(onConnection: (socket: Socket) => void): Promise<Address> {
	const server = createServer(onConnection);
	servers.push(server);
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return { host: "127.0.0.1", port: (server.address() as { port: number }).port };
}
beforeAll(async () => {
	cuts = await listening((socket) => socket.destroy());
	babbles = await listening((socket) => socket.end("SSH-2.0-OpenSSH_9.2p1\r\n"));
	isSilent = await listening((socket) => socket.on("error", () => {}));
});
afterAll(() => {
	for (const server of servers) server.close();
});

const said = async (address: Address): Promise<unknown> => {
	const self = { clusterId, nodeId: testId(1), nodeName: "n", build: "t", instance: "i", features: [] };
	const dialling = dial({
		...{ address, purpose: "raft", toNodeId: testId(2), identity: await testIdentity(1), pace: raftPace },
		...{ self: { ...self, versions: protocolVersions }, clock: systemClock, logger: silentLogger },
		...{ timeoutMs: 1000, maxQueuedBytes: 1024 },
	});
	return dialling.then(
		() => "connected",
		(error: PeerError) => [error.close, error.message],
	);
};

test("nobody listens, no such name, no node, cut off, silence: each in words, with the address", async () => {
	const at = ({ host, port }: Address) => `${host}:${port}`;
	expect(await said({ host: "127.0.0.1", port: 1 })).toEqual(["unreachable", "Nobody listens at 127.0.0.1:1."]);
	expect(await said(babbles)).toEqual([
		"unreachable",
		`What listens at ${at(babbles)} does not speak TLS as nodes do: it is no port for the links between nodes.`,
	]);
	expect(await said(cuts)).toEqual(["unreachable", `The connection to ${at(cuts)} was cut off.`]);
	expect(await said(isSilent)).toEqual(["timeout", `${at(isSilent)} does not answer: nothing came back within 1 s.`]);
});

test("what has no words is quoted", () => {
	const words = (code: string, host = "node9") =>
		unreached({ host, port: 8444 }, Object.assign(new Error(`connect ${code}`), { code })).message;
	expect(words("ENOTFOUND")).toBe("There is no host of the name node9 (node9:8444).");
	expect(words("EAI_AGAIN")).toContain("no name server answers");
	expect(words("EHOSTUNREACH", "10.0.0.9")).toContain("No machine answers at 10.0.0.9:8444");
	expect(words("ENETUNREACH", "fd00::9")).toContain("No network leads to [fd00::9]:8444");
	expect(words("EMFILE")).toBe("node9:8444 cannot be connected to: connect EMFILE");
});

test("of several addresses: what one that answered said, else what became of each", async () => {
	const [one, two] = [
		{ host: "10.0.0.1", port: 8444 },
		{ host: "10.0.0.2", port: 8444 },
	] as const;
	const trying = (said: Record<string, Close>) =>
		dialAny(
			[one, two],
			({ host }) => Promise.reject(new PeerError(said[host] as Close)),
			() => true,
		);
	const nobody = (host: string): Close => ({ code: "unreachable", message: `Nobody at ${host}.` });
	await expect(trying({ "10.0.0.1": nobody("A"), "10.0.0.2": nobody("B") })).rejects.toMatchObject({
		close: "unreachable",
		message: "Nobody at A. Nobody at B.",
	});
	const noLeader: Close = { code: "unavailable", message: "No leader." };
	await expect(trying({ "10.0.0.1": noLeader, "10.0.0.2": nobody("B") })).rejects.toMatchObject({
		close: "unavailable",
		message: "No leader.",
	});
});
