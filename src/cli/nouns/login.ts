/** `limiquantix login` and `logout`: a session on another node, kept for the commands that follow. */
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Cli } from "../cli.ts";
import { readLogins, type StoredLogins, writeLogins } from "../connection/stored-logins.ts";
import type { ServerTarget } from "../connection/target.ts";
import { usageError } from "../failure.ts";
import { relativeTime } from "../format.ts";
import { passwordFile, readPassword } from "../input-files.ts";
import { flag, text } from "../options.ts";
import { type Verb, verb } from "../verb.ts";

export const loginVerb: Verb = verb({
	name: "login",
	summary: "Sign in to a node; commands without --server go there from then on",
	description:
		"Keeps the session's token in ~/.config/limiquantix, readable by its owner only, for the twelve hours that a session lasts. The password is asked for.",
	examples: [
		"limiquantix login --server https://node1:8443 --username admin",
		"limiquantix login --server node1 --username admin --fingerprint AB:CD:… --password-file -",
	],
	options: { username: text("-u, --username <name>", "who signs in"), passwordFile },
	async run(cli, _, { username, passwordFile: path }) {
		if (username === undefined) throw usageError("--username is missing.");
		const target = serverTarget(cli);
		// The certificate is looked at before anybody is asked for a password.
		await cli.call("healthGet", { anonymous: true });
		const password = await readPassword(cli, path, `Password of ${username} on ${target.url}: `);
		const { body } = await cli.call("sessionCreate", { body: { username, password }, anonymous: true });
		if (body.token === undefined) throw new AppError("internal", "The node answered without a token.");
		const logins = stored(cli);
		const cacert = cli.globals.cacert ?? cli.environment.LIMIQUANTIX_CACERT ?? logins.servers[target.url]?.cacert;
		logins.servers[target.url] = {
			token: body.token,
			userName: body.user.name,
			expiresAt: body.session.expiresAt,
			fingerprint: target.fingerprint,
			cacert: cacert ? resolve(cacert) : null,
		};
		logins.current = target.url;
		writeLogins(cli.loginsPath, logins, cli.io.random);
		const { session, user } = body;
		await cli.output.object(
			{ server: target.url, session, user },
			[
				["signed in to", target.url],
				["as", `${user.name} (${user.role})`],
				["until", relativeTime(session.expiresAt, cli.io.clock.nowMs())],
			],
			session.id,
		);
		if (user.mustChangePassword) await cli.note("The password must be changed: limiquantix me password");
	},
});

export const logoutVerb: Verb = verb({
	name: "logout",
	summary: "Sign out; commands without --server go to this machine again",
	examples: ["limiquantix logout", "limiquantix logout --server https://node1:8443"],
	options: { localOnly: flag("--local-only", "forget the token without telling the node") },
	async run(cli, _, { localOnly }) {
		const logins = stored(cli);
		if (cli.globals.server === undefined && logins.current === null)
			throw new AppError("not-found", "Nobody is signed in.");
		const { url } = serverTarget(cli);
		if (!(url in logins.servers)) throw new AppError("not-found", `Nobody is signed in to ${url}.`);
		const problem = localOnly ? null : await endSession(cli);
		delete logins.servers[url];
		if (logins.current === url) logins.current = null;
		if (Object.keys(logins.servers).length === 0) rmSync(cli.loginsPath, { force: true });
		else writeLogins(cli.loginsPath, logins, cli.io.random);
		if (problem !== null) throw problem;
		await cli.output.say(`Signed out of ${url}.`);
	},
});

/** Null when the session is over. */
async function endSession(cli: Cli): Promise<AppError | null> {
	try {
		await cli.call("sessionDeleteCurrent");
		return null;
	} catch (error) {
		if (isAppError(error, "unauthenticated") || isAppError(error, "not-found")) return null;
		if (!isAppError(error)) throw error;
		return new AppError(
			error.code,
			`${error.message} The token is forgotten here; the session itself lasts until it expires.`,
			{ context: error.context, cause: error },
		);
	}
}

function serverTarget(cli: Cli): ServerTarget {
	const { target } = cli.connection();
	if (target.kind === "local")
		throw usageError("--server is missing. Root needs no sign-in for the node on the same machine.");
	return target;
}

/** What is stored; a file that cannot be used is an error that says so. */
const stored = (cli: Cli): StoredLogins => readLogins(cli.loginsPath);
