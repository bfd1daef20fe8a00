/**
 * Somebody in the nodes' network who means no good: a program of its own, so that it can run in a network namespace of its own. It is
 * given one order as JSON, and prints what came of it.
 *
 * - "noise": connections to the peer port that are none of ours, or stop in the middle, or never say anything. For each: did the
 *   node end it within the limit.
 * - "crowd": so many at a time that say, with the id of the cluster that a node's certificate tells anybody, that they want to join,
 *   and then nothing; each comes again as soon as it is ended. How many hellos were answered, and how many refused.
 * - "forge": links of Raft with an identity that is no good here (of a removed node, of nobody), and messages on those that are
 *   accepted. For each: what the node said.
 */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import { makeAuthority, makeNodeKey, makeRequest, signNode } from "../../peer/ca.ts";
import { calmPace, raftPace } from "../../peer/connection.ts";
import { dial } from "../../peer/dial.ts";
import { preface } from "../../peer/frame.ts";
import { encodeHello, protocolVersions, type Self } from "../../peer/hello.ts";
import { type Identity, loadIdentity, makeIdentity } from "../../peer/identity.ts";
import { isPeerError } from "../../peer/peer-error.ts";
import { encodeRaftMessage } from "../../peer/raft-codec.ts";
import { claimsOf } from "../../peer/trust.ts";
import { type Message, maxTerm } from "../../raft/messages.ts";
import { features } from "../../store/command-features.ts";
import type { Host } from "../bench/cluster/network.ts";

type Address = { host: string; port: number };
export type Order =
	| { kind: "noise"; to: Address; limitMs: number }
	| { kind: "crowd"; to: Address; count: number; limitMs: number }
	| {
			kind: "forge";
			to: Address;
			toNodeId: string;
			/** A node's file: the authority that it trusts is known to anybody, key and certificate are stolen. */
			identityPath: string;
			/** Instead of the stolen certificate, one with the same names of an authority of its own. */
			selfMade: boolean;
			clusterId: string;
			/** Whom it claims to be. */
			asNodeId: string;
			/** Whom its messages claim to be from. */
			fromNodeId: string;
			/** Only asks for votes, as a member may: what says that it leads, or answers, is believed of one. */
			onlyAsks?: boolean;
	  };
export type NoiseResult = { what: string; endedByNode: boolean };
export type CrowdResult = { answered: number; refused: number };
export type ForgeResult = { accepted: boolean; said: string };

const garbage = (length: number): Uint8Array => systemRandom.bytes(length);
const frame = (type: number, claimed: number, payload: Uint8Array): Uint8Array => {
	const bytes = new Uint8Array(5 + payload.length);
	new DataView(bytes.buffer).setUint32(0, claimed);
	bytes[4] = type;
	bytes.set(payload, 5);
	return bytes;
};
const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const stranger: Self = {
	...{ clusterId: "", nodeId: "", nodeName: "x".repeat(100), build: "test", instance: "1", features },
	versions: protocolVersions,
};

type Noise = { what: string; tls: boolean; talk(socket: Socket): void };
const everyMs = 300;

/** One byte after the other, for as long as anybody listens. */
function drip(socket: Socket, bytes: Uint8Array): void {
	let at = 0;
	const timer = setInterval(() => {
		const byte = bytes[at % bytes.length];
		at += 1;
		if (socket.destroyed || byte === undefined) clearInterval(timer);
		else socket.write(Uint8Array.of(byte));
	}, everyMs);
	socket.on("close", () => clearInterval(timer));
}

/** The beginning of a TLS 1.3 client's hello: a record that claims 16,000 bytes. */
const clientHello = join(Uint8Array.of(0x16, 3, 1, 0x3e, 0x80, 1, 0, 0x3e, 0x7c, 3, 3), new Uint8Array(32));

const noises: readonly Noise[] = [
	{ what: "silence", tls: false, talk() {} },
	{ what: "random bytes", tls: false, talk: (socket) => void socket.write(garbage(100_000)) },
	{ what: "HTTP", tls: false, talk: (socket) => void socket.write("GET / HTTP/1.1\r\nHost: node\r\n\r\n") },
	{ what: "TLS that stops", tls: false, talk: (socket) => void socket.write(clientHello) },
	{ what: "TLS, slowly", tls: false, talk: (socket) => drip(socket, clientHello) },
	{ what: "zeros, slowly", tls: false, talk: (socket) => drip(socket, new Uint8Array(1)) },
	{ what: "TLS, then silence", tls: true, talk() {} },
	{ what: "TLS, then random bytes", tls: true, talk: (socket) => void socket.write(garbage(100_000)) },
	{ what: "TLS, then the preface slowly", tls: true, talk: (socket) => drip(socket, preface) },
	{
		what: "a frame that claims 4 GB",
		tls: true,
		talk: (socket) => void socket.write(join(preface, frame(1, 0xffff_ffff, garbage(100)))),
	},
	{
		what: "a hello of garbage",
		tls: true,
		talk: (socket) => void socket.write(join(preface, frame(1, 1000, garbage(1000)))),
	},
	{
		what: "a hello without a certificate",
		tls: true,
		talk(socket) {
			const hello = encodeHello(stranger, "raft", "");
			socket.write(join(preface, frame(1, hello.length, hello)));
		},
	},
	{
		what: "Raft before the hello",
		tls: true,
		talk: (socket) => void socket.write(join(preface, frame(16, 50, garbage(50)))),
	},
];

function makeNoise({ what, tls, talk }: Noise, { host, port }: Address, limitMs: number): Promise<NoiseResult> {
	return new Promise((resolve) => {
		const socket: Socket = tls ? connectTls({ host, port, rejectUnauthorized: false }) : connect({ host, port });
		const settle = (endedByNode: boolean) => {
			clearTimeout(timer);
			resolve({ what, endedByNode });
			socket.destroy();
		};
		const timer = setTimeout(() => settle(false), limitMs);
		socket.on(tls ? "secureConnect" : "connect", () => talk(socket));
		socket.on("data", () => {}).on("error", () => {});
		socket.on("close", () => settle(true)).on("end", () => settle(true));
	});
}

async function crowd({ to, count, limitMs }: Extract<Order, { kind: "crowd" }>): Promise<CrowdResult> {
	const endsAtMs = performance.now() + limitMs;
	const result: CrowdResult = { answered: 0, refused: 0 };
	let clusterId = "";
	const come = async (): Promise<void> => {
		try {
			const { connection } = await dial({
				...{ purpose: "join", address: to, self: { ...stranger, clusterId }, pace: calmPace },
				judge(chain) {
					clusterId = claimsOf(chain[0] ?? null)?.clusterId ?? "";
					return null;
				},
				...{ clock: systemClock, logger: silentLogger, timeoutMs: 4_000, maxQueuedBytes: 2 ** 20 },
			});
			result.answered += 1;
			await connection.gone;
		} catch (error) {
			if (!isPeerError(error)) throw error;
			result.refused += 1;
			await Bun.sleep(20);
		}
	};
	// It says no id yet, and learns it.
	await come();
	const comeAgain = async () => {
		while (performance.now() < endsAtMs) await come();
	};
	await Promise.all(Array.from({ length: count }, comeAgain));
	return result;
}

/** One that every check but that of the authority would pass. */
async function selfMade(nodeId: string, clusterId: string): Promise<Identity> {
	const maker = { clock: systemClock, random: systemRandom };
	const authority = await makeAuthority(maker);
	const keyPem = await makeNodeKey();
	const certificatePem = await signNode(authority, { csr: await makeRequest(keyPem), nodeId, clusterId }, maker);
	return makeIdentity({ clusterId, keyPem, certificatePem, authoritiesPem: authority.certificatePem }, Date.now());
}

async function forge(order: Extract<Order, { kind: "forge" }>): Promise<ForgeResult> {
	const { to, toNodeId, identityPath, clusterId, asNodeId, fromNodeId, onlyAsks = false } = order;
	const stolen = await loadIdentity(identityPath);
	if (!stolen) throw new Error(`There is no identity in ${identityPath}.`);
	const { trust, authoritiesPem } = stolen;
	const identity = order.selfMade ? { ...(await selfMade(asNodeId, clusterId)), trust, authoritiesPem } : stolen;
	const self: Self = { ...stranger, clusterId, nodeId: asNodeId, instance: crypto.randomUUID() };
	const common = { address: to, self, clock: systemClock, logger: silentLogger, timeoutMs: 10_000 };
	try {
		const { connection } = await dial({
			...{ ...common, maxQueuedBytes: 2 ** 20, purpose: "raft", identity, toNodeId, pace: raftPace },
		});
		const ended = new Promise<string>((resolve) => {
			connection.handle(["raft"], { onFrame() {}, onClose: ({ code }) => resolve(code) });
		});
		for (const message of hugeTerms(clusterId, fromNodeId, toNodeId).filter((one) => !onlyAsks || asks(one)))
			connection.send("raft", encodeRaftMessage(message));
		const said = await Promise.race([ended, Bun.sleep(5_000).then(() => "nothing")]);
		connection.end({ code: "closing", message: "Done." });
		return { accepted: true, said };
	} catch (error) {
		if (!isPeerError(error)) throw error;
		return { accepted: false, said: error.close };
	}
}

function hugeTerms(clusterId: string, from: string, to: string): Message[] {
	const head = { clusterId, from, to, term: maxTerm };
	const log = { lastIndex: 2 ** 40, lastTerm: maxTerm - 1 };
	return [
		{ ...head, type: "pre-vote", ...log },
		{ ...head, type: "vote", ...log, transfer: false },
		{ ...head, type: "vote", ...log, transfer: true },
		{ ...head, type: "heartbeat", commit: 2 ** 40, commitTerm: 1, recoveries: 0, round: 1, recovered: null },
		{ ...head, type: "append", previousIndex: 0, previousTerm: 0, entries: [], commit: 2 ** 40 },
		{ ...head, type: "campaign-now" },
		{ ...head, type: "removed", configurationIndex: 2 ** 40 },
	];
}

const asks = (message: Message): boolean =>
	message.type === "pre-vote" || (message.type === "vote" && !message.transfer);

type ResultOf<O extends Order> = O["kind"] extends "noise"
	? NoiseResult[]
	: O["kind"] extends "crowd"
		? CrowdResult
		: ForgeResult;

/** Runs the program at that place of the network. */
export async function askStranger<O extends Order>(host: Host, order: O): Promise<ResultOf<O>> {
	const [program = "", ...args] = [...host.prefix, process.execPath, import.meta.path, JSON.stringify(order)];
	return JSON.parse((await run(program, args, { timeoutMs: 60_000 })).stdout) as ResultOf<O>;
}

if (import.meta.main) {
	const order = JSON.parse(process.argv[2] ?? "") as Order;
	const result =
		order.kind === "noise"
			? await Promise.all(noises.map((noise) => makeNoise(noise, order.to, order.limitMs)))
			: order.kind === "crowd"
				? await crowd(order)
				: await forge(order);
	process.stdout.write(JSON.stringify(result));
	process.exit(0);
}
