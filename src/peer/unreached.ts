/**
 * Why no connection came about, in words for whoever has to put it right; each names the address. What the
 * operating system and the TLS library call it helps nobody; only an error that has no words here is quoted.
 */
import { type Address, formatAddress } from "./address.ts";
import { type Close, isPeerError, PeerError } from "./peer-error.ts";

/** `error`: of the socket. */
export function unreached(address: Address, error: Error): Close {
	return { code: "unreachable", message: wordsFor(address, error) };
}

export const silent = (address: Address, limitMs: number): Close => ({
	code: "timeout",
	message: `${formatAddress(address)} does not answer: nothing came back within ${limitMs / 1000} s.`,
});

export const cutOffBy = (address: Address): Close => ({
	code: "unreachable",
	message: `The connection to ${formatAddress(address)} was cut off.`,
});

function wordsFor(address: Address, error: Error): string {
	const where = formatAddress(address);
	const code = "code" in error ? String(error.code) : "";
	switch (code) {
		case "ECONNREFUSED":
			return `Nobody listens at ${where}.`;
		case "ENOTFOUND":
			return `There is no host of the name ${address.host} (${where}).`;
		case "EAI_AGAIN":
			return `The name ${address.host} (${where}) cannot be looked up: no name server answers.`;
		case "EHOSTUNREACH":
			return `No machine answers at ${where}: it is off, or no network leads there.`;
		case "ENETUNREACH":
			return `No network leads to ${where} from here.`;
		case "ETIMEDOUT":
			return `${where} does not answer.`;
		case "ECONNRESET":
			return cutOffBy(address).message;
	}
	if (code === "EPROTO" || code.startsWith("ERR_SSL_"))
		return `What listens at ${where} does not speak TLS as nodes do: it is no port for the links between nodes.`;
	return `${where} cannot be connected to: ${error.message}`;
}

/** It was never spoken to: another address may do. */
export const isUnreached = (error: unknown): error is PeerError =>
	isPeerError(error) && !error.sent && (error.close === "unreachable" || error.close === "timeout");

/**
 * What to say when none of several addresses did: one that answered, though with a no, says more than those where nobody
 * was; of those, each has its own words.
 */
export function mostTelling(failures: readonly unknown[]): unknown {
	const answered = failures.findLast((error) => !isUnreached(error));
	if (answered !== undefined) return answered;
	const silences = failures.filter(isUnreached);
	const last = silences.at(-1);
	if (last === undefined || silences.length === 1) return last;
	return new PeerError({ code: last.close, message: [...new Set(silences.map(({ message }) => message))].join(" ") });
}
