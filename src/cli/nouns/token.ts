/** `limiquantix token`: API tokens, for programs. */
import { writeFileSync } from "node:fs";
import { toRfc3339 } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { parseDuration } from "../../lib/units.ts";
import { roles } from "../../model/access.ts";
import { usageError } from "../failure.ts";
import { fullTime, relativeTime } from "../format.ts";
import { resolveId } from "../names.ts";
import { choice, file, flag, text } from "../options.ts";
import type { Field } from "../output.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { confirm } from "../prompt.ts";
import { type Noun, verb } from "../verb.ts";
import { yes } from "./common-options.ts";

export const tokenNoun: Noun = {
	name: "token",
	summary: "API tokens, for programs",
	verbs: [
		verb({
			name: "list",
			summary: "List one's own API tokens",
			examples: ["limiquantix token list", "limiquantix token list --all"],
			options: { all: flag("--all", "everybody's; administrators only"), ...listOptions(["name", "createdAt"]) },
			async run(cli, _, { all, limit, search, sort }) {
				const query = given({ all: all || undefined, search, sort });
				const tokens = await allPages(cli, "tokenList", query, limit);
				const now = cli.io.clock.nowMs();
				await cli.output.list(
					tokens,
					[
						{ header: "NAME", value: (token) => token.name },
						{ header: "ROLE", value: (token) => token.role },
						{ header: "EXPIRES", value: (token) => relativeTime(token.expiresAt, now) ?? "never" },
						{ header: "CREATED", value: (token) => relativeTime(token.createdAt, now) },
						{ header: "USER", value: (token) => token.userId },
						{ header: "ID", value: (token) => token.id },
					],
					(token) => token.id,
				);
			},
		}),
		verb({
			name: "create",
			summary: "Create an API token",
			description: "Its secret is shown once, and is nowhere to be found afterwards. The role is at most one's own.",
			examples: [
				"limiquantix token create backup --role viewer --expires 90d",
				"limiquantix token create ci --role operator --expires 2031-01-01T00:00:00Z --secret-file ci.token",
			],
			arguments: { "<name>": "what it is for" },
			options: {
				role: choice("--role <role>", roles, "what it may do (default viewer)"),
				expires: text("--expires <when>", "90d, a time in RFC 3339, or never"),
				secretFile: file("--secret-file <file>", "write the secret into this new file instead of showing it"),
			},
			async run(cli, { name }, { role = "viewer", expires, secretFile }) {
				if (expires === undefined)
					throw usageError("--expires is missing. A token that never expires is --expires never.");
				const now = cli.io.clock.nowMs();
				const expiresAt = expiry(expires, now);
				const { body } = await cli.call("tokenCreate", { body: { name, role, expiresAt } });
				if (secretFile !== undefined) writeSecret(secretFile, body.secret);
				const fields: Field[] = [
					["name", body.token.name],
					["id", body.token.id],
					["role", body.token.role],
					["expires", fullTime(body.token.expiresAt, now) ?? "never"],
					secretFile === undefined ? ["secret", body.secret] : ["secret in", secretFile],
				];
				await cli.output.object(secretFile === undefined ? body : { token: body.token }, fields, body.token.id);
				if (secretFile === undefined) await cli.note("The secret is not shown again.");
			},
		}),
		verb({
			name: "delete",
			summary: "Delete an API token",
			description: "It stops working at once. One's own; an administrator may delete any, by id.",
			examples: ["limiquantix token delete backup --yes"],
			arguments: { "<token>": "name or id of the token" },
			options: { yes },
			async run(cli, { token }, { yes: sure }) {
				const id = await resolveId(cli, "token", token);
				await confirm(cli, `Delete the API token ${token}?`, sure);
				await cli.call("tokenDelete", { path: { id } });
				await cli.output.say(`The API token ${token} is deleted.`);
			},
		}),
	],
};

/** "90d", "never", RFC 3339 → RFC 3339 in UTC, or null for never. */
function expiry(when: string, nowMs: number): string | null {
	if (when === "never") return null;
	if (/^\d{4}-\d\d-\d\d/.test(when)) {
		const at = Date.parse(when);
		if (!Number.isNaN(at)) return toRfc3339(at);
	}
	try {
		return toRfc3339(nowMs + parseDuration(when));
	} catch {
		throw usageError(`--expires: "${when}" is no time. Write for example 90d, 2031-01-01T00:00:00Z or never.`);
	}
}

function writeSecret(path: string, secret: string): void {
	try {
		writeFileSync(path, `${secret}\n`, { mode: 0o600, flag: "wx" });
	} catch (error) {
		const reason = error instanceof Error ? error.message : String(error);
		throw new AppError("storage", `The token was made, and its secret is lost: ${reason}. Delete it and make another.`);
	}
}
