/** Addresses of nodes as people type them: the port may be left out where nothing else could be meant. */
import { isIP } from "node:net";
import { defaultPeerPort } from "../../../model/cluster.ts";
import { texts } from "../../options.ts";

/** "10.0.0.1" → "10.0.0.1:8444", "fd00::1" → "[fd00::1]:8444"; anything else is for the API to judge. */
export function withPort(typed: string): string {
	if (isIP(typed) === 6) return `[${typed}]:${defaultPeerPort}`;
	return /^\[[^\]]*\]$|^[^:[\]]+$/.test(typed) ? `${typed}:${defaultPeerPort}` : typed;
}

export const addressOption = texts(
	"--address <host:port>",
	`where the other nodes reach this one (port ${defaultPeerPort} when it is left out); several times for several`,
);
