/**
 * One request, from headers to answer, in an order that gives nothing away: who is asking (401), may they (403, with
 * an audit record), does the cookie's request come from us (403), is it well-formed (400, 413, 415, 422), which node has to
 * answer (relay.ts), then the handler. Everything thrown becomes problem details.
 */

import { type Identity, localIdentity } from "../auth/identity.ts";
import { checkCookieRequest } from "../auth/origin.ts";
import { AppError, type ErrorCode, isAppError, toAppError } from "../lib/errors.ts";
import { isAllowed, type OperationId, permissions } from "../model/permissions.ts";
import type { CommandBody } from "../store/command.ts";
import { requesterKeyOf } from "../store/idempotency.ts";
import { maxIdempotencyKeyLength } from "../store/limits.ts";
import type { Applied } from "../store/store.ts";
import { checkUpload, readBody } from "./body.ts";
import type { Connection } from "./connection.ts";
import type { ApiServices, RequestContext } from "./context.ts";
import { CredentialEnd } from "./credential-end.ts";
import { presentedCredential } from "./credentials.ts";
import { HiddenDenial } from "./hidden-denial.ts";
import { explained, neverAgain } from "./no-leader.ts";
import { problemResponse } from "./problem.ts";
import { answerOfOther, type Place } from "./relay.ts";
import { takeIfHere } from "./relay-serve.ts";
import { requestHash } from "./request-hash.ts";
import { responseOf } from "./response.ts";
import { isBinary, type Route } from "./route.ts";
import { checkBody, readHeaders, readParams, readQuery } from "./validation.ts";

export type PathParams = Readonly<Record<string, string | null>>;

export async function answer(
	services: ApiServices,
	route: Route,
	request: Request,
	params: PathParams,
	connection: Connection,
): Promise<Response> {
	const startedMs = services.clock.monotonicMs();
	const response = await carryOut(services, route, request, params, connection).catch((error: unknown) =>
		failed(services, route.operationId, explained(services, error)),
	);
	services.metrics.observe(route.operationId, response.status, services.clock.monotonicMs() - startedMs);
	return response;
}

/** The problem details of an error; what is a bug, or a lost part, is logged with an id that the client gets too. */
export function failed(services: Pick<ApiServices, "logger" | "ids">, operation: string, error: unknown): Response {
	const known = toAppError(error);
	if (known.code !== "internal" && known.code !== "corrupt") {
		if (known.cause !== undefined) services.logger.debug("a request was refused", { operation, error: known });
		return problemResponse(known);
	}
	const instance = `urn:uuid:${services.ids.newId()}`;
	services.logger.error("a request failed", { operation, instance, error: known });
	return problemResponse(known, { instance });
}

async function carryOut(
	services: ApiServices,
	route: Route,
	request: Request,
	rawParams: PathParams,
	connection: Connection,
): Promise<Response> {
	const { relayed } = connection;
	const copy = new CopyOfState(services, relayed?.stale ?? null);
	const identity = await identify(services, route, request, connection, copy);
	if (!isAllowed(route.operationId, identity?.role ?? null, identity?.via === "local" && !relayed)) {
		if (!identity) throw new AppError("unauthenticated", "Sign in first.");
		await services.auth.recordDenial(identity, route.operationId, connection.remoteAddress);
		if (permissions[route.operationId] === "root")
			throw new AppError("forbidden", "Only root on a node may do this, over its local socket.");
		throw new AppError("forbidden", `Your role, ${identity.role}, does not allow this.`);
	}
	if (identity?.unrecorded === true && route.method !== "GET" && !withoutQuorum.includes(route.operationId))
		throw (
			neverAgain(services) ??
			new AppError(
				"unavailable",
				"There is no quorum: nothing can be changed. This session reads, and opens consoles.",
				{ retryAfterMs: 5000 },
			)
		);
	// The node that the browser asked has checked where the request comes from.
	if (identity?.via === "cookie" && !relayed)
		await asDenied(services, route.operationId, identity, connection, () =>
			checkCookieRequest(request.method, request.headers, connection.secure),
		);
	const params = route.params ? readParams(route.params, rawParams) : {};
	const url = new URL(request.url);
	const query = readQuery(route.query, url.searchParams);
	const headers = readHeaders(route.headers, request.headers);
	const expectedGeneration = route.ifMatch ? readIfMatch(request.headers) : undefined;
	const idempotencyKey = route.idempotent ? readIdempotencyKey(request.headers) : null;
	if (route.longLived) connection.keepOpen();
	const spec = route.body ?? null;
	const { auth, clock } = services;
	const credential = new CredentialEnd(auth, identity);
	const watch = (onEnded: () => void) => (identity ? auth.watchCredential(identity, onEnded) : () => {});
	try {
		const optional = route.bodyOptional ?? false;
		const readIt = () => readBody(request, spec, { optional, measured: !relayed, clock, credential });
		if (spec === null) await readIt();
		else if (isBinary(spec)) checkUpload(request.headers, spec);
		const place = placeOf(services, route, params, query);
		if (place && relayed) takeIfHere(services, place.at, relayed);
		else if (place) {
			const other = await answerOfOther(services, place, {
				...{ route, params: givenParams(route, rawParams), query: url.searchParams, headers: request.headers },
				body: spec === null ? null : request.body,
				credential: presentedCredential(request.headers),
				...{ remoteAddress: connection.remoteAddress, secure: connection.secure, watch },
				signal: AbortSignal.any([request.signal, credential.signal]),
			});
			if (other !== null) return other;
		}
		const body = spec === null ? undefined : await readIt();
		if (spec !== null && !isBinary(spec) && body !== undefined) checkBody(spec, body);
		const key = idempotencyKey;
		const progress = { proposed: false };
		const context = requestContext(services, route, request, connection, identity, {
			...{ expectedGeneration, credential, progress },
			idempotency: key === null ? null : { key, hash: requestHash(request.method, url, body) },
		});
		const stale = identity !== null && route.method === "GET" && (await copy.isStale());
		const handle = () =>
			asDenied(services, route.operationId, identity, connection, () =>
				route.handler({ context, params, query, headers, body }),
			);
		const reply = await handle().catch(async (error: unknown) => {
			const isOnce = progress.proposed || copy.asked || identity === null || (spec !== null && isBinary(spec));
			if (stale && isAppError(error, "not-found") && neverAgain(services) === null) throw notInThisCopy(error);
			if (isOnce || !mayBeOfAnOldCopy(error) || (await copy.isStale())) throw error;
			return handle();
		});
		return responseOf(route, reply, { stale, clock, watch });
	} finally {
		credential.close();
	}
}

/** Others may know it. */
const notInThisCopy = (cause: AppError): AppError =>
	new AppError(
		"unavailable",
		"This node has no contact with a quorum, and its copy of the state does not have this. It may be there all the same.",
		{ cause, retryAfterMs: 1000 },
	);

function placeOf(services: ApiServices, { at, whenLost }: Route, params: unknown, query: unknown): Place | null {
	const input = { services, params, query };
	return at ? { at: () => at(input), whenLost: () => whenLost?.(input) ?? null } : null;
}

/** The path parameters as they came, for another node to read by the same schema. */
function givenParams({ params }: Route, raw: PathParams): Record<string, string> {
	const names = Object.keys(params?.properties ?? {});
	return Object.fromEntries(names.flatMap((name) => (typeof raw[name] === "string" ? [[name, raw[name]]] : [])));
}

/**
 * Handlers refuse by role too (a file of the node, somebody else's token): a denial like any other. Those of a command
 * have their record already: it was written where the command applied.
 */
async function asDenied<T>(
	services: ApiServices,
	operation: OperationId,
	identity: Identity | null,
	connection: Connection,
	work: () => Promise<T> | T,
): Promise<T> {
	try {
		return await work();
	} catch (error) {
		const hidden = error instanceof HiddenDenial;
		if (identity && (hidden || (isAppError(error, "forbidden") && !refusedAtApply.has(error))))
			await services.auth.recordDenial(identity, operation, connection.remoteAddress, hidden ? [error.target] : []);
		throw error;
	}
}

/** What a session that only this node knows may do beside reading. */
const withoutQuorum: readonly OperationId[] = ["vmConsoleTicketCreate", "sessionDeleteCurrent"];

const refusedAtApply = new WeakSet<AppError>();

/**
 * Public routes ask nobody: a browser that signs in may well hold an old cookie. Whether a credential is good is looked up
 * in a copy that has what was acknowledged: a session that was made, or ended, through another node a moment ago is known.
 * Changes are checked again where they apply.
 */
async function identify(
	{ auth }: ApiServices,
	{ operationId, method, direct }: Route,
	request: Request,
	{ local, remoteAddress, relayed }: Connection,
	copy: CopyOfState,
): Promise<Identity | null> {
	if (permissions[operationId] === "public") return null;
	const presented = relayed ? relayed.credential : presentedCredential(request.headers);
	if (!presented) return local ? localIdentity : null;
	const unknown = !auth.isGood(presented) && !auth.isSlowedDown(remoteAddress);
	if (method === "GET" || direct === true || unknown) await copy.isStale();
	return auth.authenticate(presented, remoteAddress);
}

/** Reads see what was acknowledged before; without a quorum they see what this node knows, and say so. Found out once a request. */
class CopyOfState {
	readonly #services: ApiServices;
	#stale: Promise<boolean> | null;

	/** `known`: it was found out before. */
	constructor(services: ApiServices, known: boolean | null) {
		this.#services = services;
		this.#stale = known === null ? null : Promise.resolve(known);
	}

	get asked(): boolean {
		return this.#stale !== null;
	}

	isStale(): Promise<boolean> {
		this.#stale ??= this.#services.store.readIndex().then(
			() => false,
			(error: unknown) => {
				if (isAppError(error, "unavailable")) return true;
				throw error;
			},
		);
		return this.#stale;
	}
}

function readIfMatch(headers: Headers): number | undefined {
	const text = headers.get("if-match");
	if (text === null || text.trim() === "*") return undefined;
	const generation = /^\s*"(\d{1,15})"\s*$/.exec(text)?.[1];
	if (generation === undefined)
		throw new AppError("stale-etag", 'If-Match must be one ETag of this API: a generation in quotes, as "3".');
	return Number(generation);
}

function readIdempotencyKey(headers: Headers): string | null {
	const text = headers.get("idempotency-key");
	if (text === null) return null;
	if (text.length <= maxIdempotencyKeyLength && /^[\x21-\x7e]+$/.test(text)) return text;
	const message = `Must be 1 to ${maxIdempotencyKeyLength} printable ASCII characters without spaces.`;
	throw new AppError("invalid", `Idempotency-Key: ${message}`, { fields: [{ path: "idempotency-key", message }] });
}

/** A node that is behind refuses what another one has just acknowledged: such a refusal is looked at again in a newer copy. */
const mayBeOfAnOldCopy = (error: unknown): boolean =>
	isAppError(error) && !(error instanceof HiddenDenial) && refusalsByState.includes(error.code);
const refusalsByState: readonly ErrorCode[] = ["not-found", "wrong-state", "already-exists", "in-use", "stale-etag"];

type RequestFacts = {
	/** Whether the handler has proposed a command: it is not run a second time then. */
	progress: { proposed: boolean };
	credential: CredentialEnd;
	expectedGeneration: number | undefined;
	idempotency: { key: string; hash: string } | null;
};

function requestContext(
	services: ApiServices,
	route: Route,
	request: Request,
	connection: Connection,
	identity: Identity | null,
	{ credential: credentialEnd, expectedGeneration, idempotency, progress }: RequestFacts,
): RequestContext {
	const { remoteAddress, secure, relayed } = connection;
	const operation = route.operationId;
	const caller = (): Identity => {
		if (!identity) throw new AppError("unauthenticated", "Sign in first.");
		return identity;
	};
	async function mutate(plan: () => CommandBody | Promise<CommandBody>): Promise<Applied> {
		const { requester, credential } = caller();
		if (idempotency !== null) {
			const first = firstAnswer(services, operation, requesterKeyOf(requester, idempotency.key), idempotency.hash);
			if (first) return first;
		}
		const meta = {
			...{ requester, credential, remoteAddress, operation },
			...{ idempotencyKey: idempotency?.key ?? null, ...(idempotency ? { idempotencyHash: idempotency.hash } : {}) },
		};
		const body = await plan();
		progress.proposed = true;
		return services.proposer.propose(body, meta).catch((error: unknown) => {
			if (isAppError(error)) refusedAtApply.add(error);
			throw error;
		});
	}
	return {
		...{ services, operation, request, identity, caller, remoteAddress, secure, expectedGeneration, mutate },
		passedOn: relayed !== undefined,
		get credentialEnded() {
			return credentialEnd.signal;
		},
	};
}

/** What the same request with the same key was answered before; another use of the key is `invalid`. */
function firstAnswer({ store }: ApiServices, operation: OperationId, key: string, hash: string): Applied | null {
	const before = store.idempotent(key);
	if (!before) return null;
	if (before.operation === operation && before.requestHash === hash) return { ...before.applied, replayed: true };
	const message = "This key was used with another request.";
	throw new AppError("invalid", `Idempotency-Key: ${message}`, { fields: [{ path: "idempotency-key", message }] });
}
