/** `cluster`: naming it, its addresses and leader, and members that go. */
import { AppError, isAppError } from "../../../lib/errors.ts";
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { resolveId } from "../../names.ts";
import { flag, text } from "../../options.ts";
import { allPages } from "../../pages.ts";
import { confirm, typed } from "../../prompt.ts";
import { waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { yes } from "../common-options.ts";
import { addressOption, withPort } from "./addresses.ts";
import { awaitNewNode, mayBeLost } from "./wait.ts";

const ownId = async (cli: Cli): Promise<string> => (await cli.call("healthGet")).body.nodeId;
const nodeOf = async (cli: Cli, id: string) => (await cli.call("nodeGet", { path: { id } })).body;

export const initVerb = verb({
	name: "init",
	summary: "Name the cluster, and say where the others reach this node",
	description:
		"A node is a single-node cluster from its first start; this makes it ready for others. It may be repeated. What comes next: limiquantix cluster token create.",
	examples: ["limiquantix cluster init --name berlin --address 10.0.0.1:8444"],
	options: { name: text("--name <name>", "name of the cluster"), address: addressOption },
	async run(cli, _, { name, address }) {
		const id = await ownId(cli);
		const peerAddresses = address.map(withPort);
		// First what may well be refused.
		if (peerAddresses.length > 0) await cli.call("nodeUpdate", { path: { id }, body: { peerAddresses } });
		if (name !== undefined) await cli.call("clusterUpdate", { body: { name } });
		const { body: cluster } = await cli.call("clusterGet");
		const node = await nodeOf(cli, id);
		await cli.output.object(
			cluster,
			[
				["cluster", cluster.name],
				["node", node.name],
				["addresses", node.peerAddresses.join(", ")],
			],
			cluster.id,
		);
		await cli.note(
			node.peerAddresses.length > 0
				? "To add a node: limiquantix cluster token create"
				: "Nobody knows yet where to reach this node: say it with --address.",
		);
	},
});

export const renameVerb = verb({
	name: "rename",
	summary: "Give the cluster, or a node of it, another name",
	examples: ["limiquantix cluster rename berlin", "limiquantix cluster rename --node node2 rack2-node2"],
	arguments: { "<name>": "the new name" },
	options: { node: text("--node <node>", "rename this node instead; name or id") },
	async run(cli, { name }, { node }) {
		const { body } =
			node === undefined
				? await cli.call("clusterUpdate", { body: { name } })
				: await cli.call("nodeUpdate", { path: { id: await resolveId(cli, "node", node) }, body: { name } });
		await cli.output.object(body, [["name", body.name]], body.id);
	},
});

export const readdressVerb = verb({
	name: "readdress",
	summary: "Say where the other nodes reach a node",
	description:
		"Replaces all of its addresses. Where the node itself listens is its setting peer-listen. Give the new addresses before the old ones go away, or by a node that is still reached. Another node looks whether it finds the node there first. With --data-dir, as root on a node that is stopped: for when all nodes have other addresses and none reaches another. That node then looks for the named one there, beside where the cluster's state says; once they have found each other, readdress without --data-dir records the addresses for all.",
	examples: [
		"limiquantix cluster readdress 10.0.0.1:8444",
		"limiquantix cluster readdress node2 10.0.0.2:8444 [fd00::2]:8444",
		"limiquantix cluster readdress --data-dir /var/lib/limiquantix node2 10.1.0.2:8444",
	],
	arguments: { "<address...>": "HOST:PORT, several for several; before them the node, when it is another one" },
	options: {
		unreached: flag("--unreached", "take them also when the other nodes do not reach the node there now"),
		dataDir: {
			...text("--data-dir <folder>", "say it to the stopped node of this data folder alone"),
			completes: "folder",
		},
	},
	async run(cli, { address: words }, { unreached, dataDir }) {
		const [first = "", ...rest] = words;
		const isNode = !first.includes(":");
		const peerAddresses = isNode ? rest : words;
		if (peerAddresses.length === 0)
			throw usageError("The addresses are missing: HOST:PORT, for example 10.0.0.1:8444.");
		if (dataDir !== undefined) {
			if (!isNode) throw usageError("Which node is at these addresses? Its name, or its id, comes before them.");
			const name = await cli.io.offline.readdress(dataDir, first, peerAddresses);
			const said = `The node of ${dataDir} looks for ${name} at ${peerAddresses.join(", ")}, too. It can be started.`;
			return cli.output.forPeople ? cli.output.say(said) : cli.output.object({ name, peerAddresses }, [], name);
		}
		const id = isNode ? await resolveId(cli, "node", first) : await ownId(cli);
		const change = { peerAddresses, ...(unreached ? { confirmUnreached: true } : {}) };
		const { body } = await cli.call("nodeUpdate", { path: { id }, body: change }).catch(withHint);
		await cli.output.object(
			body,
			[
				["name", body.name],
				["addresses", body.peerAddresses.join(", ")],
			],
			body.id,
		);
	},
});

function withHint(error: unknown): never {
	if (!isAppError(error, "invalid") || !error.fields.some(({ path }) => path === "/confirmUnreached")) throw error;
	throw new AppError("invalid", error.message, {
		context: { ...error.context, hint: "When it will be there, say so with --unreached." },
	});
}

export const transferLeaderVerb = verb({
	name: "transfer-leader",
	summary: "Transfer leadership to another member",
	description: "Before the leader is stopped, for example; it is done in a moment, and nothing is lost.",
	examples: ["limiquantix cluster transfer-leader", "limiquantix cluster transfer-leader node2"],
	arguments: { "[node]": "name or id of the node that becomes the leader; else the one that is best suited" },
	async run(cli, { node }) {
		const body = node === undefined ? {} : { nodeId: await resolveId(cli, "node", node) };
		const { leaderNodeId } = (await cli.call("clusterLeaderTransfer", { body })).body;
		const { name } = await nodeOf(cli, leaderNodeId);
		if (cli.output.forPeople) return cli.output.say(`${name} leads.`);
		await cli.output.object({ leaderNodeId }, [["leader", name]], leaderNodeId);
	},
});

export const renewCertificateVerb = verb({
	name: "renew-certificate",
	summary: "Give a node a new key and certificate for the links between nodes",
	description:
		"Nodes do it by themselves once a year; this does it at once, and nothing pauses. The certificate before stays good until its date: a node whose key was stolen has to be removed, and joins again as another one. The certificate of the UI and the API is another one.",
	examples: ["limiquantix cluster renew-certificate", "limiquantix cluster renew-certificate node2"],
	arguments: { "[node]": "name or id of the node; else the one that is asked" },
	async run(cli, { node }) {
		const id = node === undefined ? await ownId(cli) : await resolveId(cli, "node", node);
		const { body } = await cli.call("nodeCertificateRenew", { path: { id } });
		await cli.output.object(
			body,
			[
				["fingerprint", body.fingerprint],
				["expires", body.expiresAt],
			],
			body.fingerprint,
		);
	},
});

export const leaveVerb = verb({
	name: "leave",
	summary: "Take this node out of the cluster",
	description:
		"On the node itself, which must be empty: move or delete its VMs, volumes and images first. It is a cluster of its own afterwards, as after a first start: with a new password of admin in its data folder. What it was lies in former/ there. It can join again. A node that was admitted and has not received the cluster's state need not be empty: it gives up joining, and is what it was before, with its VMs.",
	examples: ["limiquantix cluster leave", "limiquantix cluster leave --yes"],
	options: { yes, ...waitOptions },
	async run(cli, _, { yes: sure, wait, timeout }) {
		const formerId = await ownId(cli);
		const { body: status } = await cli.call("clusterStatusGet");
		// It knows neither its name nor the cluster's.
		if (status.arriving && status.members.length === 0) return giveUp(cli, formerId, { sure, wait, timeout });
		const { name } = await nodeOf(cli, formerId);
		const { body: cluster } = await cli.call("clusterGet");
		await confirm(cli, `Take ${name} out of the cluster ${cluster.name}?`, sure);
		await mayBeLost(cli, async () => {
			await cli.call("nodeLeave", { path: { id: formerId }, timeoutMs: null });
		});
		if (!wait) return cli.output.say(`${name} has left ${cluster.name}, and begins anew.`);
		const title = `leave ${cluster.name}`;
		const nodeId = await awaitNewNode(cli, { formerId, title, timeoutMs: timeout, until: "started" });
		if (cli.output.forPeople) return cli.output.say(`${name} has left ${cluster.name}. It is a cluster of its own.`);
		await cli.output.object({ nodeId }, [], nodeId);
	},
});

type Leaving = { sure: boolean; wait: boolean; timeout: number | undefined };

/** Admitted, and never heard of since: nobody has to let it go. */
async function giveUp(cli: Cli, formerId: string, { sure, wait, timeout }: Leaving): Promise<void> {
	await confirm(cli, "Give up joining? This node is then what it was before, with its VMs.", sure);
	await mayBeLost(cli, async () => {
		await cli.call("nodeLeave", { path: { id: formerId }, timeoutMs: null });
	});
	if (!wait) return cli.output.say("The node begins anew as what it was before it joined.");
	const nodeId = await awaitNewNode(cli, { formerId, title: "give up joining", timeoutMs: timeout, until: "started" });
	if (!cli.output.forPeople) return cli.output.object({ nodeId }, [], nodeId);
	await cli.output.say("The node is what it was before it joined, with its VMs.");
	await cli.note(
		"The cluster that it was to join lists it still: limiquantix cluster remove NODE there. To join again takes a new token.",
	);
}

export const removeVerb = verb({
	name: "remove",
	summary: "Remove a node that is gone for good",
	description:
		"For a node that is off and does not come back. Its VMs become unknown; to start one elsewhere, move it there with limiquantix vm move. Should the node come back it is told so and changes nothing. Asked again after an answer that was lost, it says that there is no such node when nothing was on it: it is removed. A node that works leaves by itself: limiquantix cluster leave, on it.",
	examples: ["limiquantix cluster remove node3", "limiquantix cluster remove node3 --confirm node3"],
	arguments: { "<node>": "name or id of the node" },
	options: { confirm: text("--confirm <name>", "the node's name: it is off and stays off; asked for otherwise") },
	async run(cli, { node: given }, { confirm: given_ }) {
		const id = await resolveId(cli, "node", given);
		const { name } = await nodeOf(cli, id);
		if (given_ === undefined) await warn(cli, id, name);
		const confirmName = given_ ?? (await typed(cli, name, "--confirm"));
		if (confirmName !== name) throw new AppError("canceled", `The name of the node is ${name}. Nothing was done.`);
		await cli.call("nodeRemove", { path: { id }, body: { confirmName } });
		await cli.output.say(`${name} is no member any more.`);
	},
});

/** What comes of it, before the name is typed. */
async function warn(cli: Cli, id: string, name: string): Promise<void> {
	const vms = await allPages(cli, "vmList", { nodeId: [id] });
	const member = (await cli.call("clusterStatusGet")).body.members.find(({ nodeId }) => nodeId === id);
	const lines = [`${name} must be off, and stay off: what runs on it goes on, and nobody here would know.`];
	if (member?.reachable) lines.push(`${name} answers. Take it out with limiquantix cluster leave, on it.`);
	if (vms.length > 0) {
		const shown = vms.slice(0, 10).map((vm) => vm.name);
		const more = vms.length > shown.length ? ` and ${vms.length - shown.length} more` : "";
		lines.push(`Its VMs become unknown: ${shown.join(", ")}${more}.`);
	}
	await cli.note(lines.join("\n"));
}

export const memberVerbs: readonly Verb[] = [
	leaveVerb,
	removeVerb,
	readdressVerb,
	transferLeaderVerb,
	renewCertificateVerb,
];
