/** Opening a connection: authentication, the hypervisor's name, keepalive. libvirt is spoken to as root, without a password. */
import type { Clock } from "../../../lib/clock.ts";
import { AppError } from "../../../lib/errors.ts";
import { nothing } from "./caller.ts";
import { RpcConnection, type RpcConnectionOptions } from "./connection.ts";
import type { KeepaliveOptions } from "./keepalive.ts";
import { maxAuthTypes } from "./limits.ts";
import { authNone, featureKeepalive } from "./protocol.ts";
import type { Connect } from "./transport.ts";
import type { Endpoint } from "./uri.ts";

export type SessionOptions = {
	connect: Connect;
	clock: Clock;
	endpoint: Endpoint;
	/** For connecting and the first calls together. */
	limitMs: number;
	/** Null: never ask whether the other side lives. */
	keepalive: KeepaliveOptions | null;
	connection?: Partial<RpcConnectionOptions>;
	signal?: AbortSignal;
};

const authNames = ["none", "SASL", "polkit"];

/** A connection that is open and ready for calls. Fails with `unavailable`, `timeout` or what libvirt said. */
export async function openSession(options: SessionOptions): Promise<RpcConnection> {
	const { clock, endpoint, limitMs } = options;
	const connection = new RpcConnection({ clock, ...options.connection });
	const limit = new AbortController();
	const giveUp = () => limit.abort(new AppError("timeout", `${endpoint.path} did not answer within ${limitMs} ms.`));
	const timer = clock.schedule(limitMs, giveUp);
	options.signal?.addEventListener("abort", giveUp, { once: true });
	try {
		connection.attach(await options.connect(endpoint.path, connection.transportEvents, limit.signal));
		const call = { timeoutMs: limitMs, signal: limit.signal };
		await authenticate(connection, call);
		await connection.call(
			{
				procedure: "connectOpen",
				write: (w) => {
					w.optionalString(endpoint.name);
					w.uint(0);
				},
				read: nothing,
			},
			call,
		);
		if (options.keepalive && (await supportsKeepalive(connection, call))) connection.startKeepalive(options.keepalive);
		return connection;
	} catch (error) {
		connection.close("the connection could not be opened");
		throw limit.signal.aborted ? limit.signal.reason : error;
	} finally {
		timer.cancel();
		options.signal?.removeEventListener("abort", giveUp);
	}
}

type Limits = { timeoutMs: number; signal: AbortSignal };

async function authenticate(connection: RpcConnection, limits: Limits): Promise<void> {
	const types = await connection.call(
		{ procedure: "authList", read: (r) => r.array(maxAuthTypes, () => r.int()) },
		limits,
	);
	if (types.includes(authNone)) return;
	const wanted = types.map((type) => authNames[type] ?? `type ${type}`).join(" or ") || "something unknown";
	throw new AppError(
		"unavailable",
		`libvirt wants authentication by ${wanted}. LimiQuantix runs as root and uses none: set auth_unix_rw = "none".`,
		{ context: { types } },
	);
}

const supportsKeepalive = (connection: RpcConnection, limits: Limits): Promise<boolean> =>
	connection.call(
		{ procedure: "connectSupportsFeature", write: (w) => w.int(featureKeepalive), read: (r) => r.int() !== 0 },
		limits,
	);

/** Says goodbye; libvirt frees its side at once then. Never fails, never takes longer than `limitMs`. */
export async function closeSession(connection: RpcConnection, reason: string, limitMs = 500): Promise<void> {
	if (!connection.isClosed)
		await connection.call({ procedure: "connectClose", read: nothing }, { timeoutMs: limitMs }).catch(() => {});
	connection.close(reason);
}
