/**
 * The clients of a benchmark: a process of its own, so that it can run in another network namespace and its work is not that of
 * whoever measures. Both systems are asked by the same code: fetch over TLS with connections that stay open.
 * Certificates are not checked (the environment says so), for either.
 */
import { createInterface } from "node:readline";
import { closedLoop } from "../closed-loop.ts";
import {
	type AcknowledgedAnswer,
	type Answers,
	type CallAnswer,
	type Exchange,
	type LoadAnswer,
	type Order,
	wallMs,
} from "./exchange.ts";

/** While nothing is acknowledged, one more attempt goes to each member so often: an earlier one may be lost. */
const hedgeMs = 50;
/** After a refusal. */
const retryMs = 5;

const turns = new WeakMap<Exchange, number>();

async function send(exchange: Exchange, signal?: AbortSignal): Promise<CallAnswer> {
	const { url, method, headers, bodies } = exchange;
	const turn = turns.get(exchange) ?? 0;
	turns.set(exchange, turn + 1);
	const body = bodies[turn % bodies.length];
	const response = await fetch(url, {
		...{ method, headers },
		...(body === undefined ? {} : { body }),
		...(signal ? { signal } : {}),
	});
	return { status: response.status, body: await response.text() };
}

async function sendWell(exchange: Exchange, signal?: AbortSignal): Promise<void> {
	const { status, body } = await send(exchange, signal);
	if (status !== exchange.status)
		throw new Error(`${exchange.method} ${exchange.url} answered ${status}: ${body.slice(0, 300)}`);
}

async function load(order: Extract<Order, { kind: "load" }>): Promise<LoadAnswer> {
	const { clients, durationMs } = order;
	let failed = 0;
	let failure: string | null = null;
	const good: number[] = [];
	const started = performance.now();
	const counted = order.failures === "counted";
	const { timesMs, perSecond } = await closedLoop({ clients: clients.length, durationMs }, async (client) => {
		const exchange = clients[client] as Exchange;
		if (!counted) return sendWell(exchange);
		const sent = performance.now();
		try {
			await sendWell(exchange);
			good.push(performance.now() - sent);
		} catch (error) {
			failed += 1;
			failure = String(error);
			await Bun.sleep(retryMs);
		}
	});
	if (!counted) return { timesMs, perSecond, failed, failure };
	return { timesMs: good, perSecond: (good.length * 1000) / (performance.now() - started), failed, failure };
}

function nextAcknowledged({ clients, limitMs }: Extract<Order, { kind: "next-acknowledged" }>) {
	return new Promise<AcknowledgedAnswer>((resolve, reject) => {
		let attempts = 0;
		let last = "none was answered";
		const end = new AbortController();
		const finish = (settle: () => void) => {
			if (end.signal.aborted) return;
			clearTimeout(limit);
			end.abort();
			settle();
		};
		const limit = setTimeout(
			() => finish(() => reject(new Error(`No write was acknowledged in ${limitMs} ms; the last one: ${last}`))),
			limitMs,
		);
		/** One member: the next attempt goes when the newest was refused, or hangs. */
		const lane = (exchange: Exchange) => {
			let newest = 0;
			const attempt = async (): Promise<void> => {
				if (end.signal.aborted) return;
				attempts += 1;
				newest += 1;
				const own = newest;
				const hedge = setTimeout(attempt, hedgeMs);
				try {
					await sendWell(exchange, end.signal);
					const atMs = wallMs();
					finish(() => resolve({ atMs, attempts }));
				} catch (error) {
					if (!end.signal.aborted) last = String(error);
				}
				clearTimeout(hedge);
				if (own === newest) setTimeout(attempt, retryMs);
			};
			void attempt();
		};
		clients.forEach(lane);
	});
}

async function carryOut(order: Order): Promise<Answers[Order["kind"]]> {
	switch (order.kind) {
		case "call":
			return send(order.exchange, AbortSignal.timeout(order.timeoutMs));
		case "load":
			return load(order);
		case "warm":
			for (const exchange of order.clients) await sendWell(exchange);
			return {};
		case "next-acknowledged":
			return nextAcknowledged(order);
	}
}

for await (const line of createInterface({ input: process.stdin })) {
	const { id, order } = JSON.parse(line) as { id: number; order: Order };
	carryOut(order).then(
		(answer) => process.stdout.write(`${JSON.stringify({ id, answer })}\n`),
		(error: unknown) => process.stdout.write(`${JSON.stringify({ id, error: String(error) })}\n`),
	);
}
