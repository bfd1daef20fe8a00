/** For tests: nodes of one cluster with real certificates, on loopback, and what they heard. */
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { Message } from "../raft/messages.ts";
import type { Address } from "./address.ts";
import { type Authority, makeAuthority, makeNodeKey, makeRequest, signNode } from "./ca.ts";
import { type Identity, makeIdentity } from "./identity.ts";
import { type PeerHandlers, PeerNode, type PeerNodeOptions } from "./peer.ts";

export const maker = { clock: systemClock, random: systemRandom };
export const testId = (number: number): string => `00000000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
export const clusterId = testId(0xc);
export const authority: Authority = await makeAuthority(maker);
export const strangeAuthority: Authority = await makeAuthority(maker);

export async function testIdentity(
	number: number,
	options: { by?: Authority; trusted?: Authority[]; cluster?: string } = {},
): Promise<Identity> {
	const { by = authority, trusted = [by], cluster = clusterId } = options;
	const keyPem = await makeNodeKey();
	const request = { csr: await makeRequest(keyPem), nodeId: testId(number), clusterId: cluster };
	const certificatePem = await signNode(by, request, maker);
	const authoritiesPem = trusted.map((one) => one.certificatePem).join("");
	return makeIdentity({ clusterId: cluster, keyPem, certificatePem, authoritiesPem }, Date.now());
}

export type TestNode = {
	node: PeerNode;
	address: Address;
	messages: Message[];
	heard: (count: number) => Promise<void>;
};

const open = new Set<PeerNode>();

export async function testNode(
	number: number,
	options: Partial<Omit<PeerNodeOptions, "handlers">> & { handlers?: Partial<PeerHandlers> } = {},
): Promise<TestNode> {
	const messages: Message[] = [];
	const waiting: { count: number; resolve: () => void }[] = [];
	const node = await PeerNode.open({
		host: "127.0.0.1",
		port: 0,
		identity: options.identity ?? (await testIdentity(number)),
		nodeName: `node-${number}`,
		build: "test",
		features: ["base"],
		clock: systemClock,
		random: systemRandom,
		logger: silentLogger,
		...options,
		handlers: {
			onRaftMessage(message) {
				messages.push(message);
				for (const { count, resolve } of waiting) if (messages.length >= count) resolve();
			},
			onSnapshot: (channel) => channel.end(),
			onRequest: async ({ payload }) => payload,
			onStream: async () => {},
			join: null,
			...options.handlers,
		},
	});
	open.add(node);
	const heard = (count: number) =>
		new Promise<void>((resolve) => {
			if (messages.length >= count) resolve();
			else waiting.push({ count, resolve });
		});
	return { node, address: { host: "127.0.0.1", port: node.port }, messages, heard };
}

/** Makes each a member of the other's cluster. */
export function introduce(...nodes: TestNode[]): void {
	const members = nodes.map(({ node, address }) => ({ nodeId: node.nodeId, addresses: [address] }));
	for (const { node } of nodes) node.setMembership(members, []);
}

/** For afterEach. */
export async function closeAll(): Promise<void> {
	await Promise.all([...open].map((node) => node.close()));
	open.clear();
}

export const heartbeat = (from: number, to: number, round: number): Message => ({
	type: "heartbeat",
	clusterId,
	from: testId(from),
	to: testId(to),
	term: 1,
	commit: 0,
	commitTerm: 0,
	recoveries: 0,
	round,
	recovered: null,
});

/** Asks until it is so: for what makes no event. */
export async function until(condition: () => boolean, what = "it", limitMs = 5000): Promise<void> {
	const endMs = performance.now() + limitMs;
	while (!condition()) {
		if (performance.now() > endMs) throw new Error(`waited too long: ${what}`);
		await Bun.sleep(5);
	}
}

/** A node that answers one call, and knows no other. `announces`: it says where it is. */
export async function answeringNode(
	number: number,
	wanted: string,
	answer: (payload: Uint8Array, node: PeerNode) => Uint8Array,
	{ announces = false } = {},
): Promise<TestNode> {
	const made: TestNode = await testNode(number, {
		ownAddresses: () => (announces ? [made.address] : []),
		handlers: {
			async onRequest({ method, payload }) {
				if (method !== wanted) throw new AppError("unsupported", "What is that?");
				return answer(payload, made.node);
			},
		},
	});
	return made;
}
