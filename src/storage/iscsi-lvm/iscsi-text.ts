/** What iscsiadm prints, and the records of open-iscsi's database. Pure. */
import { AppError } from "../../lib/errors.ts";
import { type Portal, parsePortal } from "./names.ts";

export type DiscoveredTarget = { target: string; portals: Portal[] };

const targetName = /^(iqn|eui|naa)\.[\x21-\x7e]{1,220}$/;

/**
 * What a portal says to SendTargets (RFC 7143, appendix C): each target with its portals after it, the asked one where it names none. What
 * is no such thing is left out: a target may answer anything. Portals in the order in which they came.
 */
export function parseTargetKeys(keys: readonly (readonly [string, string])[], asked: Portal): DiscoveredTarget[] {
	const found = new Map<string, DiscoveredTarget>();
	let current: DiscoveredTarget | null = null;
	for (const [name, value] of keys.slice(0, 10_000)) {
		if (name === "TargetName") {
			current = targetName.test(value) ? (found.get(value) ?? { target: value, portals: [] }) : null;
			if (current) found.set(value, current);
		}
		if (name !== "TargetAddress" || current === null) continue;
		const portal = portalOf(value);
		if (portal && !current.portals.some(({ host, port }) => host === portal.host && port === portal.port))
			current.portals.push(portal);
	}
	return [...found.values()].map(({ target, portals }) => ({
		target,
		portals: portals.length > 0 ? portals : [asked],
	}));
}

/** "ADDRESS:PORT,GROUP". */
function portalOf(address: string): Portal | null {
	try {
		return parsePortal(address.replace(/,[0-9]{1,5}$/, ""));
	} catch {
		return null;
	}
}

/**
 * The record with these settings, others as they were. Passwords get into a record only this way: `iscsiadm --op update` takes them
 * from the command line, which every user of the host can read.
 */
export function withSettings(record: string, settings: ReadonlyMap<string, string>): string {
	for (const [key, value] of settings)
		if (!/^[A-Za-z0-9_.[\]]+$/.test(key) || !/^[\x21-\x7e]*$/.test(value))
			throw new AppError("invalid", "This is not a value that an iSCSI record can hold.");
	const lines = record.split("\n").filter((line) => {
		const key = /^\s*([^\s=#]+)\s*=/.exec(line)?.[1];
		return line !== "" && (key === undefined || !settings.has(key));
	});
	const end = lines.findIndex((line) => line.startsWith("# END RECORD"));
	const added = [...settings].filter(([, value]) => value !== "").map(([key, value]) => `${key} = ${value}`);
	lines.splice(end < 0 ? lines.length : end, 0, ...added);
	return `${lines.join("\n")}\n`;
}

export type Chap = { user: string; password: string; mutual: { user: string; password: string } | null };

/** An empty value takes the setting away. `prefix`: "node.session" or "discovery.sendtargets". */
export function chapSettings(prefix: string, chap: Chap | null): [string, string][] {
	const auth = `${prefix}.auth`;
	return [
		[`${auth}.authmethod`, chap ? "CHAP" : "None"],
		[`${auth}.username`, chap?.user ?? ""],
		[`${auth}.password`, chap?.password ?? ""],
		[`${auth}.username_in`, chap?.mutual?.user ?? ""],
		[`${auth}.password_in`, chap?.mutual?.password ?? ""],
	];
}

/** Exit codes of iscsiadm (its man page, and include/iscsi_err.h of open-iscsi). */
export const iscsiExit = { sessionExists: 15, noRecords: 21, noObjects: 21, authorization: 24 } as const;

const words: Record<number, string> = {
	2: "there is no such session",
	4: "the portal cannot be reached",
	5: "the target refused the login",
	6: "the database of open-iscsi cannot be used",
	7: "the target's settings and ours do not fit",
	8: "the portal did not answer in time",
	11: "what answers there does not behave as an iSCSI target",
	12: "the kernel has no iSCSI over TCP",
	13: "iscsiadm may not do this here",
	18: "iscsid does not answer: is it running",
	19: "the target refused the login for good",
	20: "iscsid cannot be reached: is it running",
	24: "the target refused the name or the password (CHAP)",
};

export const iscsiReason = (exitCode: unknown, stderr: string): string => {
	if (/authori[sz]ation failure|Login authentication failed/i.test(stderr)) return words[24] ?? "";
	const known = typeof exitCode === "number" ? words[exitCode] : undefined;
	const line = stderr
		.trim()
		.split("\n")
		.at(-1)
		?.replace(/^iscsiadm: /, "")
		.slice(0, 200);
	return known ?? (line || "the portal ended the connection, or is none of iSCSI");
};
