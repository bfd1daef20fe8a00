/**
 * A route is said once: where it is, what it takes, what it answers, and who answers. The app (app.ts), the OpenAPI
 * document (openapi.ts), the generated client (src/gen/api.ts) and the tests all come from these definitions. Who may
 * call it is not said here but in model/permissions.ts, by operationId.
 */
import type { Static, TObject, TSchema } from "@sinclair/typebox";
import type { OperationId } from "../model/permissions.ts";
import type { ApiServices, RequestContext } from "./context.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** A body that is no JSON. `maxBytes` bounds request bodies. */
export type BinaryBody = { readonly contentType: string; readonly description: string; readonly maxBytes?: number };
/** A JSON body by its schema, something else by its media type, or nothing (null). */
export type BodySpec = TSchema | BinaryBody | null;
export type ResponseSpecs = { readonly [status: number]: BodySpec };

export const isBinary = (spec: BodySpec | undefined): spec is BinaryBody =>
	spec !== null && spec !== undefined && "contentType" in spec;

type RequestBody<B extends BodySpec> = B extends TSchema
	? Static<B>
	: B extends BinaryBody
		? ReadableStream<Uint8Array>
		: undefined;
/** A body that is JSON text already: a page as the store keeps it. `T` is what it says; nothing checks it again. */
export class JsonText<T> {
	declare readonly says?: T;
	readonly text: string;

	constructor(text: string) {
		this.text = text;
	}
}

type ResponseBody<B> = B extends TSchema
	? Static<B> | JsonText<Static<B>>
	: B extends BinaryBody
		? string | Uint8Array | ReadableStream<Uint8Array>
		: undefined;

/** What a handler answers. `etag` is a generation; `location` and `taskLocation` are paths. */
export type ReplyHeaders = {
	etag?: number;
	location?: string;
	taskLocation?: string;
	/** Whole `Set-Cookie` value. */
	setCookie?: string;
	/** Name of the file that a browser saves; letters, digits, dot, dash, underscore. */
	downloadName?: string;
	/** Length of a streamed body, when it is known. */
	contentLength?: number;
};
export type Reply<R extends ResponseSpecs = ResponseSpecs> = {
	[S in keyof R & number]: R[S] extends null
		? { status: S; body?: undefined; headers?: ReplyHeaders }
		: { status: S; body: ResponseBody<R[S]>; headers?: ReplyHeaders };
}[keyof R & number];
/** Any answer, as the pipeline sees it. */
export type AnyReply = { status: number; body?: unknown; headers?: ReplyHeaders };

type Inferred<T> = T extends TObject ? Static<T> : Record<string, never>;

export type RouteInput<P, Q, H, B extends BodySpec> = {
	context: RequestContext;
	params: Inferred<P>;
	query: Inferred<Q>;
	headers: Inferred<H>;
	body: RequestBody<B>;
};

/** What tells which node has to answer. */
export type PlaceInput<P, Q> = { services: ApiServices; params: Inferred<P>; query: Inferred<Q> };

export type RouteDefinition<
	P extends TObject | undefined,
	Q extends TObject | undefined,
	H extends TObject | undefined,
	B extends BodySpec,
	R extends ResponseSpecs,
> = {
	operationId: OperationId;
	method: Method;
	/** With parameters in braces: "/v1/vms/{id}". */
	path: string;
	/** One line, for the documentation. */
	summary: string;
	description?: string;
	tag: Tag;
	params?: P;
	query?: Q;
	/** Request headers beside the common ones; lower case names. */
	headers?: H;
	body?: B;
	/** True when the body may be left out. */
	bodyOptional?: boolean;
	responses: R;
	/** Takes If-Match: "<generation>" (PATCH and DELETE). */
	ifMatch?: boolean;
	/** Takes Idempotency-Key (POST that changes the state). */
	idempotent?: boolean;
	/** What it does is no command, whose credential is checked again where it applies: it has to be good in a copy that is up to date. */
	direct?: boolean;
	/** The connection may be silent for longer than the server's idle limit. */
	longLived?: boolean;
	/**
	 * The id of the node that alone can answer, when there is one: asked after everything but the body was checked, and the
	 * request is passed on to that node's API (relay.ts), which asks again. Null: any node can.
	 */
	at?(input: PlaceInput<P, Q>): string | null;
	/** When that node's answer was lost: what the state says of it, as it is agreed on; null when it says nothing. */
	whenLost?(input: PlaceInput<P, Q>): Reply<R> | null;
	handler(input: RouteInput<P, Q, H, B>): Promise<Reply<R>> | Reply<R>;
};

/** A route without its types, as the app and the generators see it. */
export type Route = Omit<
	RouteDefinition<undefined, undefined, undefined, null, ResponseSpecs>,
	"params" | "query" | "headers" | "body" | "at" | "whenLost" | "handler"
> & {
	params?: TObject;
	query?: TObject;
	headers?: TObject;
	body?: BodySpec;
	at?(input: { services: ApiServices; params: unknown; query: unknown }): string | null;
	whenLost?(input: { services: ApiServices; params: unknown; query: unknown }): AnyReply | null;
	handler(input: {
		context: RequestContext;
		params: unknown;
		query: unknown;
		headers: unknown;
		body: unknown;
	}): Promise<AnyReply> | AnyReply;
};

export function route<
	P extends TObject | undefined = undefined,
	Q extends TObject | undefined = undefined,
	H extends TObject | undefined = undefined,
	B extends BodySpec = null,
	const R extends ResponseSpecs = ResponseSpecs,
>(definition: RouteDefinition<P, Q, H, B, R>): Route {
	// The pipeline calls the handler only with what the schemas above accepted.
	return definition as unknown as Route;
}

/** Sections of the documentation, in its order. */
export const tags = {
	service: "Health, metrics, events and the API's own description",
	sessions: "Signing in and out; oneself",
	tokens: "API tokens",
	users: "Users and their roles",
	audit: "Who did what",
	cluster: "The cluster and its nodes",
	tasks: "Work that takes time",
	vms: "Virtual machines",
	snapshots: "Snapshots of VMs",
	pools: "Storage pools",
	volumes: "Disks of VMs",
	images: "Disk images and ISO files",
	networks: "Networks",
} as const;
export type Tag = keyof typeof tags;
