/**
 * Requests to the node, over its unix socket or over TLS. No request, and so no token, leaves before the certificate is
 * known to be the right one. Redirects are not followed: a token goes to the server that was named.
 */
import { isLoopback } from "../../config.ts";
import type { FetchLike } from "../../lib/api-client.ts";
import type { Clock } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { version } from "../../version.ts";
import { isCertificateError, pinnedTrust, refusedCertificate, type TlsTrust, unreachable } from "./certificate.ts";
import type { Target } from "./target.ts";

export type Connection = {
	readonly target: Target;
	/** "" names nothing; without a slash at the end. */
	readonly baseUrl: string;
	readonly fetch: FetchLike;
	/** Authorization, when there is a token. */
	headers(): Record<string, string>;
	/** TLS settings of other connections to the same server; undefined when it is spoken to without TLS. */
	trust(): Promise<TlsTrust | undefined>;
};

export function createConnection(target: Target, clock: Clock): Connection {
	if (target.kind === "local") return localConnection(target.socketPath);
	const { url, token, fingerprint, authorities } = target;
	const secure = url.startsWith("https:");
	let trusted: Promise<TlsTrust> | undefined;
	const trust = async (): Promise<TlsTrust | undefined> => {
		if (!secure) return undefined;
		trusted ??=
			fingerprint === null
				? Promise.resolve(authorities === null ? {} : { ca: [authorities] })
				: pinnedTrust(url, fingerprint, authorities, clock);
		return trusted;
	};
	return {
		target,
		baseUrl: url,
		trust,
		headers: (): Record<string, string> => (token === null ? {} : { authorization: `Bearer ${token}` }),
		async fetch(address, init) {
			const tls = await trust();
			try {
				return await fetch(address, { ...named(init), ...(tls ? { tls } : {}) });
			} catch (error) {
				if (init.signal?.aborted) throw error;
				if (isAppError(error)) throw error;
				if (isCertificateError(error) && fingerprint !== null) throw pinnedButRefused(url, error);
				if (isCertificateError(error)) throw await refusedCertificate(url, error, clock);
				throw serverAway(url, error);
			}
		},
	};
}

/** As which program we ask, and that redirects stay where they are. */
function named(init: RequestInit): RequestInit {
	const headers = new Headers(init.headers);
	headers.set("user-agent", `limiquantix/${version}`);
	return { ...init, headers, redirect: "manual" };
}

const pinnedButRefused = (url: string, error: unknown): AppError =>
	new AppError(
		"forbidden",
		`The certificate of ${url} has the right fingerprint, and is not accepted all the same (${codeOf(error)}).`,
		{ cause: error, context: { hint: "When an authority of your own signed it, add --cacert." } },
	);

function serverAway(url: string, error: unknown): AppError {
	const reasons: Record<string, string> = {
		ECONNREFUSED: "nothing listens there",
		ENOTFOUND: "there is no such host",
		EPROTO: "it does not speak TLS",
		ECONNRESET: "the connection was lost",
		ETIMEDOUT: "it does not answer",
	};
	const code = codeOf(error);
	const text = reasons[code] ?? (error instanceof Error ? error.message : String(error));
	const { hostname } = new URL(url);
	const where = isLoopback(hostname) ? `The node at ${url}` : url;
	return new AppError("unavailable", `${where} cannot be reached: ${text}.`, {
		cause: error,
		context: { lost: code === "ECONNRESET" },
	});
}

function localConnection(socketPath: string): Connection {
	return {
		target: { kind: "local", socketPath },
		baseUrl: "http://localhost",
		trust: () => Promise.resolve(undefined),
		headers: () => ({}),
		async fetch(address, init) {
			try {
				return await fetch(address, { ...named(init), unix: socketPath });
			} catch (error) {
				if (init.signal?.aborted) throw error;
				throw socketAway(socketPath, error);
			}
		},
	};
}

function socketAway(socketPath: string, error: unknown): AppError {
	const code = codeOf(error);
	const other = "For a node on another machine, use --server or limiquantix login.";
	const messages: Record<string, string> = {
		ENOENT: `No node runs on this machine: ${socketPath} is not there.`,
		ECONNREFUSED: `The node on this machine does not run: nobody listens on ${socketPath}.`,
		EACCES: `Only root may use ${socketPath}.`,
		EPERM: `Only root may use ${socketPath}.`,
	};
	const message = messages[code];
	if (message !== undefined) return new AppError("unavailable", message, { cause: error, context: { hint: other } });
	const failure = unreachable(socketPath, error instanceof Error ? error : new Error(String(error)));
	return new AppError(failure.code, failure.message, { cause: error, context: { lost: code === "ECONNRESET" } });
}

const codeOf = (error: unknown): string =>
	error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
