import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { saveIdentity } from "./identity.ts";
import { closeAll, clusterId, heartbeat, type TestNode, testId, testIdentity, testNode, until } from "./test-peers.ts";

const folder = mkdtempSync(join(tmpdir(), "limiquantix-peer-"));
const processes = new Set<Bun.Subprocess>();
afterEach(async () => {
	for (const child of processes) child.kill("SIGKILL");
	processes.clear();
	await closeAll();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function startProcess(a: TestNode, port = 0): Promise<{ child: Bun.Subprocess; port: number }> {
	const path = join(folder, "node.pem");
	const address = `127.0.0.1:${a.address.port}`;
	const child = Bun.spawn({
		cmd: [process.execPath, join(import.meta.dir, "test-process.ts"), path, String(port), testId(1), address],
		stdout: "pipe",
		stderr: "inherit",
	});
	processes.add(child);
	const { value } = await child.stdout.getReader().read();
	return { child, port: Number(Buffer.from(value ?? []).toString()) };
}

const link = (a: TestNode) => a.node.status()[0]?.link;
const memberAt = (port: number) => [{ nodeId: testId(2), addresses: [{ host: "127.0.0.1", port }] }];

test("a process that is stopped is noticed within a second or so, costs a bounded queue, and is there again when it goes on; one that is killed comes back", async () => {
	await saveIdentity(join(folder, "node.pem"), await testIdentity(2));
	const maxBytes = 8 * 1024 * 1024;
	const cutOff: string[] = [];
	const a = await testNode(1, {
		limits: { queue: { maxBytes } },
		handlers: { onCutOff: (nodeId) => cutOff.push(nodeId) },
	});
	const { child, port } = await startProcess(a);
	a.node.setMembership(memberAt(port), []);
	await until(() => link(a)?.state === "connected");
	a.node.sendRaft(heartbeat(1, 2, 1));
	await a.heard(1);

	child.kill("SIGSTOP");
	const stoppedMs = performance.now();
	const entries = [{ index: 2, term: 1, kind: "command" as const, data: new Uint8Array(512 * 1024) }];
	const append = { type: "append", clusterId, from: testId(1), to: testId(2), term: 1 } as const;
	for (let i = 0; i < 100; i++) {
		a.node.sendRaft({ ...append, previousIndex: 1, previousTerm: 1, commit: 1, entries });
		if (i % 10 === 0) a.node.sendRaft(heartbeat(1, 2, i));
		await Bun.sleep(1);
		expect(link(a)?.queuedBytes).toBeLessThan(maxBytes + 2 * 1024 * 1024);
	}
	expect(link(a)?.dropped.appends).toBeGreaterThan(10);
	expect(link(a)?.dropped.control).toBe(0);
	await until(() => link(a)?.state !== "connected");
	expect(link(a)?.lastClose?.code).toBe("timeout");
	expect(performance.now() - stoppedMs).toBeLessThan(5000);

	child.kill("SIGCONT");
	await until(() => link(a)?.state === "connected");
	a.messages.length = 0;
	a.node.sendRaft(heartbeat(1, 2, 1000));
	await until(() => a.messages.some((message) => message.type === "heartbeat" && message.round === 1000));

	expect(cutOff).toEqual([]);
	child.kill("SIGKILL");
	await until(() => cutOff.length > 0);
	expect(cutOff).toEqual([testId(2)]);
	expect(link(a)?.state).not.toBe("connected");
	await startProcess(a, port);
	await until(() => link(a)?.state === "connected");
	a.messages.length = 0;
	a.node.sendRaft(heartbeat(1, 2, 2000));
	await until(() => a.messages.some((message) => message.type === "heartbeat" && message.round === 2000));
}, 20_000);
