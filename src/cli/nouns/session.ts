/** `limiquantix session`: who is signed in. Signing in and out: login.ts. */
import { relativeTime } from "../format.ts";
import { flag } from "../options.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { type Noun, verb } from "../verb.ts";

export const sessionNoun: Noun = {
	name: "session",
	summary: "who is signed in",
	verbs: [
		verb({
			name: "list",
			summary: "List one's own sessions",
			examples: ["limiquantix session list", "limiquantix session list --all"],
			options: { all: flag("--all", "everybody's; administrators only"), ...listOptions(["createdAt"]) },
			async run(cli, _, { all, limit, search, sort }) {
				const query = given({ all: all || undefined, search, sort });
				const sessions = await allPages(cli, "sessionList", query, limit);
				const now = cli.io.clock.nowMs();
				await cli.output.list(
					sessions,
					[
						{ header: "USER", value: (session) => session.userName },
						{ header: "SINCE", value: (session) => relativeTime(session.createdAt, now) },
						{ header: "EXPIRES", value: (session) => relativeTime(session.expiresAt, now) },
						{ header: "ADDRESS", value: (session) => session.remoteAddress },
						{ header: "PROGRAM", value: (session) => session.userAgent },
						{ header: "ID", value: (session) => session.id },
					],
					(session) => session.id,
				);
			},
		}),
		verb({
			name: "end",
			aliases: ["delete"],
			summary: "End a session",
			description: "One's own; an administrator may end any. To end the one in use, see logout.",
			examples: ["limiquantix session end 01890a5d-ac96-774b-bcce-b302099a8057"],
			arguments: { "<session>": "id of the session" },
			async run(cli, { session }) {
				await cli.call("sessionDelete", { path: { id: session } });
				await cli.output.say("The session has ended.");
			},
		}),
	],
};
