/** `cluster join`: this node becomes a member of another cluster. First it is said what comes along and what clashes. */
import type { ClusterJoin, JoinPreview } from "../../../gen/api.ts";
import { AppError } from "../../../lib/errors.ts";
import { aheadOrBehind, clockLimitMs, setClockRight, timeOfMember } from "../../../model/clock-rules.ts";
import type { JoinClash } from "../../../model/cluster.ts";
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { readInput } from "../../input-files.ts";
import { flag, text } from "../../options.ts";
import { given } from "../../pages.ts";
import { confirm, typed } from "../../prompt.ts";
import { waitOptions } from "../../tasks.ts";
import { verb } from "../../verb.ts";
import { yes } from "../common-options.ts";
import { addressOption, withPort } from "./addresses.ts";
import { awaitNewNode, mayBeLost } from "./wait.ts";

const tokenVariable = "LIMIQUANTIX_JOIN_TOKEN";
/** The member that is asked has its own limits; all of them fit in here. */
const askMs = 120_000;

export const joinVerb = verb({
	name: "join",
	summary: "Make this node a member of another cluster",
	description: `On the new node, as root. Its VMs, volumes, images, pools and networks come along; its users, passwords and API tokens do not: those of the cluster are good here afterwards. What clashes is listed first, and then nothing is done. The token is what limiquantix cluster token create gave on a member; it may also be in ${tokenVariable}, or come from standard input with --token -, where nobody sees it in a list of processes.`,
	examples: [
		"limiquantix cluster join --token lqxjoin1_…",
		"limiquantix cluster join node1:8444 --token - --address 10.0.0.2:8444 --yes",
		"limiquantix cluster join --token lqxjoin1_… --preview",
	],
	arguments: { "[address...]": "members to ask, HOST:PORT, instead of those that are in the token" },
	options: {
		token: text("--token <token>", "join token; - reads it from standard input"),
		address: addressOption,
		witness: flag("--witness", "vote and keep the state, run no VMs"),
		rename: flag("--rename", "rename what has a name that is taken to NAME-NODE"),
		preview: flag("--preview", "only say what would happen"),
		confirm: text(
			"--confirm <name>",
			"this node's name, when its cluster was recovered elsewhere; asked for otherwise",
		),
		yes,
		...waitOptions,
	},
	async run(cli, { address: members = [] }, options) {
		const { rename, preview, witness } = options;
		const request: ClusterJoin = {
			token: await readToken(cli, options.token),
			...given({ addresses: members.map(withPort), ownAddresses: options.address.map(withPort) }),
			...(witness ? { witness } : {}),
			...(rename ? { rename } : {}),
		};
		const { body: found } = await cli.call("clusterJoin", { body: { ...request, preview: true }, timeoutMs: askMs });
		if (preview) await showPreview(cli, found);
		else if (cli.output.forPeople) await cli.note(whatComes(found));
		await warnOfClock(cli, found);
		const clashes = found.clashes.filter(({ renamable }) => !(rename && renamable));
		if (clashes.length > 0) return refuse(cli, clashes, preview);
		if (preview) return;
		const confirmName = found.recovered ? await giveUp(cli, found, options.confirm) : undefined;
		if (confirmName === undefined) await confirm(cli, `Make this node a member of ${found.clusterName}?`, options.yes);
		const { nodeId, arriving } = (await cli.call("clusterStatusGet")).body;
		// Admitted before, it may stay who it is; and it had no quorum by which it could be taken for what it will be.
		const formerId = arriving ? null : nodeId;
		await mayBeLost(cli, async () => {
			const { body } = await cli.call("clusterJoin", {
				body: { ...request, ...given({ confirmName }) },
				timeoutMs: askMs,
			});
			if (!body.joining) await refuse(cli, body.clashes, false);
		});
		if (!options.wait) return cli.output.say("The node begins anew as a member: limiquantix cluster status");
		const title = `join ${found.clusterName}`;
		const id = await awaitNewNode(cli, { formerId, title, timeoutMs: options.timeout, until: "ready" });
		const { body: node } = await cli.call("nodeGet", { path: { id } });
		const { phase, reason } = node.status;
		if (phase !== "ready") await cli.note(`Warning: ${node.name} is ${phase}${reason === null ? "" : `: ${reason}`}`);
		if (cli.output.forPeople) return cli.output.say(`${node.name} is a member of ${found.clusterName}.`);
		await cli.output.object(node, [["name", node.name]], node.id);
	},
});

async function readToken(cli: Cli, typed: string | undefined): Promise<string> {
	const token = typed ?? cli.environment[tokenVariable];
	if (token === undefined) {
		if (cli.io.stdin.isTTY) return (await cli.prompter.secret("Join token: ")).trim();
		throw usageError(`The token is missing: --token, or ${tokenVariable}.`);
	}
	return (token === "-" ? await readInput(cli, "-") : token).trim();
}

/** The cluster of this node was recovered without it: what it alone knows is nowhere afterwards. Resolves to its name, as typed. */
async function giveUp(cli: Cli, { clusterName }: JoinPreview, confirmed: string | undefined): Promise<string> {
	const { nodeId, members } = (await cli.call("clusterStatusGet")).body;
	const name = members.find((member) => member.nodeId === nodeId)?.name ?? "";
	if (confirmed === undefined)
		await cli.note(
			`The cluster of this node was recovered, or restored, as ${clusterName}. What was changed here since is given up; VMs that are still its own there come back with it. Shut off here what was started elsewhere meanwhile.`,
		);
	const confirmName = confirmed ?? (await typed(cli, name, "--confirm"));
	if (confirmName !== name) throw new AppError("canceled", `The name of this node is ${name}. Nothing was done.`);
	return confirmName;
}

async function warnOfClock(cli: Cli, { clockOffsetMs, clockOf }: JoinPreview): Promise<void> {
	if (typeof clockOffsetMs !== "number" || Math.abs(clockOffsetMs) <= clockLimitMs) return;
	await cli.note(
		`Warning: the clock of this node is ${aheadOrBehind(clockOffsetMs)} ${timeOfMember(clockOf)}. Where it is wrong, ${setClockRight}.`,
	);
}

const kinds = { vms: "VM", volumes: "volume", images: "image", networks: "network", pools: "pool" } as const;

function whatComes({ clusterName, memberNames, brings }: JoinPreview): string {
	const things = (Object.keys(kinds) as (keyof typeof kinds)[])
		.filter((kind) => brings[kind] > 0)
		.map((kind) => `${brings[kind]} ${kinds[kind]}${brings[kind] === 1 ? "" : "s"}`);
	return [
		`Cluster ${clusterName}, with ${memberNames.join(", ")}.`,
		`Comes along: ${things.join(", ") || "nothing"}.`,
		"Does not: users, passwords, API tokens and sessions of this node.",
	].join("\n");
}

async function showPreview(cli: Cli, found: JoinPreview): Promise<void> {
	if (cli.output.forPeople) return cli.output.say(whatComes(found));
	await cli.output.object(found, [], found.clusterId);
}

async function refuse(cli: Cli, clashes: JoinClash[], preview: boolean): Promise<never> {
	if (preview ? cli.output.forPeople : cli.output.format === "table")
		await cli.output.list(
			clashes,
			[
				{ header: "KIND", value: ({ kind }) => kind },
				{ header: "NAME", value: ({ name }) => name },
				{ header: "CLASHES", value: ({ message }) => message },
				{ header: "RENAME HELPS", value: ({ renamable }) => (renamable ? "yes" : "no") },
			],
			({ name }) => name,
		);
	const hint = clashes.some(({ kind }) => kind === "node")
		? "A copy of a member does not join beside it. A node with a data folder of its own does."
		: clashes.every(({ renamable }) => renamable)
			? "With --rename these get other names."
			: "Change or delete these, here or in the cluster, and join again.";
	const fields = clashes.map(({ kind, name, message }) => ({ path: `${kind} ${name}`, message }));
	throw new AppError("already-exists", "Something here clashes with the cluster. Nothing was done.", {
		// People have the table.
		...(cli.output.format === "table" ? {} : { fields }),
		context: { hint },
	});
}
