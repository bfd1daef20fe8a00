/** `limiquantix me`: who one is. */
import { AppError } from "../../lib/errors.ts";
import { passwordFile, readInput, readNewPassword } from "../input-files.ts";
import { file } from "../options.ts";
import { type Noun, verb } from "../verb.ts";

export const meNoun: Noun = {
	name: "me",
	summary: "who one is, and one's own password",
	verbs: [
		verb({
			name: "show",
			summary: "Show who one is and what one may do",
			examples: ["limiquantix me", "limiquantix me show --output json"],
			isDefault: true,
			async run(cli) {
				const { body: me } = await cli.call("meGet");
				await cli.output.object(
					me,
					[
						["name", me.requester.name],
						["kind", me.requester.kind],
						["role", me.role],
						["user id", me.user?.id],
						["permissions", `${me.permissions.length} operations`],
						["node", where(cli.connection().target)],
					],
					me.requester.id ?? me.requester.name,
				);
			},
		}),
		verb({
			name: "password",
			summary: "Change one's own password",
			description: "Both are asked for. Ends all other sessions. Works for sessions of login, not for API tokens.",
			examples: ["limiquantix me password", "limiquantix me password --current-file old --password-file new"],
			options: {
				currentFile: file("--current-file <file>", "read the current password from a file"),
				passwordFile,
			},
			async run(cli, _, { currentFile, passwordFile: newFile }) {
				const currentPassword =
					currentFile === undefined
						? await cli.prompter.secret("Current password: ")
						: ((await readInput(cli, currentFile)).split(/\r?\n/)[0] ?? "");
				const newPassword = await readNewPassword(cli, newFile);
				if (newPassword === currentPassword) throw new AppError("invalid", "The new password is the old one.");
				await cli.call("mePasswordChange", { body: { currentPassword, newPassword } });
				await cli.output.say("The password is changed. Other sessions have ended.");
			},
		}),
	],
};

const where = (target: { kind: "local"; socketPath: string } | { kind: "server"; url: string }): string =>
	target.kind === "local" ? `this machine (${target.socketPath})` : target.url;
