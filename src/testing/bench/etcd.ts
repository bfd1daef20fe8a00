/** One etcd on a data folder of its own, written to through its HTTP gateway: what people know for durable small writes. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { waitUntil } from "../lab/wait-until.ts";

export type Etcd = { put(key: string, value: string): Promise<void>; version: string; stop(): Promise<void> };

/** Null when Debian's etcd-server is not installed. */
export async function startEtcd(): Promise<Etcd | null> {
	const program = Bun.which("etcd");
	if (program === null) return null;
	const folder = mkdtempSync("/tmp/lqx-bench-etcd-");
	const [clientPort, peerPort] = await freePorts(2);
	const clientUrl = `http://127.0.0.1:${clientPort}`;
	const peerUrl = `http://127.0.0.1:${peerPort}`;
	const child = Bun.spawn(
		[
			program,
			...["--name", "bench", "--data-dir", join(folder, "data"), "--logger", "zap", "--log-level", "error"],
			...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
			...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
			...["--initial-cluster", `bench=${peerUrl}`],
		],
		{ stdin: "ignore", stdout: "ignore", stderr: Bun.file(join(folder, "log")) },
	);
	const stop = async () => {
		child.kill();
		await child.exited;
		rmSync(folder, { recursive: true, force: true });
	};
	const base64 = (text: string) => Buffer.from(text).toString("base64");
	const put = async (key: string, value: string): Promise<void> => {
		const body = JSON.stringify({ key: base64(key), value: base64(value) });
		const response = await fetch(`${clientUrl}/v3/kv/put`, { method: "POST", body });
		const answer = await response.text();
		if (response.status !== 200) throw new Error(`etcd answered ${response.status}: ${answer}`);
	};
	try {
		const version = await waitUntil("etcd to be ready", 30_000, async () => {
			if (child.exitCode !== null) throw new Error(`etcd ended: ${await Bun.file(join(folder, "log")).text()}`);
			const answer = await fetch(`${clientUrl}/version`).catch(() => undefined);
			return ((await answer?.json()) as { etcdserver: string } | undefined)?.etcdserver;
		});
		// It answers before it has a leader.
		await waitUntil("etcd to take writes", 30_000, () =>
			put("first", "write").then(
				() => true,
				() => false,
			),
		);
		return { put, version, stop };
	} catch (error) {
		await stop();
		throw error;
	}
}

/** Ports that were free just now. */
async function freePorts(count: number): Promise<number[]> {
	const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
	const ports = await Promise.all(
		servers.map(async (server) => {
			await new Promise<void>((resolve) => server.once("listening", () => resolve()));
			const address = server.address();
			return typeof address === "object" && address ? address.port : 0;
		}),
	);
	await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
	return ports;
}
