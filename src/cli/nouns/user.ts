/** `limiquantix user`: who may sign in, and as what. */
import type { User } from "../../gen/api.ts";
import { roles } from "../../model/access.ts";
import type { Cli } from "../cli.ts";
import { usageError } from "../failure.ts";
import { fullTime, relativeTime } from "../format.ts";
import { passwordFile, readNewPassword } from "../input-files.ts";
import { resolveId } from "../names.ts";
import { choice, flag, onOff, text } from "../options.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { confirm } from "../prompt.ts";
import { type Noun, verb } from "../verb.ts";
import { yes } from "./common-options.ts";

const userArgument = { "<user>": "name or id of the user" } as const;
const displayName = text("--display-name <text>", "the person's name");
const role = choice("--role <role>", roles, "what the user may do");

export const userNoun: Noun = {
	name: "user",
	summary: "who may sign in, and as what",
	verbs: [
		verb({
			name: "list",
			summary: "List users",
			examples: ["limiquantix user list"],
			options: listOptions(["name", "createdAt"]),
			async run(cli, _, { limit, search, sort }) {
				const users = await allPages(cli, "userList", given({ search, sort }), limit);
				const now = cli.io.clock.nowMs();
				await cli.output.list(
					users,
					[
						{ header: "NAME", value: (user) => user.name },
						{ header: "DISPLAY NAME", value: (user) => user.displayName },
						{ header: "ROLE", value: (user) => user.role },
						{ header: "ENABLED", value: (user) => (user.enabled ? "yes" : "no") },
						{ header: "CREATED", value: (user) => relativeTime(user.createdAt, now) },
						{ header: "ID", value: (user) => user.id },
					],
					(user) => user.id,
				);
			},
		}),
		verb({
			name: "create",
			summary: "Create a user",
			description: "The password is asked for; 12 characters at least.",
			examples: [
				"limiquantix user create anna --role operator",
				"limiquantix user create ci --role operator --password-file /run/secrets/ci",
			],
			arguments: { "<name>": "name to sign in with" },
			options: { role, displayName, passwordFile },
			async run(cli, { name }, { role: wanted, displayName: shown, passwordFile: path }) {
				if (wanted === undefined) throw usageError("--role is missing.");
				const password = await readNewPassword(cli, path);
				const body = { name, role: wanted, password, ...given({ displayName: shown }) };
				await showUser(cli, (await cli.call("userCreate", { body })).body);
			},
		}),
		verb({
			name: "show",
			summary: "Show a user",
			examples: ["limiquantix user show anna"],
			arguments: userArgument,
			async run(cli, { user }) {
				const id = await resolveId(cli, "user", user);
				await showUser(cli, (await cli.call("userGet", { path: { id } })).body);
			},
		}),
		verb({
			name: "edit",
			aliases: ["set"],
			summary: "Change a user",
			description: "Another role, or being disabled, ends all sessions of the user.",
			examples: ["limiquantix user edit anna --role admin", "limiquantix user edit anna --no-enabled"],
			arguments: userArgument,
			options: {
				role,
				displayName,
				enabled: onOff("--enabled", "let the user sign in", "do not let the user sign in"),
			},
			async run(cli, { user }, changes) {
				const body = given(changes);
				if (Object.keys(body).length === 0) throw usageError("Nothing is to be changed.");
				const id = await resolveId(cli, "user", user);
				await showUser(cli, (await cli.call("userUpdate", { path: { id }, body })).body);
			},
		}),
		verb({
			name: "delete",
			summary: "Delete a user",
			description: "Sessions and API tokens of the user go too.",
			examples: ["limiquantix user delete anna --yes"],
			arguments: userArgument,
			options: { yes },
			async run(cli, { user }, { yes: sure }) {
				const id = await resolveId(cli, "user", user);
				await confirm(cli, `Delete the user ${user}?`, sure);
				await cli.call("userDelete", { path: { id } });
				await cli.output.say(`${user} is deleted.`);
			},
		}),
		verb({
			name: "reset-password",
			summary: "Give a user a new password",
			description:
				"It is asked for. Ends all sessions and API tokens of the user, who must choose another password at the next sign-in.",
			examples: [
				"limiquantix user reset-password anna",
				"limiquantix user reset-password anna --password-file - < new-password",
			],
			arguments: userArgument,
			options: { passwordFile, keepTokens: flag("--keep-tokens", "leave the user's API tokens as they are") },
			async run(cli, { user }, { passwordFile: path, keepTokens }) {
				const id = await resolveId(cli, "user", user);
				const newPassword = await readNewPassword(cli, path);
				await cli.call("userPasswordReset", { path: { id }, body: { newPassword, endTokens: !keepTokens } });
				await cli.output.say(`${user} has a new password.`);
			},
		}),
	],
};

async function showUser(cli: Cli, user: User): Promise<void> {
	await cli.output.object(
		user,
		[
			["name", user.name],
			["id", user.id],
			["display name", user.displayName],
			["role", user.role],
			["enabled", user.enabled],
			["must change password", user.mustChangePassword],
			["created", fullTime(user.createdAt, cli.io.clock.nowMs())],
		],
		user.id,
	);
}
