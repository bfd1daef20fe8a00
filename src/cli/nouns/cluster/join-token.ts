/** `cluster token`: what a new node is given to join with. */
import { joinTokenMaxMs } from "../../../model/cluster.ts";
import { usageError } from "../../failure.ts";
import { fullTime, relativeTime } from "../../format.ts";
import { duration, integer } from "../../options.ts";
import { allPages, given, listOptions } from "../../pages.ts";
import { confirm } from "../../prompt.ts";
import { type Verb, verb } from "../../verb.ts";
import { yes } from "../common-options.ts";

export const joinTokenVerbs: readonly Verb[] = [
	verb({
		name: "token create",
		summary: "Create a token with which a new node can join",
		description:
			"The token is shown once, and is nowhere to be found afterwards. Whoever has it can make a machine a member of the cluster, with all that is in it, as long as it is good.",
		examples: [
			"limiquantix cluster token create",
			"limiquantix cluster token create --uses 3 --expires 30m",
			"limiquantix cluster token create --output json",
		],
		options: {
			uses: integer("--uses <count>", "for so many nodes (default 1)", { min: 1, max: 64 }),
			expires: duration("--expires <time>", "good for so long, for example 30m or 24h, which is the most (default 1h)"),
		},
		async run(cli, _, { uses, expires: expiresInMs }) {
			if (expiresInMs !== undefined && (expiresInMs < 60_000 || expiresInMs > joinTokenMaxMs))
				throw usageError("--expires: 1m at least and 24h at most.");
			const { body } = await cli.call("joinTokenCreate", { body: given({ uses, expiresInMs }) });
			const { token, secret, command } = body;
			await cli.output.object(
				body,
				[
					["token", secret],
					["id", token.id],
					["uses", token.usesLeft],
					["expires", fullTime(token.expiresAt, cli.io.clock.nowMs())],
				],
				token.id,
			);
			if (cli.output.forPeople) await cli.output.say(`\nOn the new node, as root:\n\n  ${command}`);
			await cli.note("The token is not shown again.");
		},
	}),
	verb({
		name: "token list",
		summary: "List join tokens",
		examples: ["limiquantix cluster token list"],
		options: { limit: listOptions([]).limit },
		async run(cli, _, { limit }) {
			const tokens = await allPages(cli, "joinTokenList", { sort: "createdAt" }, limit);
			const now = cli.io.clock.nowMs();
			await cli.output.list(
				tokens,
				[
					{ header: "EXPIRES", value: (token) => relativeTime(token.expiresAt, now) },
					{ header: "USES LEFT", value: (token) => token.usesLeft, right: true },
					{ header: "NODES", value: (token) => token.admitted.length, right: true },
					{ header: "CREATED BY", value: (token) => token.createdBy },
					{ header: "CREATED", value: (token) => relativeTime(token.createdAt, now) },
					{ header: "ID", value: (token) => token.id },
				],
				(token) => token.id,
			);
		},
	}),
	verb({
		name: "token delete",
		summary: "Delete a join token",
		description: "No node can join with it any more; those that have stay.",
		examples: ["limiquantix cluster token delete 01980000-0000-7000-8000-000000000001 --yes"],
		arguments: { "<id>": "id of the token" },
		options: { yes },
		async run(cli, { id }, { yes: sure }) {
			await confirm(cli, `Delete the join token ${id}?`, sure);
			await cli.call("joinTokenDelete", { path: { id } });
			await cli.output.say(`The join token ${id} is deleted.`);
		},
	}),
];
