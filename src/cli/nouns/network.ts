/** `limiquantix network`: networks that NICs connect to. */
import type { Network } from "../../gen/api.ts";
import { AppError } from "../../lib/errors.ts";
import type { NetworkConfig } from "../../model/network.ts";
import type { Cli } from "../cli.ts";
import { usageError } from "../failure.ts";
import { fullTime, relativeTime } from "../format.ts";
import { namesById, resolveId } from "../names.ts";
import { parsed, text } from "../options.ts";
import type { Column, Field } from "../output.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { confirm } from "../prompt.ts";
import { finishObject, finishTask, waitOptions } from "../tasks.ts";
import { warnOfUnanswered } from "../unanswered.ts";
import { type Noun, verb } from "../verb.ts";
import { yes } from "./common-options.ts";

const networkArgument = { "<network>": "name or id of the network" } as const;

export const networkNoun: Noun = {
	name: "network",
	summary: "networks that NICs connect to",
	verbs: [
		verb({
			name: "list",
			summary: "List networks",
			examples: ["limiquantix network list"],
			options: listOptions(["name", "createdAt"]),
			async run(cli, _, { limit, search, sort }) {
				const networks = await allPages(cli, "networkList", given({ search, sort }), limit);
				await cli.output.list(networks, columns(cli), (network) => network.id);
			},
		}),
		verb({
			name: "create",
			summary: "Create a network",
			description:
				"--nat makes a network of its own behind each node, with DHCP. --bridge joins NICs to a Linux bridge that is there already.",
			examples: [
				"limiquantix network create lab --nat 10.20.0.1/24",
				"limiquantix network create lab --nat 10.20.0.1/24 --dhcp 10.20.0.100-10.20.0.199",
				"limiquantix network create office --bridge br0",
			],
			arguments: { "<name>": "name of the network" },
			options: {
				nat: parsed("--nat <address>", "the node's address on it, with the prefix length: 10.20.0.1/24", parseSubnet),
				dhcp: parsed("--dhcp <range>", "addresses that DHCP gives out (default: all others)", parseRange),
				bridge: text("--bridge <name>", "Linux bridge on the node"),
				description: text("--description <text>", "what it is for"),
				...waitOptions,
			},
			async run(cli, { name }, { nat, dhcp, bridge, description, ...wait }) {
				const config = networkConfig({ nat, dhcp, bridge });
				const result = await cli.call("networkCreate", { body: { name, config, ...given({ description }) } });
				await showOne(cli, await finishObject(cli, result, wait, () => get(cli, result.body.id)));
			},
		}),
		verb({
			name: "show",
			summary: "Show a network",
			examples: ["limiquantix network show default"],
			arguments: networkArgument,
			async run(cli, { network }) {
				await showOne(cli, (await get(cli, await resolveId(cli, "network", network))).body);
			},
		}),
		verb({
			name: "edit",
			aliases: ["set"],
			summary: "Change name or description of a network",
			examples: ["limiquantix network edit lab --name lab-old"],
			arguments: networkArgument,
			options: {
				name: text("--name <name>", "the new name"),
				description: text("--description <text>", "the new description"),
			},
			async run(cli, { network }, changes) {
				const body = given(changes);
				if (Object.keys(body).length === 0) throw usageError("Nothing is to be changed.");
				const id = await resolveId(cli, "network", network);
				await showOne(cli, (await cli.call("networkUpdate", { path: { id }, body })).body);
			},
		}),
		verb({
			name: "delete",
			summary: "Delete a network",
			description: "Refused while NICs use it.",
			examples: ["limiquantix network delete lab --yes"],
			arguments: networkArgument,
			options: { yes, ...waitOptions },
			async run(cli, { network }, { yes: sure, ...wait }) {
				const id = await resolveId(cli, "network", network);
				await confirm(cli, `Delete the network ${network}?`, sure);
				await finishTask(cli, (await cli.call("networkDelete", { path: { id } })).body, wait);
			},
		}),
		verb({
			name: "leases",
			summary: "List addresses that guests on a network got",
			examples: ["limiquantix network leases default"],
			arguments: networkArgument,
			async run(cli, { network }) {
				const id = await resolveId(cli, "network", network);
				const { items, unanswered } = (await cli.call("networkLeaseList", { path: { id } })).body;
				await warnOfUnanswered(cli, unanswered);
				const vmName = await namesById(cli, "vm");
				const now = cli.io.clock.nowMs();
				await cli.output.list(
					items,
					[
						{ header: "ADDRESS", value: (lease) => lease.address },
						{ header: "MAC", value: (lease) => lease.mac },
						{ header: "HOSTNAME", value: (lease) => lease.hostname },
						{ header: "VM", value: (lease) => vmName(lease.vmId) },
						{ header: "EXPIRES", value: (lease) => relativeTime(lease.expiresAt, now) },
					],
					(lease) => lease.address,
				);
			},
		}),
	],
};

const get = (cli: Cli, id: string) => cli.call("networkGet", { path: { id } });

const summary = (config: NetworkConfig): string =>
	config.kind === "nat" ? `${config.gateway}/${config.prefixLength}` : config.bridge;

const health = (network: Network): string =>
	network.deleting
		? "deleting"
		: network.nodes.length === 0
			? "pending"
			: network.nodes.some((node) => node.health === "error")
				? "error"
				: "healthy";

const columns = (cli: Cli): Column<Network>[] => [
	{ header: "NAME", value: (network) => network.name },
	{ header: "KIND", value: ({ config }) => config.kind },
	{ header: "ADDRESS", value: ({ config }) => summary(config) },
	{ header: "HEALTH", value: health, state: true },
	{ header: "CREATED", value: ({ createdAt }) => relativeTime(createdAt, cli.io.clock.nowMs()) },
	{ header: "ID", value: (network) => network.id },
];

async function showOne(cli: Cli, network: Network): Promise<void> {
	const { config } = network;
	const nodeName = await namesById(cli, "node");
	const fields: Field[] = [
		["name", network.name],
		["id", network.id],
		["description", network.description],
		["kind", config.kind],
		...(config.kind === "nat"
			? ([
					["gateway", summary(config)],
					["DHCP", `${config.dhcpStart} to ${config.dhcpEnd}`],
				] as const)
			: ([["bridge", config.bridge]] as const)),
		["health", health(network)],
		...network.nodes.map((node): Field => {
			const bridge = node.bridge === null ? "" : `, bridge ${node.bridge}`;
			return [
				"node",
				`${nodeName(node.nodeId)}: ${node.health}${bridge}${node.error ? ` (${node.error.message})` : ""}`,
			];
		}),
		["created", fullTime(network.createdAt, cli.io.clock.nowMs())],
	];
	await cli.output.object(network, fields, network.id);
}

type Subnet = { gateway: string; prefixLength: number };
type Range = { start: string; end: string };

function networkConfig(asked: {
	nat: Subnet | undefined;
	dhcp: Range | undefined;
	bridge: string | undefined;
}): NetworkConfig {
	const { nat, dhcp, bridge } = asked;
	if ((nat === undefined) === (bridge === undefined)) throw usageError("Give either --nat or --bridge.");
	if (bridge !== undefined) {
		if (dhcp !== undefined) throw usageError("--dhcp goes together with --nat: a bridge has the DHCP of its network.");
		return { kind: "bridge", bridge };
	}
	if (nat === undefined) throw usageError("Give either --nat or --bridge.");
	const range = dhcp ?? hostsBeside(nat);
	return { kind: "nat", ...nat, dhcpStart: range.start, dhcpEnd: range.end };
}

const toNumber = (address: string): number =>
	address.split(".").reduce((number, part) => number * 256 + Number(part), 0);
const toAddress = (number: number): string =>
	[24, 16, 8, 0].map((bits) => Math.floor(number / 2 ** bits) % 256).join(".");

function parseAddress(given: string): string {
	const parts = given.split(".");
	if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255))
		throw new AppError("invalid", `"${given}" is no IPv4 address.`);
	return parts.map(Number).join(".");
}

function parseSubnet(given: string): Subnet {
	const [address = "", prefix = "", ...rest] = given.split("/");
	if (!/^\d{1,2}$/.test(prefix) || Number(prefix) < 8 || Number(prefix) > 30 || rest.length > 0)
		throw new AppError("invalid", `"${given}" is no address with a prefix length of 8 to 30, like 10.20.0.1/24.`);
	return { gateway: parseAddress(address), prefixLength: Number(prefix) };
}

function parseRange(given: string): Range {
	const [start, end, ...rest] = given.split("-");
	if (start === undefined || end === undefined || rest.length > 0)
		throw new AppError("invalid", `"${given}" is no range, like 10.20.0.100-10.20.0.199.`);
	return { start: parseAddress(start), end: parseAddress(end) };
}

/** The larger part of the subnet on one side of the gateway. */
function hostsBeside({ gateway, prefixLength }: Subnet): Range {
	const size = 2 ** (32 - prefixLength);
	const node = toNumber(gateway);
	const first = Math.floor(node / size) * size + 1;
	const last = first + size - 3;
	const above = last - node >= node - first;
	return above
		? { start: toAddress(node + 1), end: toAddress(last) }
		: { start: toAddress(first), end: toAddress(node - 1) };
}
