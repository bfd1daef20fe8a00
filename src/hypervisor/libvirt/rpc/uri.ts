/**
 * libvirt's connection URIs, as far as a local driver goes, and the sockets behind them. A host runs either `libvirtd`,
 * which does everything, or the modular daemons, where networks and secrets have sockets of their own. Which it is can
 * change while we run (a package upgrade), so candidates are listed anew for each attempt.
 */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { AppError } from "../../../lib/errors.ts";

export type LibvirtUri = {
	driver: "qemu" | "test";
	/** What libvirt is asked to open: the URI without transport and socket. */
	name: string;
	/** A socket that was given; null for libvirt's own places. */
	socketPath: string | null;
};

/** A socket to try, and what to open on it. */
export type Endpoint = { path: string; name: string; modular: boolean };

/** The longest path that fits a unix socket address, with its final NUL. */
const maxSocketPathBytes = 107;
const defaultFolder = "/run/libvirt";

/** Fails with `invalid`. */
export function parseLibvirtUri(uri: string): LibvirtUri {
	const match = /^(qemu|test)(\+unix)?:\/\/(\/[a-z]+)(?:\?(.*))?$/.exec(uri);
	const [, driver, transport, path, query] = match ?? [];
	if ((driver !== "qemu" && driver !== "test") || path !== (driver === "qemu" ? "/system" : "/default"))
		throw new AppError("invalid", `"${uri}" is not a libvirt URI of this host. Write for example qemu:///system.`);
	const parameters = new URLSearchParams(query ?? "");
	for (const name of parameters.keys())
		if (name !== "socket") throw new AppError("invalid", `The parameter "${name}" of a libvirt URI is not supported.`);
	const socketPath = parameters.get("socket");
	if (socketPath !== null && (!transport || !socketPath.startsWith("/")))
		throw new AppError("invalid", `A socket needs the form ${driver}+unix://${path}?socket=/absolute/path.`);
	if (socketPath !== null && Buffer.byteLength(socketPath) > maxSocketPathBytes)
		throw new AppError("invalid", `The socket's path is longer than ${maxSocketPathBytes} bytes.`);
	return { driver, name: `${driver}://${path}`, socketPath };
}

/** Sockets for the hypervisor, best first; the first is returned even when none exists, for its error message. */
export function mainEndpoints(uri: LibvirtUri, folder = defaultFolder): Endpoint[] {
	if (uri.socketPath !== null) return [endpoint(uri.socketPath, uri.name)];
	const modular = endpoint(join(folder, "virtqemud-sock"), uri.name);
	const monolithic = endpoint(join(folder, "libvirt-sock"), uri.name);
	// Where both exist, libvirt-sock is virtproxyd, which would only pass everything on.
	const all = uri.driver === "qemu" ? [modular, monolithic] : [monolithic, modular];
	const existing = all.filter(({ path }) => existsSync(path));
	return existing.length > 0 ? existing : [monolithic];
}

/** The daemon of its own for networks or secrets, beside the modular hypervisor daemon; null when that does it all. */
export function sideEndpoint(uri: LibvirtUri, main: Endpoint, what: "network" | "secret"): Endpoint | null {
	if (uri.driver !== "qemu" || !main.modular) return null;
	const daemon = what === "network" ? "virtnetworkd" : "virtsecretd";
	const path = join(dirname(main.path), `${daemon}-sock`);
	return existsSync(path) ? { path, name: `${what}:///system`, modular: true } : null;
}

const endpoint = (path: string, name: string): Endpoint => ({
	path,
	name,
	modular: basename(path) === "virtqemud-sock",
});
