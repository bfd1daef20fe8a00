/** Shapes that the API adds to the model's, and the map from kind to object for the live store. */
import type { Static } from "@sinclair/typebox";
import type { AuditRecord, Me, Role, Session, Token, User } from "../../src/model/access.ts";
import type { ClusterInfo, ConsoleTicket as ConsoleTicketSchema } from "../../src/model/api.ts";
import type { ClusterMember, ClusterStatus, JoinToken } from "../../src/model/cluster.ts";
import type { Event } from "../../src/model/event.ts";
import type { Network, NetworkCreate, NetworkLease } from "../../src/model/network.ts";
import type { Cluster, Node, NodeMetrics, VmMetrics } from "../../src/model/node.ts";
import type { Page, ResourceRef } from "../../src/model/schema.ts";
import type { Snapshot } from "../../src/model/snapshot.ts";
import type { Image, ImageCreate, Pool, PoolCreate, Volume, VolumeCreate } from "../../src/model/storage.ts";
import type { Task } from "../../src/model/task.ts";
import type { ForeignVm as ForeignVmSchema, Vm, VmCreate, VmUpdate } from "../../src/model/vm.ts";

export type ForeignVm = Static<typeof ForeignVmSchema>;
export type Lease = Static<typeof NetworkLease>;

export type ConsoleTicket = Static<typeof ConsoleTicketSchema>;

/** The collections that events keep fresh. */
export type LiveObjects = {
	node: Node;
	vm: Vm;
	volume: Volume;
	pool: Pool;
	image: Image;
	network: Network;
	task: Task;
	user: User;
	session: Session;
	token: Token;
	joinToken: JoinToken;
};
export type LiveKind = keyof LiveObjects;

export type {
	AuditRecord,
	Cluster,
	ClusterInfo,
	ClusterMember,
	ClusterStatus,
	Event,
	Image,
	ImageCreate,
	JoinToken,
	Me,
	Network,
	NetworkCreate,
	Node,
	NodeMetrics,
	Page,
	Pool,
	PoolCreate,
	ResourceRef,
	Role,
	Session,
	Snapshot,
	Task,
	Token,
	User,
	Vm,
	VmCreate,
	VmMetrics,
	VmUpdate,
	Volume,
	VolumeCreate,
};
