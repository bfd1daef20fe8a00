/**
 * Debian's etcd-server, as many members as wanted, with TLS for clients and between members, asked through its HTTP gateway.
 * Everything but addresses, certificates and the given election settings is its default.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeCertificates } from "./certificates.ts";
import { type Cluster, type ClusterOptions, type Member, settled, type View } from "./cluster.ts";
import type { Exchange } from "./exchange.ts";
import type { LoadClient } from "./load.ts";
import { memberProcess } from "./member-process.ts";

export type EtcdOptions = ClusterOptions & {
	name: string;
	heartbeatMs?: number;
	electionMs?: number;
	/** In it before, with values as large as those written. */
	keys?: number;
};

/** About what a renamed volume takes in our log. */
const valueBytes = 512;
const clientPort = 2379;
const peerPort = 2380;

export const etcdProgram = (): string | null => Bun.which("etcd");

export async function startEtcdCluster(options: EtcdOptions): Promise<Cluster> {
	const program = etcdProgram();
	if (program === null) throw new Error("Debian's etcd-server is not installed.");
	const { name, network, load } = options;
	const folder = mkdtempSync("/tmp/lqx-bench-etcd-");
	const hosts = [];
	for (let i = 0; i < options.members; i++) hosts.push(await network.addHost());
	const files = await writeCertificates(folder, [...hosts.map(({ address }) => address), "127.0.0.1"]);
	const peerUrls = hosts.map(({ address }) => `https://${address}:${peerPort}`);
	const clientUrls = hosts.map(({ address }) => `https://${address}:${clientPort}`);
	const members: Member[] = hosts.map((host, at) => ({
		host,
		process: memberProcess(
			[
				...[...host.prefix, program, "--name", `member-${at}`, "--data-dir", join(folder, `data-${at}`)],
				...["--listen-client-urls", `${clientUrls[at]}`, "--advertise-client-urls", `${clientUrls[at]}`],
				...["--listen-peer-urls", `${peerUrls[at]}`, "--initial-advertise-peer-urls", `${peerUrls[at]}`],
				...["--initial-cluster", peerUrls.map((url, member) => `member-${member}=${url}`).join(",")],
				...["--initial-cluster-token", name, "--logger", "zap", "--log-level", "error"],
				...["--cert-file", files.certificate, "--key-file", files.key],
				...["--peer-cert-file", files.certificate, "--peer-key-file", files.key],
				...["--peer-trusted-ca-file", files.authority, "--peer-client-cert-auth"],
				...(options.heartbeatMs ? ["--heartbeat-interval", String(options.heartbeatMs)] : []),
				...(options.electionMs ? ["--election-timeout", String(options.electionMs)] : []),
			],
			join(folder, `log-${at}`),
		),
	}));
	const post = (member: number, path: string, ...bodies: object[]): Exchange => ({
		...{ url: `${clientUrls[member]}${path}`, method: "POST", headers: {}, status: 200 },
		bodies: bodies.map((body) => JSON.stringify(body)),
	});
	const ids = new Map<string, number>();
	const status = async (member: number): Promise<EtcdStatus> => {
		const { status: code, body } = await load.call(post(member, "/v3/maintenance/status", {}));
		if (code !== 200) throw new Error(`etcd answered ${code}: ${body}`);
		const found = JSON.parse(body) as EtcdStatus;
		ids.set(found.header.member_id, member);
		return found;
	};
	let version = "";
	const cluster: Cluster = {
		...{ name, members },
		get version() {
			return version;
		},
		async view(member): Promise<View> {
			const { leader, raftTerm, raftAppliedIndex, raftIndex } = await status(member);
			return {
				leader: ids.get(leader ?? "0") ?? null,
				term: Number(raftTerm),
				appliedIndex: Number(raftAppliedIndex ?? raftIndex),
			};
		},
		write: (client, member) =>
			post(member, "/v3/kv/put", ...["a", "b"].map((letter) => ({ key: keyOf(client), value: valueOfLetter(letter) }))),
		read: (client, member) => post(member, "/v3/kv/range", { key: keyOf(client) }),
		async stop() {
			await Promise.all(members.map(({ process }) => process.end()));
			rmSync(folder, { recursive: true, force: true });
		},
	};
	try {
		for (const { process } of members) process.start();
		await settled(cluster, load);
		version = (await status(0)).version;
		await fill(cluster, load, options.keys ?? 0);
		return cluster;
	} catch (error) {
		const said = members.map(({ process }) => process.log()).join("\n");
		await cluster.stop();
		throw new Error(`etcd does not come up:\n${said.slice(-3000)}`, { cause: error });
	}
}

/** Keys that no client writes. */
async function fill(cluster: Cluster, load: LoadClient, keys: number): Promise<void> {
	const { url, ...rest } = cluster.write(0, 0);
	const perTransaction = 100;
	for (let from = 0; from < keys; from += perTransaction) {
		const success = Array.from({ length: Math.min(perTransaction, keys - from) }, (_, at) => ({
			requestPut: { key: base64(`/filled/${from + at}`), value: valueOfLetter("f") },
		}));
		const bodies = [JSON.stringify({ success })];
		const { status, body } = await load.call({ ...rest, bodies, url: url.replace(/put$/, "txn") });
		if (status !== 200) throw new Error(`etcd answered ${status}: ${body}`);
	}
}

type EtcdStatus = {
	header: { member_id: string };
	version: string;
	leader?: string;
	raftTerm: string;
	raftIndex: string;
	raftAppliedIndex?: string;
};

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const keyOf = (client: number): string => base64(`/volumes/${client}`);
const valueOfLetter = (letter: string): string => base64(letter.repeat(valueBytes));
