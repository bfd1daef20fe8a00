/**
 * Commands: the only way in which cluster state changes. A command is decided on by whoever proposes it (ids, times,
 * defaults, password hashes: all are in it), goes through the log, and is applied deterministically on every node,
 * where it is checked again. On the wire and in the log it is `proto/command.proto` (see codec.ts).
 */

import type { ErrorInfo } from "../lib/errors.ts";
import type { AuditRecord, Role, Session, Token, User } from "../model/access.ts";
import type { JoinToken } from "../model/cluster.ts";
import type { Network, NetworkNodeStatus } from "../model/network.ts";
import type { Cluster, Node, NodeStatus } from "../model/node.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Image, Pool, PoolNodeStatus, Volume } from "../model/storage.ts";
import type { Requester, Task, TaskState } from "../model/task.ts";
import type { DesiredPower, Vm, VmSpec, VmStatus } from "../model/vm.ts";

/** Fields of an update: what is undefined stays. `expectedGeneration` undefined means no If-Match. */
type Expected = { id: string; expectedGeneration?: number };

/**
 * Where copies stand alone (`copiesStandAlone`), what they were made of may be written to and grow, and is copied while a VM that is off has it. Only
 * with "free-sources-1".
 */
type FreeSources = { freeSources?: true };

export type CommandBody =
	// cluster
	| {
			kind: "clusterInit";
			cluster: Cluster;
			node: Node;
			pools: Pool[];
			networks: Network[];
			admin: User;
			adminPasswordHash: string;
	  }
	| ({ kind: "clusterUpdate"; name: string } & Expected)
	| ({ kind: "nodeUpdate"; name?: string; peerAddresses?: string[] } & Expected)
	/** From the node itself; refused once it has left. */
	| { kind: "nodeStatus"; id: string; status: NodeStatus }
	/** Certificate and key of the cluster's CA; once. */
	| { kind: "authoritySet"; certificatePem: string; keyPem: string }
	| { kind: "joinTokenCreate"; token: JoinToken; secretHash: string }
	| { kind: "joinTokenDelete"; id: string }
	/**
	 * A node comes with a token. The result names the node: `node`, or the one that came with the same key before. Else
	 * `unauthenticated`, with the field /token, whose message is "unknown", "expired" or "used". Its `operation` is
	 * "nodeAdmit" and its requester the system with the name of the token, so that it leaves an audit record.
	 */
	| { kind: "nodeAdmit"; tokenId: string; secretHash: string; keyFingerprint: string; node: Node }
	/** From the node itself, at its first start: nothing happens when it has addresses. */
	| { kind: "nodeAddresses"; id: string; peerAddresses: string[] }
	/** The leader hears nothing of it. Its next `nodeStatus` says otherwise. */
	| { kind: "nodeLost"; id: string; reason: string; lost?: true }
	/**
	 * What a node that was admitted had been before, all or nothing; a second one changes nothing. `renameSuffix`: names that
	 * are taken become NAME-SUFFIX; null: they are `already-exists`. Rules: model/join-clashes.ts.
	 */
	| ({
			kind: "nodeImport";
			nodeId: string;
			formerNodeId: string;
			pools: Pool[];
			networks: Network[];
			images: Image[];
			volumes: Volume[];
			vms: Vm[];
			/** Of those VMs. Only with "storage-1". */
			snapshots?: Snapshot[];
			/** The node gets a number in shared volume groups that it comes back to. Only with "host-ids-1". */
			givesHostIds?: true;
			renameSuffix: string | null;
	  } & FreeSources)
	/** `leaving`: the node is empty and goes by itself; else it is gone, and `confirmName` is its name. */
	| { kind: "nodeRemove"; id: string; leaving: boolean; confirmName: string | null }
	/** Deletes the record of a node that has left and that nothing refers to. */
	| { kind: "nodeGone"; id: string }
	// access
	| { kind: "userCreate"; user: User; passwordHash: string }
	| ({ kind: "userUpdate"; displayName?: string; role?: Role; enabled?: boolean } & Expected)
	/**
	 * Also ends all sessions of the user but `keepSessionId` (the session that changes it, no other), and with `endTokens`
	 * the user's API tokens. `verifiedHash`: as in sessionCreate, for the current password; who changes their own needs it.
	 */
	| {
			kind: "userPasswordSet";
			id: string;
			passwordHash: string;
			mustChangePassword: boolean;
			keepSessionId?: string;
			endTokens?: boolean;
			verifiedHash?: string;
	  }
	| { kind: "userDelete"; id: string }
	/**
	 * `verifiedHash` (password-fingerprint.ts) says which stored hash the password was verified against: that takes tens
	 * of milliseconds, in which the password may be changed. Only the system signs somebody in without.
	 */
	| { kind: "sessionCreate"; session: Session; secretHash: string; verifiedHash?: string }
	| { kind: "sessionDelete"; id: string }
	| { kind: "tokenCreate"; token: Token; secretHash: string }
	| { kind: "tokenDelete"; id: string }
	/** A denial of somebody signed in; mutations write their own record as they apply. */
	| { kind: "auditAppend"; record: AuditRecord }
	// VMs. Each that asks for work carries the task that will do it.
	| ({ kind: "vmCreate"; vm: Vm; volumes: Volume[]; task: Task } & FreeSources)
	| ({ kind: "vmUpdate"; name?: string; description?: string; tags?: string[]; spec?: VmSpec; task: Task } & Expected &
			FreeSources)
	/** start, shutdown, stop, reset, pause, resume: sets the desired power where the action has one. */
	| { kind: "vmAction"; id: string; desiredPower?: DesiredPower; task: Task }
	| { kind: "vmDelete"; id: string; deleteVolumes: boolean; task: Task }
	/** From the node; refused when the VM belongs to another node. */
	| { kind: "vmStatus"; id: string; nodeId: string; status: VmStatus; desiredPower?: DesiredPower }
	/** From the node, after the domain and the disks are gone. */
	| { kind: "vmGone"; id: string; nodeId: string }
	/** A foreign domain becomes ours, together with its volumes. */
	| { kind: "vmAdopt"; vm: Vm; volumes: Volume[]; task: Task }
	/** From the node: the adoption failed before the domain became ours, so it is foreign again. Ends its task with `error`. */
	| { kind: "vmUnadopt"; id: string; nodeId: string; error: ErrorInfo }
	/**
	 * To another node. The task is that node's. `confirmNodeOff`: the name of the VM's node, which is off: then the record moves
	 * at once, and the task with it has succeeded. `onlyLost`: not for a node that is only not ready. `keepDiscards`: what the VM
	 * left on third nodes is discarded all the same. Both are "runs-once-1".
	 */
	| {
			kind: "vmMove";
			id: string;
			nodeId: string;
			task: Task;
			confirmNodeOff: string | null;
			onlyLost?: true;
			keepDiscards?: true;
	  }
	/** From a node on which the VM runs although it is another one's, or does not any more. */
	| { kind: "vmElsewhere"; id: string; nodeId: string; runs: boolean }
	/**
	 * From the node that has the VM's files now. `volumes`: all of them that lie on one node, and the pools where they are
	 * now. Makes tasks "volume.discard" for the node that had them: one for each volume, in this order (input: poolId,
	 * volumeId), and the last for the rest of the VM (input: vmId). Does not end the task of the move. `onlyOff`: not when the
	 * node that had it says that it runs ("runs-once-1").
	 */
	| {
			kind: "vmMoved";
			id: string;
			nodeId: string;
			fromNodeId: string;
			volumes: { id: string; poolId: string }[];
			discardTaskIds: string[];
			onlyOff?: true;
	  }
	// storage
	/**
	 * `sealedCredentials`: as SecretBox seals them. `checksHostIds`: `wrong-state` when numbers of nodes in it are not free any more; only with
	 * "host-ids-1".
	 */
	| { kind: "poolCreate"; pool: Pool; task: Task; sealedCredentials?: string; checksHostIds?: true }
	| ({
			kind: "poolUpdate";
			name?: string;
			description?: string;
			config?: Pool["config"];
			nodeIds?: string[];
			sealedCredentials?: string;
			checksHostIds?: true;
	  } & Expected)
	/**
	 * With which key credentials are sealed from now on: its fingerprint. `replaces`: the one of before, "" for the first; refused
	 * (`already-exists`) when another one was set meanwhile.
	 */
	| { kind: "secretsKeySet"; keyId: string; replaces: string }
	| { kind: "poolDelete"; id: string; task: Task }
	| { kind: "poolNodeStatus"; id: string; status: PoolNodeStatus }
	| { kind: "poolGone"; id: string }
	/** Content of the pool, on the node of the task, that no record names. */
	| { kind: "poolOrphanDelete"; id: string; volumeIds: string[]; imageIds: string[]; task: Task }
	/**
	 * `snapshotIds`: of content that no record names and that is adopted: its snapshots, which go before the volume is ready. Only with
	 * "orphan-tasks-1".
	 */
	| ({ kind: "volumeCreate"; volume: Volume; task: Task; snapshotIds?: string[] } & FreeSources)
	| ({ kind: "volumeUpdate"; name: string } & Expected)
	| ({ kind: "volumeResize"; id: string; sizeBytes: number; task: Task } & FreeSources)
	| { kind: "volumeDelete"; id: string; task: Task }
	| {
			kind: "volumeStatus";
			id: string;
			phase: Volume["phase"];
			sizeBytes?: number;
			allocatedBytes?: number | null;
			/** Of content that was adopted, once its snapshots are gone. Only with "orphan-tasks-1". */
			format?: Volume["format"];
			error?: ErrorInfo | null;
	  }
	| { kind: "volumeGone"; id: string }
	/** From the node: its snapshots could not go, so it is no volume. Ends its task with `error`; the content stays. */
	| { kind: "volumeUnadopt"; id: string; taskId: string; error: ErrorInfo }
	/** Parent, disks and phase are as the state has them where it applies. */
	| { kind: "snapshotCreate"; snapshot: Snapshot; task: Task }
	| ({ kind: "snapshotUpdate"; name?: string; description?: string } & Expected)
	/**
	 * From the VM's node. One that was `creating` and is `ready` is where the VM is at from then on. `sizes`: of the disks as they
	 * were taken, by volume.
	 */
	| {
			kind: "snapshotStatus";
			id: string;
			phase: Snapshot["phase"];
			powerState?: NonNullable<Snapshot["powerState"]>;
			consistency?: Snapshot["consistency"];
			sizes?: { volumeId: string; sizeBytes: number }[];
			error?: ErrorInfo | null;
	  }
	/** `partly`: of one that is half done, the disks that the VM still has. All members know that ("revert-rest-1"). */
	| { kind: "snapshotRevert"; id: string; task: Task; partly?: true }
	/** From the VM's node: all disks are what they were then. */
	| { kind: "snapshotReverted"; id: string }
	/** `merging`: also while the VM runs, where QEMU merges layers of its disks for it. All members know that. */
	| { kind: "snapshotDelete"; id: string; task: Task; merging?: true }
	/** From the VM's node: no disk has it any more. */
	| { kind: "snapshotGone"; id: string }
	/** To another pool; the task does the work. `nodeId` null: the pool is shared. */
	| { kind: "volumeMove"; id: string; poolId: string; nodeId: string | null; format: Volume["format"]; task: Task }
	/**
	 * From the node that carries out the task: where the task says is the volume's content now, whole. Makes a task
	 * "volume.discard" for that node, for what is left in the pool of before. Does not end the task of the move.
	 */
	| {
			kind: "volumeMoved";
			id: string;
			taskId: string;
			sizeBytes: number;
			allocatedBytes: number;
			discardTaskId: string;
	  }
	| { kind: "volumeCheck"; id: string; repair: boolean; task: Task }
	| { kind: "volumeFlatten"; id: string; task: Task }
	/** From the node that carries out the task: the volume depends on nothing any more. Does not end the task. */
	| { kind: "volumeFlattened"; id: string; taskId: string; allocatedBytes: number }
	/** From a node that VMs run on: what their volumes take in that pool by now. Those that are not `ready` there any more are left as they are. */
	| { kind: "volumeUsage"; poolId: string; volumes: { id: string; allocatedBytes: number }[] }
	// images
	| { kind: "imageCreate"; image: Image; task: Task }
	| ({ kind: "imageUpdate"; name?: string; description?: string; tags?: string[] } & Expected)
	| { kind: "imageDelete"; id: string; task: Task }
	| {
			kind: "imageStatus";
			id: string;
			phase: Image["phase"];
			receivedBytes?: number;
			fileSizeBytes?: number;
			virtualSizeBytes?: number;
			sha256?: string;
			/** As it is stored, where the pool does not keep it as it came. */
			format?: Image["format"];
			error?: ErrorInfo | null;
	  }
	| { kind: "imageGone"; id: string }
	// networks
	| { kind: "networkCreate"; network: Network; task: Task }
	| ({ kind: "networkUpdate"; name?: string; description?: string } & Expected)
	| { kind: "networkDelete"; id: string; task: Task }
	| { kind: "networkNodeStatus"; id: string; status: NetworkNodeStatus }
	| { kind: "networkGone"; id: string }
	// tasks
	| {
			kind: "taskUpdate";
			id: string;
			state: TaskState;
			progress?: number | null;
			message?: string | null;
			cancelable?: boolean;
			error?: ErrorInfo | null;
	  }
	/** `endIfLost`: a task whose node is not heard of, or has left, ends at once ("cancel-lost-1"). */
	| { kind: "taskCancel"; id: string; endIfLost?: true }
	/** Deletes finished tasks, expired sessions and audit records older than these times. `doubts`: none without any. */
	| {
			kind: "prune";
			tasksBefore: string;
			sessionsExpiredBefore: string;
			auditBefore: string;
			doubts?: UpkeepDoubt[];
	  };

/** By how much the clock was ahead of the time of a `prune`, and for how long the node ran so (control/believed-time.ts). */
export type UpkeepDoubt = { aheadMs: number; ranMs: number; since: string };

export type CommandKind = CommandBody["kind"];

/** Who proposes, and when: the same for all commands. Mutations by people leave an audit record with these. */
export type CommandMeta = {
	/** UUID v7 of the command. A command whose id was applied already is not applied again. */
	id: string;
	timeMs: number;
	requester: Requester;
	remoteAddress: string | null;
	/** operationId of the request, or "system" for reconcilers (which leave no audit record). */
	operation: string;
	/** From the header Idempotency-Key, scoped to the requester; null for none. */
	idempotencyKey: string | null;
	/** SHA-256 (hex) of what was asked for with the key, to tell a repeated request from another one; undefined without. */
	idempotencyHash?: string;
	/**
	 * The permission check is repeated at apply: for a session or token, its id; apply refuses when it is gone, expired
	 * by `timeMs`, or its role no longer suffices for `operation`. Null for the system and the local socket.
	 */
	credential: { kind: "session" | "token"; id: string } | null;
};

export type Command = CommandMeta & { body: CommandBody };
