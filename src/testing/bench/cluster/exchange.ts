/** What the load client is told and what it answers: one JSON object a line, over its standard input and output. */

/** What one client sends again and again, to one member. */
export type Exchange = {
	url: string;
	method: string;
	headers: Record<string, string>;
	/** Sent in turn, so that each write changes something; empty for a request without a body. */
	bodies: string[];
	/** Any other status is a failure. */
	status: number;
};

export type Order =
	/** One request; its status and body. */
	| { kind: "call"; exchange: Exchange; timeoutMs: number }
	/** Each client sends its request, waits for the answer, sends the next. */
	| { kind: "load"; clients: readonly Exchange[]; durationMs: number; failures: "refused" | "counted" }
	/** Writes through each of them, until one after the other was acknowledged: connections are open then. */
	| { kind: "warm"; clients: readonly Exchange[] }
	/** New writes through all of these, until the first one that was sent after the order is acknowledged. */
	| { kind: "next-acknowledged"; clients: readonly Exchange[]; limitMs: number };

export type CallAnswer = { status: number; body: string };
export type LoadAnswer = {
	/** Of all good answers, in milliseconds. */
	timesMs: number[];
	perSecond: number;
	failed: number;
	/** One of the failures. */
	failure: string | null;
};
export type AcknowledgedAnswer = {
	/** `wallMs` when the answer was there. */
	atMs: number;
	attempts: number;
};

export type Answers = {
	call: CallAnswer;
	load: LoadAnswer;
	warm: Record<string, never>;
	"next-acknowledged": AcknowledgedAnswer;
};

/** Comparable between processes of this machine, finer than a millisecond. */
export const wallMs = (): number => performance.timeOrigin + performance.now();
