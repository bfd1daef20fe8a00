/**
 * How long after a write was acknowledged 100 subscribers of /v1/events have its event. All of them are in this
 * process, so the figure holds the reading of 100 streams too. Below zero: the event was there before the answer.
 */
import { waitUntil } from "../lab/wait-until.ts";
import { type Bench, median, percentile, round } from "./bench.ts";
import { type BenchNode, withBenchNode } from "./bench-node.ts";

const subscribers = 100;
const warmUpWrites = 10;
const writes = 200;
/** The streams of one session are bounded: some of them each. */
const streamsOfSession = 50;

export const eventLatency: Bench = {
	name: "event-latency",
	what: `from the acknowledgement of a write to its event at ${subscribers} subscribers`,
	run: () =>
		withBenchNode({ vmCount: 1 }, async (node) => {
			const streams = await subscribe(node);
			const { body } = await node.api.call("volumeList");
			const id = body.items[0]?.id ?? "";
			const [afterAck, afterAckLast, afterSend, afterSendLast]: number[][] = [[], [], [], []];
			try {
				for (let i = 0; i < warmUpWrites + writes; i++) {
					const marker = `event-${i}-end`;
					const seen = Promise.all(streams.map((stream) => stream.seen(marker)));
					const sentAt = performance.now();
					await node.api.call("volumeUpdate", { path: { id }, body: { name: marker } });
					const acknowledgedAt = performance.now();
					const times = await seen;
					if (i < warmUpWrites) continue;
					afterAck?.push(...times.map((time) => time - acknowledgedAt));
					afterAckLast?.push(Math.max(...times) - acknowledgedAt);
					afterSend?.push(...times.map((time) => time - sentAt));
					afterSendLast?.push(Math.max(...times) - sentAt);
				}
			} finally {
				for (const stream of streams) stream.close();
			}
			return {
				eventSubscribers: subscribers,
				eventAfterAckP50Ms: round(percentile(afterAck ?? [], 0.5)),
				eventAfterAckP99Ms: round(percentile(afterAck ?? [], 0.99)),
				eventAfterAckLastSubscriberMedianMs: round(median(afterAckLast ?? [])),
				eventAfterSendP50Ms: round(percentile(afterSend ?? [], 0.5)),
				eventAfterSendP99Ms: round(percentile(afterSend ?? [], 0.99)),
				eventAfterSendLastSubscriberMedianMs: round(median(afterSendLast ?? [])),
			};
		}),
};

type Stream = {
	/** When (performance.now) the text came; fails after ten seconds. Call it before the text can come. */
	seen(text: string): Promise<number>;
	close(): void;
};

async function subscribe(node: BenchNode): Promise<Stream[]> {
	const streams: Stream[] = [];
	const password = node.daemon.initialPassword();
	while (streams.length < subscribers) {
		const { body } = await node.api.call("sessionCreate", { body: { username: "admin", password } });
		const authorization = `Bearer ${body.token}`;
		const count = Math.min(streamsOfSession, subscribers - streams.length);
		streams.push(...(await Promise.all(Array.from({ length: count }, () => open(node.daemon.url, authorization)))));
	}
	return streams;
}

async function open(url: string, authorization: string): Promise<Stream> {
	const response = await fetch(`${url}/v1/events`, { headers: { authorization } });
	if (!response.body || response.status !== 200) throw new Error(`The events answered ${response.status}.`);
	const reader = response.body.getReader();
	const decoder = new TextDecoder();
	/** Of what came last: a marker may come in two pieces. */
	let tail = "";
	let ready = false;
	let waiting: { text: string; resolve(time: number): void } | null = null;
	const read = async () => {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			tail = (tail + decoder.decode(value, { stream: true })).slice(-8192);
			ready ||= tail.includes("event: ready");
			if (!waiting || !tail.includes(waiting.text)) continue;
			waiting.resolve(performance.now());
			waiting = null;
		}
	};
	// It ends with `close`.
	read().catch(() => {});
	await waitUntil("the stream to be ready", 10_000, () => ready);
	return {
		seen: (text) =>
			new Promise((resolve, reject) => {
				const timer = setTimeout(() => reject(new Error(`No event with ${text} came.`)), 10_000);
				waiting = {
					text,
					resolve(time) {
						clearTimeout(timer);
						resolve(time);
					},
				};
			}),
		close: () => void reader.cancel().catch(() => {}),
	};
}
