/** Figures for docs/decisions/0041-peer-links.md, between two processes on loopback: `bun src/peer/test-measure.ts`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { saveIdentity } from "./identity.ts";
import { decodeRaftMessage, encodeRaftMessage } from "./raft-codec.ts";
import { closeAll, clusterId, heartbeat, testId, testIdentity, testNode, until } from "./test-peers.ts";

const print = (line: string) => process.stdout.write(`${line}\n`);
const folder = mkdtempSync(join(tmpdir(), "limiquantix-measure-"));
const path = join(folder, "node.pem");
await saveIdentity(path, await testIdentity(2));
let onPong: () => void = () => {};
const a = await testNode(1, { handlers: { onRaftMessage: () => onPong() } });

const portOf = Promise.withResolvers<number>();
// A thread has its own event loop, as a process has; programs are started by lib/run.ts only, which waits for their end.
const worker = new Worker(join(import.meta.dir, "test-process.ts"), {
	argv: [path, "0", testId(1), `127.0.0.1:${a.address.port}`],
	stdout: true,
});
worker.stdout.on("data", (data: Buffer) => portOf.resolve(Number(data.toString())));
a.node.setMembership([{ nodeId: testId(2), addresses: [{ host: "127.0.0.1", port: await portOf.promise }] }], []);
await until(() => a.node.status()[0]?.link.state === "connected" && a.node.status()[0]?.incoming.raft === 1);

async function roundTrips(what: string, count: number, once: (index: number) => Promise<unknown>): Promise<void> {
	for (let i = 0; i < count / 10; i++) await once(i);
	const times: number[] = [];
	for (let i = 0; i < count; i++) {
		const began = performance.now();
		await once(i);
		times.push(performance.now() - began);
	}
	times.sort((x, y) => x - y);
	const at = (part: number) => ((times[Math.floor(count * part)] ?? 0) * 1000).toFixed(0);
	print(`${what}: p50 ${at(0.5)} µs, p99 ${at(0.99)} µs`);
}

await roundTrips("heartbeat there and back (two links)", 10_000, (round) => {
	const { promise, resolve } = Promise.withResolvers<void>();
	onPong = resolve;
	a.node.sendRaft(heartbeat(1, 2, round));
	return promise;
});
const small = new Uint8Array(100);
await roundTrips("call of 100 bytes", 10_000, () => a.node.call(testId(2), "echo", small, { timeoutMs: 5000 }));
await roundTrips("stream opened and ended (handshake and all)", 200, async () => {
	const stream = await a.node.openStream(testId(2), { kind: "echo", metadata: small });
	stream.end();
	while ((await stream.read()) !== null);
});

const total = 512 * 1024 * 1024;
const stream = await a.node.openStream(testId(2), { kind: "echo", metadata: small });
const chunk = new Uint8Array(256 * 1024);
const began = performance.now();
const writing = (async () => {
	for (let sent = 0; sent < total; sent += chunk.length) await stream.write(chunk);
	stream.end();
})();
let received = 0;
for (let part = await stream.read(); part !== null; part = await stream.read()) received += part.length;
await writing;
print(`stream, echoed: ${((received / (performance.now() - began)) * 1e-3).toFixed(0)} MB/s in each direction at once`);

for (const entryCount of [1, 100]) {
	const entries = Array.from({ length: entryCount }, (_, i) => ({
		index: i + 2,
		term: 1,
		kind: "command" as const,
		data: new Uint8Array(500),
	}));
	const header = { clusterId, from: testId(1), to: testId(2), term: 1 };
	const append = { ...header, type: "append" as const, previousIndex: 1, previousTerm: 1, commit: 1, entries };
	for (let round = 0; round < 2000; round++) decodeRaftMessage(encodeRaftMessage(append));
	const from = performance.now();
	for (let round = 0; round < 2000; round++) encodeRaftMessage(append);
	const bytes = encodeRaftMessage(append);
	const middle = performance.now();
	for (let round = 0; round < 2000; round++) decodeRaftMessage(bytes);
	const each = (ms: number) => (ms / 2).toFixed(1);
	print(
		`append of ${entryCount} × 500 bytes: ${each(middle - from)} µs to encode, ${each(performance.now() - middle)} µs to decode`,
	);
}
await worker.terminate();
await closeAll();
rmSync(folder, { recursive: true });
