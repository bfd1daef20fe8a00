/**
 * What people have of a Ceph cluster is its ceph.conf and a keyring; they paste both, in one text or in two. This finds the
 * monitors, the user and the key in it. Pure. Source of the syntax: https://docs.ceph.com/en/latest/rados/configuration/
 */
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../../lib/errors.ts";
import { CephRbdPoolConfig, PoolCredentials } from "../../model/pool-config.ts";

const maxTextLength = 256 * 1024;

export type PastedCeph = { monitors: string[]; user: string; cephKey: string };

/** `user`: whose key, when the keyring has several. Fails with `invalid`, saying what is missing. */
export function parseCephConf(text: string, user: string | null = null): PastedCeph {
	if (text.length > maxTextLength)
		throw new AppError("invalid", "This is too long for the configuration of a Ceph client.");
	const sections = readSections(text);
	const monitors = monitorsOf(sections);
	const keys = new Map<string, string>();
	for (const { name, values } of sections) {
		const key = values.get("key");
		if (name.startsWith("client.") && key !== undefined) keys.set(name.slice("client.".length), key);
	}
	const names = [...keys.keys()];
	const chosen = user ?? (names.length === 1 ? names[0] : undefined);
	if (names.length === 0)
		throw new AppError("invalid", "There is no key of a client in it: a section [client.NAME] with a line key = …");
	if (chosen === undefined)
		throw new AppError(
			"invalid",
			`There are keys of several users in it (${names.slice(0, 10).join(", ")}); choose one.`,
		);
	const cephKey = keys.get(chosen);
	if (cephKey === undefined) throw new AppError("invalid", "There is no key of this user in it.");
	if (!Value.Check(CephRbdPoolConfig.properties.user, chosen))
		throw new AppError("invalid", "The name of the user has signs that we do not take.");
	if (!Value.Check(PoolCredentials.properties.cephKey, cephKey))
		throw new AppError("invalid", `The key of ${chosen} is not one: it is base64.`);
	if (!Value.Check(CephRbdPoolConfig.properties.monitors, monitors))
		throw new AppError("invalid", "The addresses of the monitors (mon_host) are missing, or are not understood.");
	return { monitors, user: chosen, cephKey };
}

type Section = { name: string; values: Map<string, string> };

/** `mon host`, `mon_host` and `mon-host` are one name. A line that ends in a backslash goes on in the next. */
function readSections(text: string): Section[] {
	const sections: Section[] = [{ name: "global", values: new Map() }];
	for (const raw of text.replace(/\\\r?\n/g, " ").split(/\r?\n/)) {
		const line = raw.replace(/(^|\s)[#;].*$/, "").trim();
		const header = /^\[([^\]]{1,128})\]$/.exec(line);
		if (header) sections.push({ name: header[1]?.trim() ?? "", values: new Map() });
		const at = line.indexOf("=");
		if (header || at < 1) continue;
		const name = line
			.slice(0, at)
			.trim()
			.toLowerCase()
			.replaceAll(/[\s-]+/g, "_");
		const value = line
			.slice(at + 1)
			.trim()
			.replace(/^"(.*)"$/, "$1");
		sections.at(-1)?.values.set(name, value);
	}
	return sections;
}

/** Of mon_host, else the addresses in sections of monitors. */
function monitorsOf(sections: Section[]): string[] {
	const listed = sections
		.map(({ values }) => values.get("mon_host"))
		.find((value) => value !== undefined && value !== "");
	const own = sections.flatMap(({ name, values }) => (name.startsWith("mon.") ? [values.get("mon_addr") ?? ""] : []));
	return [...new Set((listed === undefined ? own : splitHosts(listed)).flatMap(hostPort))];
}

/** Separated by commas, semicolons or spaces; several addresses of one monitor are in brackets together. */
function splitHosts(text: string): string[] {
	const hosts: string[] = [];
	let depth = 0;
	let host = "";
	for (const sign of text) {
		depth += sign === "[" ? 1 : sign === "]" ? -1 : 0;
		if (depth <= 0 && /[\s,;]/.test(sign)) {
			hosts.push(host);
			host = "";
		} else host += sign;
	}
	return [...hosts, host].filter((one) => one !== "");
}

/** "HOST", "HOST:PORT" or "[IPV6]:PORT" of "[v2:…,v1:…]", "v2:…/0" or a bare address. The newer protocol's, if there are two. */
function hostPort(entry: string): string[] {
	const inner = /^\[(v[12]:.*)\]$/.exec(entry)?.[1] ?? entry;
	const addresses = inner.split(/,(?=v[12]:)/).filter((address) => address !== "");
	const chosen = addresses.find((address) => address.startsWith("v2:")) ?? addresses[0];
	if (chosen === undefined) return [];
	const bare = chosen.replace(/^v[12]:/, "").replace(/\/\d+$/, "");
	// An IPv6 address without brackets has no port.
	return [bare.split(":").length > 2 && !bare.startsWith("[") ? `[${bare}]` : bare];
}
