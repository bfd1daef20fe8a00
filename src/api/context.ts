/** What a handler gets to work with: the daemon's services, and this one request. */

import type { Identity } from "../auth/identity.ts";
import type { AuthService } from "../auth/service.ts";
import type { ClusterService, SecretSealer } from "../cluster/service.ts";
import type { ConsoleService } from "../console/service.ts";
import type { Clock } from "../lib/clock.ts";
import type { IdSource } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { OperationId } from "../model/permissions.ts";
import type { NodeService } from "../node/service.ts";
import type { CommandBody } from "../store/command.ts";
import type { Applied, Proposer, Store } from "../store/store.ts";
import type { EventHub } from "./events/hub.ts";
import type { ApiMetrics } from "./metrics/api-metrics.ts";
import type { NodeRelay } from "./relay.ts";
import type { TaskWaits } from "./tasks/task-waits.ts";

export type ApiDeps = {
	store: Store;
	proposer: Proposer;
	auth: AuthService;
	/** This node. */
	node: NodeService;
	console: ConsoleService;
	/** This node's part in the cluster. */
	cluster: ClusterService;
	/** Seals what goes into the state. */
	secrets: SecretSealer;
	/** The way to the other nodes; without it there are none. */
	relay?: NodeRelay;
	clock: Clock;
	random: Random;
	ids: IdSource;
	logger: Logger;
	version: string;
	/** The node's own folder: pools and image paths inside it are refused. */
	dataDir: string;
};

/** What the app makes of them once and every request shares. */
export type ApiServices = ApiDeps & {
	relay: NodeRelay;
	events: EventHub;
	metrics: ApiMetrics;
	taskWaits: TaskWaits;
	/** The OpenAPI document, as `GET /v1/openapi.json` answers it. */
	openApi: { openapi: string };
};

export type RequestContext = {
	readonly services: ApiServices;
	readonly operation: OperationId;
	readonly request: Request;
	/** Null only for public routes. */
	readonly identity: Identity | null;
	/** Who is asking; on a public route without credentials this is `unauthenticated`. */
	caller(): Identity;
	/**
	 * Aborted, with `unauthenticated` as the reason, when the credential ends before the handler does: for whatever takes
	 * long and is no command (those are checked again where they apply).
	 */
	readonly credentialEnded: AbortSignal;
	/** Null for the local socket. */
	readonly remoteAddress: string | null;
	/** Another node passes it on: it is not passed on again. */
	readonly passedOn: boolean;
	/** Did the request come over TLS? */
	readonly secure: boolean;
	/** From If-Match; undefined without. */
	readonly expectedGeneration: number | undefined;
	/**
	 * The only way in which a handler writes. `plan` decides on the command; it is not asked when the request's
	 * Idempotency-Key was answered before: the first answer is given again then.
	 */
	mutate(plan: () => CommandBody | Promise<CommandBody>): Promise<Applied>;
};
