/** Networks that NICs connect to. */
import { type Static, Type } from "@sinclair/typebox";
import { Description, ErrorInfoSchema, Id, Metadata, Name, Nullable, PageOf, Strict, StringEnum } from "./schema.ts";

const Ipv4 = Type.String({ pattern: "^(25[0-5]|2[0-4]\\d|1?\\d?\\d)(\\.(25[0-5]|2[0-4]\\d|1?\\d?\\d)){3}$" });
/** Linux interface names: 15 bytes at most. */
export const interfaceNamePattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$";

export const NetworkConfig = Type.Union(
	[
		Strict({
			kind: Type.Literal("nat"),
			/** The node's address on it, and the guests' gateway. */
			gateway: Ipv4,
			prefixLength: Type.Integer({ minimum: 8, maximum: 30 }),
			dhcpStart: Ipv4,
			dhcpEnd: Ipv4,
		}),
		Strict({ kind: Type.Literal("bridge"), bridge: Type.String({ pattern: interfaceNamePattern }) }),
	],
	{ $id: "NetworkConfig" },
);
export type NetworkConfig = Static<typeof NetworkConfig>;

export const Network = Strict(
	{
		...Metadata,
		name: Name,
		description: Description,
		config: NetworkConfig,
		nodes: Type.Array(
			Strict({
				nodeId: Id,
				health: StringEnum(["healthy", "error"] as const),
				/** The Linux bridge that NICs of this network join on that node. */
				bridge: Nullable(Type.String()),
				error: Nullable(ErrorInfoSchema),
			}),
			{
				description:
					"Where it is known how it is. That a node is missing does not say that the network is not there: the node has not reported yet, or is not heard of (`status.lost` of the node).",
			},
		),
		deleting: Type.Boolean(),
	},
	{ $id: "Network" },
);
export type Network = Static<typeof Network>;
export const NetworkPage = PageOf(Type.Ref(Network), "NetworkPage");
export const NetworkCreate = Strict(
	{ name: Name, description: Type.Optional(Description), config: NetworkConfig },
	{ $id: "NetworkCreate" },
);
export type NetworkCreate = Static<typeof NetworkCreate>;
export const NetworkUpdate = Strict(
	{ name: Type.Optional(Name), description: Type.Optional(Description) },
	{ $id: "NetworkUpdate", minProperties: 1 },
);
export type NetworkUpdate = Static<typeof NetworkUpdate>;
export type NetworkNodeStatus = Network["nodes"][number];
export const NetworkLease = Strict(
	{
		mac: Type.String(),
		address: Type.String(),
		hostname: Nullable(Type.String()),
		expiresAt: Nullable(Type.String()),
		vmId: Nullable(Id),
	},
	{ $id: "NetworkLease" },
);
