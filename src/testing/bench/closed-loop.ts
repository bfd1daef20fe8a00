/** Clients that each send one request, wait for its answer, and send the next: the load of lists and writes. */

export type LoopResult = {
	/** Of all answers, in milliseconds. */
	timesMs: number[];
	perSecond: number;
};

/** `action` is called for client 0 to `clients` − 1, again and again until the time is up. It rejects: so does this. */
export async function closedLoop(
	{ clients, durationMs }: { clients: number; durationMs: number },
	action: (client: number) => Promise<void>,
): Promise<LoopResult> {
	const timesMs: number[] = [];
	const started = performance.now();
	const end = started + durationMs;
	await Promise.all(
		Array.from({ length: clients }, async (_, client) => {
			for (let now = performance.now(); now < end; ) {
				await action(client);
				const after = performance.now();
				timesMs.push(after - now);
				now = after;
			}
		}),
	);
	return { timesMs, perSecond: (timesMs.length * 1000) / (performance.now() - started) };
}
