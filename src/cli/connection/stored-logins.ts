/**
 * Tokens that `limiquantix login` keeps: one file, readable by its owner only, replaced whole. A file that others can
 * read is refused, as a token in it must be thought of as known.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { type Random, randomHex } from "../../lib/random.ts";

export type StoredLogin = {
	token: string;
	userName: string;
	expiresAt: string;
	fingerprint: string | null;
	/** Path of the PEM file that was given with --cacert. */
	cacert: string | null;
};
export type StoredLogins = {
	/** URL of the server that commands go to when none is named. */
	current: string | null;
	/** By URL. */
	servers: Record<string, StoredLogin>;
};

const empty = (): StoredLogins => ({ current: null, servers: {} });

export function loginsPath(environment: Record<string, string | undefined>, homeDir: string): string {
	const config = environment.XDG_CONFIG_HOME || join(homeDir, ".config");
	return join(config, "limiquantix", "logins.json");
}

/** Nothing stored when there is no file. Fails with `corrupt` or `forbidden`. */
export function readLogins(path: string): StoredLogins {
	let text: string;
	try {
		const { mode } = statSync(path);
		if ((mode & 0o077) !== 0)
			throw new AppError(
				"forbidden",
				`Others can read ${path}. Protect it (chmod 600), and sign out where it was used.`,
			);
		text = readFileSync(path, "utf8");
	} catch (error) {
		if (isMissing(error)) return empty();
		throw error;
	}
	try {
		return asLogins(JSON.parse(text));
	} catch (error) {
		throw new AppError("corrupt", `${path} cannot be understood. Delete it and sign in again.`, { cause: error });
	}
}

export function writeLogins(path: string, logins: StoredLogins, random: Random): void {
	mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
	const temporary = `${path}.${randomHex(random, 8)}`;
	try {
		writeFileSync(temporary, `${JSON.stringify(logins, null, "\t")}\n`, { mode: 0o600, flag: "wx" });
		// The process may have an odd umask; the mode above is only an upper limit.
		chmodSync(temporary, 0o600);
		renameSync(temporary, path);
	} catch (error) {
		rmSync(temporary, { force: true });
		throw error;
	}
}

function asLogins(value: unknown): StoredLogins {
	if (typeof value !== "object" || value === null) throw new Error("no object");
	const { current, servers } = value as Partial<StoredLogins>;
	if (typeof servers !== "object" || servers === null) throw new Error("no servers");
	const logins = empty();
	for (const [url, login] of Object.entries(servers)) {
		if (typeof login?.token !== "string") throw new Error("no token");
		logins.servers[url] = {
			token: login.token,
			userName: String(login.userName),
			expiresAt: String(login.expiresAt),
			fingerprint: typeof login.fingerprint === "string" ? login.fingerprint : null,
			cacert: typeof login.cacert === "string" ? login.cacert : null,
		};
	}
	logins.current = typeof current === "string" && current in logins.servers ? current : null;
	return logins;
}

const isMissing = (error: unknown): boolean =>
	error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
