/**
 * A request that met a node or a leader that was just going is sent once more rather than given up. What may be sent again
 * without doing it twice: reads, once; writes with an Idempotency-Key, for some seconds, as long as no answer comes or the
 * answer is that it is not possible now (503). The nodes themselves wait for a new leader for up to ten seconds before they
 * say so, so what lasts longer is no election. Everything else is sent once.
 */
import { signal } from "@preact/signals";

/** So many writes wait for an answer longer than one notices. */
export const slowWrites = signal(0);
const noticedAfterMs = 2000;

const firstPauseMs = 400;
const longestPauseMs = 2000;
/** After that no further attempt begins. */
const patienceMs = 6000;

export type Waiting = {
	nowMs(): number;
	pause(ms: number): Promise<void>;
};
const ofPage: Waiting = {
	nowMs: () => performance.now(),
	pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

type Sent = { method: string; keyed: boolean; signal: AbortSignal | null | undefined };

export async function sendPatiently(
	send: () => Promise<Response>,
	{ method, keyed, signal }: Sent,
	{ nowMs, pause }: Waiting = ofPage,
): Promise<Response> {
	const startedMs = nowMs();
	for (let attempt = 0; ; attempt++) {
		const again = keyed ? nowMs() - startedMs < patienceMs : method === "GET" && attempt === 0;
		let retryMs = Math.min(longestPauseMs, firstPauseMs * 2 ** attempt);
		try {
			const response = await send();
			if (!keyed || response.status !== 503 || !again || signal?.aborted) return response;
			const asked = Number(response.headers.get("retry-after") ?? "") * 1000;
			if (asked > 0) retryMs = Math.min(longestPauseMs, asked);
			await response.body?.cancel();
		} catch (error) {
			// Fetch says so when nobody answered; anything else is none of our business.
			if (!(error instanceof TypeError) || !again || signal?.aborted) throw error;
		}
		await pause(retryMs);
	}
}

/** Counts the write among the slow ones while it takes long. */
export async function noticed<T>(work: Promise<T>): Promise<T> {
	let counted = false;
	const timer = setTimeout(() => {
		counted = true;
		slowWrites.value += 1;
	}, noticedAfterMs);
	try {
		return await work;
	} finally {
		clearTimeout(timer);
		if (counted) slowWrites.value -= 1;
	}
}
