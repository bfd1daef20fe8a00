/** A page of 100 VMs among 20,000, sorted by name and filtered by power state, for 16 clients at a time. */
import { type Bench, percentile, round } from "./bench.ts";
import { type BenchNode, withBenchNode } from "./bench-node.ts";
import { closedLoop } from "./closed-loop.ts";
import { cpuSeconds } from "./process-figures.ts";

const vmCount = 20_000;
const clients = 16;
const warmUpMs = 2_000;
const durationMs = 15_000;

export const apiList: Bench = {
	name: "api-list",
	what: `GET /v1/vms, 100 of ${vmCount} by name with a power state, ${clients} clients over TCP`,
	run: () =>
		withBenchNode({ vmCount }, async (node) => {
			const readers = Array.from({ length: clients }, (_, at) => pageReader(node, at % 2 === 0 ? "stopped" : "failed"));
			let bytes = 0;
			const read = async (client: number) => {
				bytes = (await readers[client]?.()) ?? 0;
			};
			await closedLoop({ clients, durationMs: warmUpMs }, read);
			const cpuBefore = cpuSeconds(node.daemon.pid);
			const { timesMs, perSecond } = await closedLoop({ clients, durationMs }, read);
			const cpuMs = (cpuSeconds(node.daemon.pid) - cpuBefore) * 1000;
			return {
				apiListVms: vmCount,
				apiListClients: clients,
				apiListP50Ms: round(percentile(timesMs, 0.5)),
				apiListP95Ms: round(percentile(timesMs, 0.95)),
				apiListP99Ms: round(percentile(timesMs, 0.99)),
				apiListMaxMs: round(Math.max(...timesMs)),
				apiListPerSecond: round(perSecond, 0),
				// Steadier than the times where others use the machine too.
				apiListDaemonCpuMs: round(cpuMs / timesMs.length, 3),
				apiListAnswerBytes: bytes,
			};
		}),
};

/** Page after page, and from the first again after the last. Gives the length of the answer's text. */
function pageReader({ daemon, headers }: BenchNode, powerState: string): () => Promise<number> {
	let pageToken: string | null = null;
	return async () => {
		const query = new URLSearchParams({ limit: "100", sort: "name", powerState });
		if (pageToken !== null) query.set("pageToken", pageToken);
		const response = await fetch(`${daemon.url}/v1/vms?${query}`, { headers });
		const text = await response.text();
		if (response.status !== 200) throw new Error(`The list answered ${response.status}: ${text.slice(0, 300)}`);
		pageToken = tokenOf(text);
		return text.length;
	};
}

/** Of the end of the answer alone: parsing all of it would take the machine's time in the middle of the measurement. */
export function tokenOf(page: string): string | null {
	const end = JSON.parse(`{${page.slice(page.lastIndexOf('"nextPageToken"'))}`) as { nextPageToken: string | null };
	return end.nextPageToken;
}
