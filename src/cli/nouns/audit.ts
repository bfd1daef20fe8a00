/** `limiquantix audit`: who did what. */
import { relativeTime } from "../format.ts";
import { choices, texts } from "../options.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { type Noun, verb } from "../verb.ts";

const defaultLimit = 200;

export const auditNoun: Noun = {
	name: "audit",
	summary: "who changed what, and who was refused",
	verbs: [
		verb({
			name: "list",
			summary: "List audit records, newest first",
			description: `The newest ${defaultLimit}, unless --limit says otherwise.`,
			examples: [
				"limiquantix audit list",
				"limiquantix audit list --user anna --outcome denied",
				"limiquantix audit list --operation vmDelete --output json",
			],
			options: {
				user: texts("--user <name>", "what this user or token did; several times for several"),
				operation: texts("--operation <id>", "this operation of the API, for example vmDelete"),
				outcome: choices("--outcome <outcome>", ["accepted", "rejected", "denied"], "only these"),
				...listOptions(["time"]),
			},
			async run(cli, _, { user, operation, outcome, limit, search, sort }) {
				const query = given({ requesterName: user, operation, outcome, search, sort });
				const records = await allPages(cli, "auditList", query, limit ?? defaultLimit);
				const now = cli.io.clock.nowMs();
				await cli.output.list(
					records,
					[
						{ header: "TIME", value: (record) => relativeTime(record.time, now) },
						{ header: "WHO", value: ({ requester }) => `${requester.name} (${requester.kind})` },
						{ header: "OPERATION", value: (record) => record.operation },
						{ header: "OUTCOME", value: (record) => record.outcome, state: true },
						{
							header: "TARGETS",
							value: ({ targets }) => targets.map(({ kind, name, id }) => `${kind} ${name ?? id}`).join(", "),
						},
						{ header: "ADDRESS", value: (record) => record.remoteAddress },
						{ header: "ERROR", value: (record) => record.errorCode },
						{ header: "CONFIRMED", value: (record) => record.confirmation },
					],
					(record) => record.id,
				);
			},
		}),
	],
};
