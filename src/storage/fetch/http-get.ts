/**
 * One GET over HTTP or HTTPS to an address that was checked: the name is resolved here, all of its addresses must pass
 * the policy, and the connection goes to one of exactly these, so that a name that changes its answer changes nothing.
 * No proxy, no redirects, no decompression, no reuse of connections; certificates are always verified.
 */
import { ADDRCONFIG } from "node:dns";
import { lookup as resolveName } from "node:dns/promises";
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { networkInterfaces } from "node:os";
import { getCACertificates } from "node:tls";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { errnoOf } from "../file-errors.ts";
import { type AddressPolicy, addressRefusal } from "./address-policy.ts";

export type GetOptions = AddressPolicy & {
	headers: Record<string, string>;
	signal: AbortSignal;
	/** From the call to the head of the answer. */
	headTimeoutMs: number;
	/** Which of the name's addresses to use, counted round and round. */
	addressIndex: number;
	/** Certificates (PEM) that are trusted besides the system's. */
	extraCertificates?: string[];
	/** All addresses of a name (default: the system's resolver). */
	resolve?: (hostname: string) => Promise<string[]>;
	clock?: Clock;
};

/** The URL, if it is one that may be asked. Fails with `invalid`. */
export function checkedUrl(text: string, base?: URL): URL {
	let url: URL;
	try {
		url = new URL(text, base);
	} catch (cause) {
		throw new AppError("invalid", "This is not a URL.", { cause });
	}
	if (url.protocol !== "http:" && url.protocol !== "https:")
		throw new AppError("invalid", `Only http and https can be downloaded from, not ${url.protocol.slice(0, 20)}`);
	if (url.username !== "" || url.password !== "")
		throw new AppError("invalid", "A URL with a user name or password is not taken: it would be shown to others.");
	if (url.hostname === "") throw new AppError("invalid", "The URL names no server.");
	return url;
}

/** True for failures that may be gone at the next try. */
export const mayRetry = (error: unknown): boolean => isAppError(error) && error.context.retry === true;

export const lostConnection = (host: string, cause: unknown): AppError =>
	new AppError("unavailable", `The connection to ${host} failed: ${reasonOf(cause)}.`, {
		cause,
		context: { retry: true },
	});

/** The same for a port that is closed and for one behind a filter: nobody looks around in the network with downloads. */
const noConnection = (host: string, cause?: unknown): AppError =>
	new AppError("unavailable", `No connection to ${host} could be made.`, { cause, context: { retry: true } });

/**
 * The answer, its body not yet read: the caller reads or destroys it. Fails with `invalid` (address refused),
 * `unavailable` (no such name, no connection, certificate not trusted), `timeout`, `canceled`.
 */
export async function httpGet(url: URL, options: GetOptions): Promise<IncomingMessage> {
	const addresses = await checkedAddresses(url, options);
	const address = addresses[options.addressIndex % addresses.length] ?? "";
	const family = isIP(address);
	const lookup: LookupFunction = (_hostname, wanted, callback) =>
		wanted.all ? callback(null, [{ address, family }]) : callback(null, address, family);
	const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
	const requestOptions: RequestOptions = {
		method: "GET",
		protocol: url.protocol,
		hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"),
		port: url.port || (url.protocol === "https:" ? 443 : 80),
		path: `${url.pathname}${url.search}`,
		agent: false,
		lookup,
		headers: { ...options.headers, "Accept-Encoding": "identity", "User-Agent": "limiquantix" },
	};
	const trust = { ca: [...trustedCertificates(), ...(options.extraCertificates ?? [])] };
	const request =
		url.protocol === "https:"
			? httpsRequest({ ...requestOptions, ...trust }, resolve)
			: httpRequest(requestOptions, resolve);
	let isConnected = false;
	request.on("socket", (socket) => {
		isConnected = !socket.connecting;
		socket.once("connect", () => {
			isConnected = true;
		});
	});
	request.on("error", (error) => reject(requestFailure(url, error, isConnected)));
	const onAbort = () => {
		reject(new AppError("canceled", "The download was canceled.", { cause: options.signal.reason }));
		request.destroy();
	};
	const timer = (options.clock ?? systemClock).schedule(options.headTimeoutMs, () => {
		const late = new AppError("timeout", `${url.host} did not answer in time.`, { context: { retry: true } });
		reject(isConnected ? late : noConnection(url.host));
		request.destroy();
	});
	options.signal.addEventListener("abort", onAbort, { once: true });
	if (options.signal.aborted) onAbort();
	request.end();
	try {
		const response = await promise;
		// Whatever the HTTP library did: this is where the bytes come from.
		const remote = response.socket.remoteAddress ?? "";
		if (!sameAddress(remote, address)) {
			response.destroy();
			throw new AppError("internal", `The connection went to ${remote} instead of ${address}.`);
		}
		return response;
	} finally {
		timer.cancel();
		options.signal.removeEventListener("abort", onAbort);
	}
}

async function checkedAddresses(url: URL, options: GetOptions): Promise<string[]> {
	const hostname = url.hostname.replace(/^\[(.*)\]$/, "$1");
	const addresses = isIP(hostname) ? [hostname] : await (options.resolve ?? systemResolve)(hostname);
	if (addresses.length === 0) throw new AppError("unavailable", `The name ${hostname} has no address.`);
	const policy = { ...options, ownAddresses: options.ownAddresses ?? interfaceAddresses() };
	for (const address of addresses) {
		const refusal = addressRefusal(address, policy);
		if (refusal !== null)
			throw new AppError("invalid", `Nothing is downloaded from ${hostname} (${address}): ${refusal}.`);
	}
	return addresses;
}

const interfaceAddresses = (): string[] =>
	Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));

async function systemResolve(hostname: string): Promise<string[]> {
	try {
		return (await resolveName(hostname, { all: true, hints: ADDRCONFIG })).map(({ address }) => address);
	} catch (cause) {
		const again = errnoOf(cause) === "EAI_AGAIN";
		throw new AppError("unavailable", `The name ${hostname} cannot be resolved.`, { cause, context: { retry: again } });
	}
}

/** Those that come with the runtime, and those that the administrator gave to this node (a company's own authority). */
const trustedCertificates = (): string[] => [
	...new Set([...getCACertificates("default"), ...getCACertificates("system")]),
];

const sameAddress = (a: string, b: string): boolean => a.replace(/^::ffff:/, "") === b.replace(/^::ffff:/, "");

function requestFailure(url: URL, error: unknown, isConnected: boolean): AppError {
	if (error instanceof AppError) return error;
	const code = errnoOf(error) ?? "";
	const untrusted = /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|HOSTNAME_MISMATCH/.test(code);
	if (untrusted)
		return new AppError("unavailable", `The certificate of ${url.host} is not trusted (${code}).`, { cause: error });
	if (code.startsWith("HPE_"))
		return new AppError("unavailable", `${url.host} does not speak proper HTTP (${code}).`, { cause: error });
	return isConnected ? lostConnection(url.host, error) : noConnection(url.host, error);
}

function reasonOf(error: unknown): string {
	switch (errnoOf(error)) {
		case "ECONNRESET":
			return "it was cut";
		case "ETIMEDOUT":
			return "no answer";
		default:
			return errnoOf(error) ?? "it was cut";
	}
}
