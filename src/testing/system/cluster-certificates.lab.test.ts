/** New keys and certificates for the links between real nodes, while clients write through each of them. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { type ClusterNode, peerPort } from "../cluster/cluster-node.ts";
import { untilSame } from "../cluster/convergence.ts";
import { LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 180_000;
const stepMs = 60_000;

/** Writes without a pause, one after the other; every failure counts. */
class Writer {
	readonly failures: string[] = [];
	written = 0;
	readonly #node: ClusterNode;
	readonly #running: Promise<void>;
	#stopping = false;

	constructor(node: ClusterNode) {
		this.#node = node;
		this.#running = this.#run();
	}

	async stop(): Promise<void> {
		this.#stopping = true;
		await this.#running;
	}

	async #run(): Promise<void> {
		const { api, name } = this.#node;
		const body = { name: `writer-${name}`, role: "viewer" as const, password: "correct horse battery" };
		const { id } = (await api.call("userCreate", { body })).body;
		while (!this.#stopping) {
			try {
				await api.call("userUpdate", { path: { id }, body: { displayName: `after ${this.written}` } });
				this.written += 1;
			} catch (error) {
				this.failures.push(`${name}: ${error}`);
			}
		}
	}
}

/** The certificate that a node shows on its port for others: SHA-256, as `openssl` prints it, without colons. */
async function shownBy(node: ClusterNode): Promise<string> {
	const [host, port] = node.peerAddress.split(":");
	const script = [
		`const socket = require("node:tls").connect({ host: "${host}", port: ${port}, rejectUnauthorized: false });`,
		`socket.on("error", () => {});`,
		`socket.on("secureConnect", () => {`,
		`console.log(socket.getPeerCertificate().fingerprint256.replaceAll(":", "").toLowerCase()); process.exit(0); });`,
	].join("\n");
	return (await node.run(process.execPath, ["-e", script])).trim();
}

/** The connections that it has made to other nodes, by their ends. */
async function connectionsOf(node: ClusterNode): Promise<string[]> {
	const filter = [`( dport = :${peerPort} )`];
	const lines = (await node.run("ss", ["--tcp", "--numeric", "--no-header", "state", "established", ...filter])).split(
		"\n",
	);
	return lines.flatMap((line) => {
		const [, , from, to] = line.trim().split(/\s+/);
		return from && to ? [`${from} ${to}`] : [];
	});
}

test(
	"each node gets a new key and certificate while all are written to: no write fails, nobody else leads",
	async () => {
		await using cluster = await LabCluster.start(3);
		const leader = await cluster.leader();
		const asked = present(
			cluster.nodes.find((node) => node !== leader),
			"a follower",
		);
		const before = present(await statusOf(leader), "the status");
		const writers = cluster.nodes.map((node) => new Writer(node));
		const untilWritten = (count: number) => {
			const from = writers.map(({ written }) => written);
			return waitUntil("writes through each node", stepMs, () =>
				writers.every(({ written }, number) => written >= (from[number] ?? 0) + count),
			);
		};
		await untilWritten(20);
		for (const node of cluster.nodes) {
			const [old, connections] = [await shownBy(node), await connectionsOf(node)];
			expect(connections.length).toBeGreaterThanOrEqual(2);
			const { fingerprint } = JSON.parse(
				await asked.cli(stepMs, "cluster", "renew-certificate", node.name, "--output", "json"),
			) as { fingerprint: string };
			expect([fingerprint === old, await shownBy(node)]).toEqual([false, fingerprint]);
			await waitUntil(`the links of ${node.name} to be made anew`, stepMs, async () => {
				const now = await connectionsOf(node);
				return now.length >= 2 && !connections.some((one) => now.includes(one));
			});
			await untilWritten(20);
		}
		for (const writer of writers) await writer.stop();
		expect(writers.flatMap(({ failures }) => failures)).toEqual([]);
		const after = present(await statusOf(leader), "the status");
		expect([after.leaderNodeId, after.term]).toEqual([before.leaderNodeId, before.term]);
		const { items } = (await leader.api.call("auditList", { query: { operation: ["nodeCertificateRenew"] } })).body;
		expect(items.map(({ outcome }) => outcome)).toEqual(["accepted", "accepted", "accepted"]);

		// It is what a node has after a start, too; and one whose file is lost makes another.
		const kept = await shownBy(asked);
		await asked.term();
		await asked.start();
		expect(await shownBy(asked)).toBe(kept);
		await asked.kill9();
		await asked.run("rm", [join(asked.daemon.dataDir, "peer", "identity.pem")]);
		await asked.start();
		expect(await shownBy(asked)).not.toBe(kept);
		await asked.api.call("clusterUpdate", { body: { name: "renewed" } });
		await untilSame(cluster.nodes, cluster.folder, stepMs);
	},
	limitMs,
);
