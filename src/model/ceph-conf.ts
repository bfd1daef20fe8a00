/**
 * What an administrator of a Ceph cluster hands out: ceph.conf and a keyring, as text → monitors, user and key, as a pool takes them
 * (pool-config.ts). Pure; the command line and the UI read files and pasted text with it. Fails with `invalid` and a sentence,
 * which never repeats a line: it may be the key.
 */
import { AppError } from "../lib/errors.ts";

export type CephKey = { user: string; key: string };

const maxCharacters = 256 * 1024;
const maxMonitors = 16;
const defaultPorts = { v2: "3300", v1: "6789" };

const invalid = (message: string): AppError => new AppError("invalid", message);

/**
 * The addresses of "mon host" (or of the "mon addr" lines that old clusters have), as HOST, HOST:PORT, [IPV6] or [IPV6]:PORT. A
 * monitor that is reached by both protocols at their usual ports is given without a port: a client then tries both.
 */
export function parseCephConf(text: string): string[] {
	const settings = parseIni(text, "The configuration");
	const hosts = settings.filter(({ section, name }) => name === "mon_host" && !section.startsWith("client."));
	// As Ceph has it, the last line counts; [global] is where it belongs.
	const host = hosts.findLast(({ section }) => section === "global") ?? hosts.at(-1);
	const legacy = settings.filter(({ section, name }) => name === "mon_addr" && section.startsWith("mon."));
	const values = host ? [host.value] : legacy.map(({ value }) => value);
	const monitors = [...new Set(values.flatMap(parseMonitors))];
	if (monitors.length === 0) throw invalid('The configuration names no monitors: it has no line "mon host = …".');
	if (monitors.length > maxMonitors) throw invalid(`The configuration names more than ${maxMonitors} monitors.`);
	return monitors;
}

/** The user and the key of a keyring. `user`, without "client.", says which one where there are several. */
export function parseKeyring(text: string, user?: string): CephKey {
	const found = new Map<string, string>();
	for (const { section, name, value } of parseIni(text, "The keyring"))
		if (section.startsWith("client.") && name === "key") found.set(section.slice("client.".length), value);
	const names = [...found.keys()];
	if (names.length === 0)
		throw invalid("The keyring has no key of a client: no section [client.NAME] with a line key = ….");
	if (user === undefined && names.length > 1)
		throw invalid(`The keyring has keys of several users; say which: ${names.filter(isCephName).join(", ")}.`);
	const chosen = user ?? names[0] ?? "";
	const key = found.get(chosen);
	if (key === undefined)
		throw invalid(`The keyring has no key of client.${chosen}; it has ${names.filter(isCephName).join(", ")}.`);
	if (!isCephName(chosen)) throw invalid("The user in the keyring has a name that cannot be used here.");
	if (!/^[A-Za-z0-9+/]{16,250}={0,2}$/.test(key))
		throw invalid(`The key of client.${chosen} is not one: it is cut off, or has other characters.`);
	return { user: chosen, key };
}

const isCephName = (name: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name);

type Setting = { section: string; name: string; value: string };

/** Sections, "name = value", comments after # and ;, lines that a backslash goes on with; blanks in names are underscores. */
function parseIni(text: string, what: string): Setting[] {
	if (text.length > maxCharacters) throw invalid(`${what} is too long to be one.`);
	if (/[\u0000-\u0008\u000e-\u001f\ufffd]/.test(text)) throw invalid(`${what} is no text.`);
	const settings: Setting[] = [];
	let section = "global";
	for (const { line, at } of logicalLines(text)) {
		const content = withoutComment(line).trim();
		if (content === "") continue;
		const heading = /^\[([^[\]]*)\]$/.exec(content);
		if (heading) {
			section = (heading[1] ?? "").trim();
			continue;
		}
		const equals = content.indexOf("=");
		if (equals < 1) throw invalid(`${what}: line ${at} is neither a [section] nor a name = value.`);
		const name = content
			.slice(0, equals)
			.trim()
			.toLowerCase()
			.replace(/[\s-]+/g, "_");
		settings.push({ section, name, value: unquoted(content.slice(equals + 1).trim()) });
	}
	return settings;
}

function logicalLines(text: string): { line: string; at: number }[] {
	const lines: { line: string; at: number }[] = [];
	let open: { line: string; at: number } | null = null;
	for (const [index, raw] of text
		.replace(/^\ufeff/, "")
		.split(/\r\n|\n|\r/)
		.entries()) {
		const goesOn = raw.endsWith("\\");
		const part = goesOn ? raw.slice(0, -1) : raw;
		const line: { line: string; at: number } = open
			? { line: `${open.line}${part}`, at: open.at }
			: { line: part, at: index + 1 };
		open = goesOn ? line : null;
		if (!goesOn) lines.push(line);
	}
	return open ? [...lines, open] : lines;
}

function withoutComment(line: string): string {
	let quote: string | null = null;
	for (const [at, character] of [...line].entries()) {
		if (quote !== null) quote = character === quote ? null : quote;
		else if (character === '"' || character === "'") quote = character;
		else if (character === "#" || character === ";") return [...line].slice(0, at).join("");
	}
	return line;
}

const unquoted = (value: string): string => (/^"([^"]*)"$|^'([^']*)'$/.test(value) ? value.slice(1, -1).trim() : value);

/** "[v2:A:3300/0,v1:A:6789/0],[…] B, C:6789" → one address for each monitor. */
function parseMonitors(value: string): string[] {
	return monitorParts(value).map((part) => {
		// A group of brackets holds the addresses of one monitor; an IPv6 address has some too.
		const group = /^\[((?:v[12]|any):.*)\]$/.exec(part);
		return oneOf((group?.[1] ?? part).split(",").map(parseAddress));
	});
}

/** Split at blanks and commas that no bracket encloses. */
function monitorParts(value: string): string[] {
	const parts: string[] = [];
	let part = "";
	let depth = 0;
	for (const character of value) {
		if (character === "[") depth += 1;
		if (character === "]") depth -= 1;
		if (depth < 0) break;
		if (depth === 0 && /[\s,]/.test(character)) {
			parts.push(part);
			part = "";
		} else part += character;
	}
	if (depth !== 0) throw invalid("The brackets of mon host do not match.");
	return [...parts, part].filter((one) => one !== "");
}

type Address = { protocol: "v1" | "v2" | null; host: string; port: string | null };

function parseAddress(text: string): Address {
	const [, prefix = "", rest = ""] = /^(?:(v1|v2|any):)?(.*)$/s.exec(text.trim()) ?? [];
	const address = rest.replace(/\/\d+$/, "");
	const wrong = invalid(
		"mon host has an address that is not understood: it is a list of HOST, HOST:PORT or [v2:HOST:PORT/0,v1:HOST:PORT/0].",
	);
	const bracketed = /^\[([^[\]]*)\](?::(\d{1,5}))?$/.exec(address);
	const bare = /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$/.test(address);
	const [host, port = null] = bracketed
		? [bracketed[1] ?? "", bracketed[2]]
		: bare
			? [address]
			: (/^([^:]*)(?::(\d{1,5}))?$/.exec(address)?.slice(1) ?? [""]);
	const isIpv6 = bracketed !== null || bare;
	if (!(isIpv6 ? /^[0-9A-Fa-f:.]{2,45}$/ : /^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/).test(host ?? ""))
		throw wrong;
	if (port !== null && Number(port) > 65_535) throw wrong;
	const protocol = prefix === "v1" || prefix === "v2" ? prefix : null;
	return {
		protocol,
		host: isIpv6 ? `[${host}]` : (host ?? ""),
		port: port === null || Number(port) === 0 ? null : String(Number(port)),
	};
}

/** The address to keep of those that one monitor has: the newer protocol's. */
function oneOf(addresses: readonly Address[]): string {
	const [first] = addresses;
	const newer = addresses.find(({ protocol }) => protocol === "v2") ?? first;
	if (!newer) throw invalid("mon host has an empty group of addresses.");
	const older = addresses.find(({ protocol, host }) => protocol === "v1" && host === newer.host);
	const both = newer.protocol === "v2" && (newer.port ?? defaultPorts.v2) === defaultPorts.v2 && older !== undefined;
	if (both && (older.port ?? defaultPorts.v1) === defaultPorts.v1) return newer.host;
	const port = newer.port ?? (newer.protocol === null ? null : defaultPorts[newer.protocol]);
	return port === null ? newer.host : `${newer.host}:${port}`;
}
