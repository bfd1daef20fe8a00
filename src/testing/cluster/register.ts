/**
 * Registers in the state of a cluster, for recorded histories: the description of a network is the value, its generation makes
 * compare-and-set. A read that the node marks as stale is none of the history; what was refused for sure did not happen; of
 * everything else nobody knows.
 */
import { type OperationTypes, operations } from "../../gen/api.ts";
import { type ApiClient, createApiClient } from "../../lib/api-client.ts";
import { type AppError, type ErrorCode, toAppError } from "../../lib/errors.ts";
import { full, lost, notLeading, refusalError, removed } from "../../store/raft/refusals.ts";
import type { Value } from "../linearizability/operation.ts";
import type { End } from "./history.ts";

export type ClusterApi = ApiClient<OperationTypes>;

/**
 * A client of a node's local socket with a connection for each request: one that is used again may be found closed, and the
 * request sent a second time.
 */
export const clientOf = (socketPath: string): ClusterApi =>
	createApiClient<OperationTypes>(operations, {
		baseUrl: "http://localhost",
		fetch: (address, init) => fetch(address, { ...init, unix: socketPath, keepalive: false } as RequestInit),
	});

/** What a register held, and what If-Match must say for that; recorded with the end of a read. */
export type ReadEnd = End & { seen?: { value: Value; generation: number } };

/** There is no answer to these that a node in order could give. */
const wrongAnswers: readonly ErrorCode[] = [
	"internal",
	"corrupt",
	"malformed",
	"not-found",
	"forbidden",
	"unauthenticated",
];
const refusals: readonly ErrorCode[] = ["wrong-state", "stale-etag", "too-many-requests", "already-exists", "in-use"];

/**
 * Answers of a store that say that nothing was proposed, or that it was overwritten, as they are where nothing was tried before: the
 * judge of the history holds the node to that. With an attempt before of which nobody knows they end in other words.
 */
const notDone: ReadonlySet<string> = new Set(
	[
		...[notLeading(null), notLeading("another"), lost(), full(), removed()],
		...(["transferring", "not-ready", "busy"] as const).map((refused) => refusalError({ refused, leader: null })),
	].map(({ message }) => message),
);

export type Failure = { end: End; wrong: string | null };

/** How a request that failed ends in a history, and whether no node should ever have answered so. */
export function endOfFailure(error: unknown): Failure {
	const known = toAppError(error);
	const wrong = wrongAnswers.includes(known.code) ? `${known.code}: ${known.message}` : null;
	const certain = refusals.includes(known.code) || notDone.has(known.message) || wasNeverSent(known);
	const note = `${known.code}: ${known.message}`;
	return { end: { type: certain ? "fail" : "info", note }, wrong };
}

/** Nobody listened on the socket. */
const wasNeverSent = ({ cause }: AppError): boolean =>
	cause instanceof Error && "code" in cause && (cause.code === "ECONNREFUSED" || cause.code === "ENOENT");

export class Register {
	readonly key: string;
	readonly id: string;

	constructor(key: string, id: string) {
		this.key = key;
		this.id = id;
	}

	async read(api: ClusterApi, signal: AbortSignal): Promise<ReadEnd> {
		const { body, stale } = await api.call("networkGet", { path: { id: this.id }, signal });
		if (stale) return { type: "fail", note: "stale" };
		const value = body.description === "" ? null : body.description;
		return { type: "ok", value, seen: { value, generation: body.generation } };
	}

	/** With `ifMatch`: only if it was not changed since. */
	async write(api: ClusterApi, value: string, signal: AbortSignal, ifMatch?: number): Promise<End> {
		try {
			await api.call("networkUpdate", {
				...{ path: { id: this.id }, body: { description: value }, signal },
				...(ifMatch === undefined ? {} : { ifMatch }),
			});
			return { type: "ok" };
		} catch (error) {
			if (ifMatch === undefined || toAppError(error).code !== "stale-etag") throw error;
			return { type: "fail", mismatch: true };
		}
	}
}

/** A network that means nothing: a bridge that no node has. */
export const networkBody = (name: string) => ({ name, config: { kind: "bridge", bridge: "lab-none" } }) as const;
