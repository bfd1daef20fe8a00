/**
 * Which node is spoken to, and as whom. In this order: --server or --run-dir; LIMIQUANTIX_SERVER or LIMIQUANTIX_RUN_DIR;
 * the server of the last `login`; the socket of the node on this machine. A token that `login` stored is used with the
 * server that gave it and no other.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { isLoopback, settings } from "../../config.ts";
import { usageError } from "../failure.ts";
import type { GlobalOptions } from "../global-options.ts";
import type { StoredLogins } from "./stored-logins.ts";

export type LocalTarget = { readonly kind: "local"; readonly socketPath: string };
export type ServerTarget = {
	readonly kind: "server";
	/** "https://node1:8443" */
	readonly url: string;
	readonly token: string | null;
	/** 64 lower-case hexadecimal digits. */
	readonly fingerprint: string | null;
	/** PEM of the authorities to trust instead of the system's. */
	readonly authorities: string | null;
};
export type Target = LocalTarget | ServerTarget;

export const socketName = "limiquantix.sock";
const defaultPort = 8443;
/** sun_path of Linux holds 108 bytes with the NUL. */
const maxSocketPathBytes = 107;

type Given = Pick<GlobalOptions, "runDir" | "server" | "token" | "tokenFile" | "fingerprint" | "cacert">;
type Environment = Record<string, string | undefined>;

/** Fails with a usage error. `logins` is asked only when nothing else says enough. */
export function chooseTarget(given: Given, environment: Environment, logins: () => StoredLogins): Target {
	if (given.server !== undefined && given.runDir !== undefined)
		throw usageError("--server and --run-dir are two different nodes: give one of them.");
	if (given.server !== undefined) return serverTarget(given.server, given, environment, logins);
	if (given.runDir !== undefined) return localTarget(given.runDir, given);
	const variable = (name: string) => environment[name] || undefined;
	const server = variable("LIMIQUANTIX_SERVER");
	if (server !== undefined) return serverTarget(server, given, environment, logins);
	const runDir = variable("LIMIQUANTIX_RUN_DIR");
	if (runDir !== undefined) return localTarget(runDir, given);
	const { current } = logins();
	if (current !== null) return serverTarget(current, given, environment, logins);
	return localTarget(settings.runDir.fallback, given);
}

function localTarget(runDir: string, given: Given): LocalTarget {
	for (const name of ["token", "tokenFile", "fingerprint", "cacert"] as const)
		if (given[name] !== undefined)
			throw usageError(`--${name.replace("File", "-file")} goes together with --server; the local socket needs none.`);
	const socketPath = join(resolve(runDir), socketName);
	if (Buffer.byteLength(socketPath) > maxSocketPathBytes)
		throw usageError(`The path of the socket is too long: ${socketPath}`);
	return { kind: "local", socketPath };
}

function serverTarget(
	server: string,
	given: Given,
	environment: Environment,
	logins: () => StoredLogins,
): ServerTarget {
	const url = serverUrl(server);
	const stored = () => logins().servers[url];
	const token = givenToken(given, environment) ?? stored()?.token ?? null;
	const pin = given.fingerprint ?? (environment.LIMIQUANTIX_FINGERPRINT || undefined) ?? stored()?.fingerprint;
	const cacert = given.cacert ?? (environment.LIMIQUANTIX_CACERT || undefined) ?? stored()?.cacert ?? undefined;
	const fingerprint = pin === undefined || pin === null ? null : parseFingerprint(pin);
	if (url.startsWith("http:")) {
		if (!isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, "")))
			throw usageError("http:// is only accepted on this machine's own address; use https://.");
		if (given.fingerprint !== undefined) throw usageError("--fingerprint needs https://.");
	}
	return {
		kind: "server",
		url,
		token,
		fingerprint,
		authorities: cacert === undefined ? null : readAuthorities(cacert),
	};
}

/** "node1", "node1:8443", "https://node1:8443/" → "https://node1:8443". */
export function serverUrl(server: string): string {
	const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(server);
	let url: URL;
	try {
		url = new URL(hasScheme ? server : `https://${server}`);
	} catch {
		throw usageError(`"${server}" is no address of a server. Write for example https://node1:8443.`);
	}
	if (url.protocol !== "https:" && url.protocol !== "http:")
		throw usageError(`"${server}": the address of a server begins with https://.`);
	if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "" || url.pathname !== "/")
		throw usageError(`"${server}": only the host and the port belong into the address of a server.`);
	const port = hasScheme || /:\d+$/.test(server) ? url.port : String(defaultPort);
	return `${url.protocol}//${url.hostname}${port === "" ? "" : `:${port}`}`;
}

function givenToken(given: Given, environment: Environment): string | undefined {
	if (given.token !== undefined && given.tokenFile !== undefined)
		throw usageError("--token and --token-file are the same: give one of them.");
	const text =
		given.token ??
		(given.tokenFile === undefined ? undefined : readText(given.tokenFile, "--token-file")) ??
		(environment.LIMIQUANTIX_TOKEN || undefined);
	if (text === undefined) return undefined;
	const token = text.trim();
	// It becomes a header: nothing in it may end one.
	if (!/^[\x21-\x7e]{1,1024}$/.test(token)) throw usageError("This is no API token.");
	return token;
}

/** "AB:CD:…", "sha256:abcd…", any case → 64 hexadecimal digits, lower case. */
export function parseFingerprint(text: string): string {
	const digits = text
		.trim()
		.replace(/^sha-?256[:=]/i, "")
		.replaceAll(":", "")
		.toLowerCase();
	if (!/^[0-9a-f]{64}$/.test(digits))
		throw usageError(`"${text}" is no SHA-256 fingerprint: 64 hexadecimal digits are expected.`);
	return digits;
}

function readAuthorities(path: string): string {
	const pem = readText(path, "--cacert");
	if (!pem.includes("-----BEGIN CERTIFICATE-----")) throw usageError(`--cacert: there is no certificate in ${path}.`);
	return pem;
}

function readText(path: string, option: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch (error) {
		throw usageError(`${option}: ${path} cannot be read: ${error instanceof Error ? error.message : error}`);
	}
}
