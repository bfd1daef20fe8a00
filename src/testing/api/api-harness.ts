/**
 * The real API on a store in memory, with a fake node and a user of each role signed in. Every answer that a test gets
 * through it is held against the OpenAPI document. `close()` at the end.
 */

import { type Api, createApi } from "../../api/app.ts";
import type { Connection } from "../../api/connection.ts";
import type { NodeRelay } from "../../api/relay.ts";
import { type Listener, listen } from "../../api/server.ts";
import { noUi, type UiAssets } from "../../api/ui-assets.ts";
import { createPasswordHasher } from "../../auth/passwords.ts";
import { AuthService } from "../../auth/service.ts";
import { type OperationTypes, operations } from "../../gen/api.ts";
import { type ApiClient, createApiClient } from "../../lib/api-client.ts";
import { assert, present } from "../../lib/assert.ts";
import { type Clock, systemClock, toRfc3339 } from "../../lib/clock.ts";
import { type IdSource, idSource } from "../../lib/ids.ts";
import { type Logger, silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { GiB } from "../../lib/units.ts";
import { type Role, roles, type User } from "../../model/access.ts";
import { fakeSecrets } from "../fake-secrets.ts";
import { clusterIds, fixtureCluster, fixtureUser } from "../fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../memory-store.ts";
import { FakeCluster } from "./fake-cluster.ts";
import { type FakeConsole, fakeConsole } from "./fake-console.ts";
import { FakeNode } from "./fake-node.ts";
import { documentedProblem, routeAt } from "./openapi-check.ts";

export const password = "correct horse battery";
export const origin = "http://localhost:8443";

export type Account = { user: User; sessionId: string; secret: string };
/** Who sends a request: a role's session, root on the local socket, nobody, or a secret of one's own. */
export type Sender = Role | "local" | "nobody" | { secret: string } | { cookie: string };
export type RequestOptions = {
	as?: Sender;
	/** Sent as JSON, unless it is bytes, text or a stream. */
	body?: unknown;
	headers?: Record<string, string>;
	remoteAddress?: string;
	secure?: boolean;
	signal?: AbortSignal;
	/** The answer is one that the document does not describe (405, unknown paths). */
	undocumented?: boolean;
};

export type ApiHarness = {
	api: Api;
	store: MemoryStore;
	auth: AuthService;
	node: FakeNode;
	console: FakeConsole;
	cluster: FakeCluster;
	clock: Clock;
	ids: IdSource;
	accounts: Record<Role, Account>;
	request(method: string, path: string, options?: RequestOptions): Promise<Response>;
	/** The generated client, as it is used by UI and command line. */
	client(as: Sender): ApiClient<OperationTypes>;
	/** Opens a real listener on loopback; closed with the harness. */
	listen(ui?: UiAssets): Listener;
	close(): Promise<void>;
};

export async function createApiHarness(
	options: { clock?: Clock; logger?: Logger; relay?: NodeRelay } = {},
): Promise<ApiHarness> {
	const clock = options.clock ?? systemClock;
	const ids = idSource(clock, systemRandom);
	const passwords = createPasswordHasher({ memoryCost: 8, timeCost: 1 });
	const passwordHash = await passwords.hash(password);
	const store = await openMemoryStore({ clock, commands: [{ ...fixtureCluster(), adminPasswordHash: passwordHash }] });
	await readyPool(store, clock);
	const { proposer } = store;
	const logger = options.logger ?? silentLogger;
	const auth = new AuthService({ store, proposer, clock, random: systemRandom, ids, logger, passwords });
	for (const role of roles) {
		const user = fixtureUser({ id: ids.newId(), name: role, role });
		if (role !== "admin") await proposer.proposeSystem({ kind: "userCreate", user, passwordHash });
	}
	const node = new FakeNode(clusterIds.node);
	const console = fakeConsole();
	const cluster = new FakeCluster(clusterIds.node);
	const api = createApi({
		secrets: fakeSecrets,
		store,
		proposer,
		auth,
		node,
		console,
		cluster,
		...(options.relay ? { relay: options.relay } : {}),
		clock,
		random: systemRandom,
		ids,
		logger,
		version: "0.0.0-test",
		dataDir: "/var/lib/limiquantix",
	});
	const accounts = {} as Record<Role, Account>;
	for (const role of roles) {
		const { user, session, secret } = await auth.signIn(role, password, { remoteAddress: null, userAgent: "test" });
		accounts[role] = { user, sessionId: session.id, secret };
	}
	const listeners: Listener[] = [];
	const harness: ApiHarness = {
		api,
		store,
		auth,
		node,
		console,
		cluster,
		clock,
		ids,
		accounts,
		request: (method, path, given = {}) => send(api, accounts, method, path, given),
		client: (as) =>
			createApiClient<OperationTypes>(operations, {
				baseUrl: "",
				fetch: (url, init) =>
					send(api, accounts, present(init.method, "method"), url, {
						as,
						headers: init.headers as Record<string, string>,
						...(init.body === undefined || init.body === null ? {} : { body: init.body }),
						...(init.signal ? { signal: init.signal } : {}),
					}),
			}),
		listen(ui = noUi) {
			const listener = listen({ api, console, ui }, { host: "127.0.0.1", port: 0, tls: null });
			listeners.push(listener);
			return listener;
		},
		async close() {
			api.close();
			await auth.close();
			await Promise.all(listeners.map((listener) => listener.stop(true)));
			await store.close();
		},
	};
	return harness;
}

/** The fixture's pool reports: there is room. */
async function readyPool(store: MemoryStore, clock: Clock): Promise<void> {
	await store.proposer.proposeSystem({
		kind: "poolNodeStatus",
		id: clusterIds.pool,
		status: {
			nodeId: clusterIds.node,
			health: "healthy",
			reason: null,
			totalBytes: 100 * GiB,
			usedBytes: 10 * GiB,
			availableBytes: 90 * GiB,
			capabilities: null,
			updatedAt: toRfc3339(clock.nowMs()),
		},
	});
}

function credentialHeaders(as: Sender, accounts: Record<Role, Account>): Record<string, string> {
	if (as === "nobody" || as === "local") return {};
	if (typeof as === "string") return { authorization: `Bearer ${accounts[as].secret}` };
	return "secret" in as ? { authorization: `Bearer ${as.secret}` } : { cookie: as.cookie };
}

const isRaw = (body: unknown): body is BodyInit =>
	typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream || body instanceof Blob;

async function send(
	api: Api,
	accounts: Record<Role, Account>,
	method: string,
	path: string,
	options: RequestOptions,
): Promise<Response> {
	const as = options.as ?? "nobody";
	const body =
		options.body === undefined ? undefined : isRaw(options.body) ? options.body : JSON.stringify(options.body);
	const request = new Request(`${options.secure ? "https" : "http"}://localhost:8443${path}`, {
		method,
		headers: {
			host: "localhost:8443",
			...(body === undefined ? {} : { "content-type": "application/json" }),
			...credentialHeaders(as, accounts),
			...options.headers,
		},
		...(body === undefined ? {} : { body }),
		...(options.signal ? { signal: options.signal } : {}),
	});
	const connection: Connection = {
		remoteAddress: as === "local" ? null : (options.remoteAddress ?? "192.0.2.1"),
		secure: options.secure ?? false,
		local: as === "local",
		keepOpen() {},
	};
	const { pathname } = new URL(request.url);
	const response = await api.handle(request, connection);
	const route = routeAt(method === "HEAD" ? "GET" : method, pathname);
	if (route && method !== "HEAD" && !isStream(response)) {
		const problem = await documentedProblem(route, response.clone());
		assert(problem === null, `not as documented: ${problem}`);
	} else assert(options.undocumented || method === "HEAD" || isStream(response), `${method} ${path} is no operation`);
	return response;
}

const isStream = (response: Response): boolean =>
	response.headers.get("content-type") === "text/event-stream" ||
	response.headers.get("content-type") === "application/octet-stream";
