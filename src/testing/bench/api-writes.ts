/**
 * Durable writes a second through the API (renaming a volume: an audit record and an event with each), with 1 and with
 * 64 clients; against what the disk itself does (append and fdatasync, one after the other), and against one etcd.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Bench, type Figures, median, percentile, round } from "./bench.ts";
import { type BenchNode, withBenchNode } from "./bench-node.ts";
import { closedLoop, type LoopResult } from "./closed-loop.ts";
import { type Etcd, startEtcd } from "./etcd.ts";

const rounds = 5;
const manyClients = 64;
const durationMs = 2_000;
/** About what a renamed volume takes in the log. */
const recordBytes = 512;

type Writer = (client: number) => Promise<void>;

export const apiWrites: Bench = {
	name: "api-writes",
	what: `durable writes with 1 and ${manyClients} clients, against bare fdatasync and etcd`,
	run: () =>
		withBenchNode({ vmCount: manyClients }, async (node) => {
			const etcd = await startEtcd();
			try {
				return await measure(await volumeRenamer(node), etcd);
			} finally {
				await etcd?.stop();
			}
		}),
};

async function measure(ours: Writer, etcd: Etcd | null): Promise<Figures> {
	const value = "v".repeat(recordBytes);
	const theirs: Writer | null = etcd && ((client) => etcd.put(`/volumes/${client}`, value));
	const fdatasync: number[] = [];
	const runs = { ours1: [], ours64: [], etcd1: [], etcd64: [] } as Record<string, LoopResult[]>;
	for (let i = 0; i <= rounds; i++) {
		const perSecond = fdatasyncPerSecond();
		// The first round warms up.
		if (i > 0) fdatasync.push(perSecond);
		for (const clients of [1, manyClients])
			for (const [name, writer] of [["ours", ours] as const, ["etcd", theirs] as const]) {
				if (!writer) continue;
				const result = await closedLoop({ clients, durationMs }, writer);
				if (i > 0) runs[`${name}${clients}`]?.push(result);
			}
	}
	const perSecond = (name: string) => median((runs[name] ?? []).map((run) => run.perSecond));
	const times = (name: string) => (runs[name] ?? []).flatMap((run) => run.timesMs);
	return {
		diskFdatasyncPerSecond: round(median(fdatasync), 0),
		apiWrites1ClientPerSecond: round(perSecond("ours1"), 0),
		apiWrites1ClientP50Ms: round(percentile(times("ours1"), 0.5)),
		apiWrites1ClientP99Ms: round(percentile(times("ours1"), 0.99)),
		[`apiWrites${manyClients}ClientsPerSecond`]: round(perSecond("ours64"), 0),
		[`apiWrites${manyClients}ClientsP50Ms`]: round(percentile(times("ours64"), 0.5)),
		[`apiWrites${manyClients}ClientsP99Ms`]: round(percentile(times("ours64"), 0.99)),
		apiWrites1ClientPerFdatasyncRatio: round(perSecond("ours1") / median(fdatasync)),
		[`apiWrites${manyClients}ClientsPerFdatasyncRatio`]: round(perSecond("ours64") / median(fdatasync)),
		...(etcd && {
			etcdVersion: etcd.version,
			etcd1ClientPerSecond: round(perSecond("etcd1"), 0),
			[`etcd${manyClients}ClientsPerSecond`]: round(perSecond("etcd64"), 0),
			[`etcd${manyClients}ClientsP99Ms`]: round(percentile(times("etcd64"), 0.99)),
			apiWrites1ClientPerEtcdRatio: round(perSecond("ours1") / perSecond("etcd1")),
			[`apiWrites${manyClients}ClientsPerEtcdRatio`]: round(perSecond("ours64") / perSecond("etcd64")),
		}),
	};
}

/** Each client renames a volume of its own, to and fro. */
async function volumeRenamer({ api, daemon, headers }: BenchNode): Promise<Writer> {
	const { body } = await api.call("volumeList", { query: { limit: manyClients } });
	const volumes = body.items.map(({ id }) => ({ id, writes: 0 }));
	return async (client) => {
		const volume = volumes[client];
		if (!volume) throw new Error(`There is no volume for client ${client}.`);
		volume.writes += 1;
		const name = `bench-${client}-${volume.writes % 2 === 0 ? "a" : "b"}`;
		const response = await fetch(`${daemon.url}/v1/volumes/${volume.id}`, {
			method: "PATCH",
			headers: { ...headers, "content-type": "application/json" },
			body: JSON.stringify({ name }),
		});
		const answer = await response.text();
		if (response.status !== 200) throw new Error(`The rename answered ${response.status}: ${answer.slice(0, 300)}`);
	};
}

/** Beside the data folders of ours and etcd's. */
function fdatasyncPerSecond(): number {
	const folder = mkdtempSync("/tmp/lqx-bench-disk-");
	const file = openSync(join(folder, "log"), "w");
	const record = Buffer.alloc(recordBytes, 0x5a);
	let writes = 0;
	const started = performance.now();
	while (performance.now() - started < durationMs / 2) {
		writeSync(file, record);
		fdatasyncSync(file);
		writes += 1;
	}
	const seconds = (performance.now() - started) / 1000;
	closeSync(file);
	rmSync(folder, { recursive: true, force: true });
	return writes / seconds;
}
