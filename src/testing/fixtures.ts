/** Objects of the model for tests: complete and valid, with the members that a test cares about replaced. */
import { GiB } from "../lib/units.ts";
import type { Session, Token, User } from "../model/access.ts";
import type { JoinToken } from "../model/cluster.ts";
import type { Network } from "../model/network.ts";
import type { Cluster, Node } from "../model/node.ts";
import type { ResourceKind } from "../model/schema.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Image, Pool, Volume } from "../model/storage.ts";
import type { Task, TaskKind } from "../model/task.ts";
import type { Vm, VmSpec, VmStatus } from "../model/vm.ts";
import type { CommandBody } from "../store/command.ts";

export const fixtureTime = "2026-01-02T03:04:05.000Z";

/** The same id for the same number, in any run: 1 → 00000000-0000-7000-8000-000000000001. */
export const fixtureId = (number: number): string => `00000000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;

/** The ids of what `fixtureCluster` makes. */
export const clusterIds = {
	cluster: fixtureId(1),
	node: fixtureId(2),
	pool: fixtureId(3),
	network: fixtureId(4),
	admin: fixtureId(5),
};

const metadata = (id: string) => ({ id, generation: 1, createdAt: fixtureTime, updatedAt: fixtureTime });

export const fixtureClusterObject = (changes: Partial<Cluster> = {}): Cluster => ({
	...metadata(clusterIds.cluster),
	name: "test",
	...changes,
});

export const fixtureNode = (changes: Partial<Node> = {}): Node => ({
	...metadata(clusterIds.node),
	name: "node-1",
	peerAddresses: [],
	witness: false,
	status: {
		phase: "ready",
		reason: null,
		version: "0.0.0",
		hypervisor: "connected",
		hypervisorVersion: "9.0.0",
		accelerator: "tcg",
		acceleratorReason: null,
		cpuModel: null,
		cpuCount: 2,
		memoryBytes: 4 * GiB,
		bridges: [],
		bootedAt: null,
		updatedAt: fixtureTime,
	},
	...changes,
});

export const fixturePool = (changes: Partial<Pool> = {}): Pool => ({
	...metadata(clusterIds.pool),
	name: "local",
	description: "",
	type: "local",
	config: { path: "/var/lib/limiquantix/pools/local" },
	nodeIds: [clusterIds.node],
	phase: "pending",
	nodes: [],
	...changes,
});

/** Configuration of a pool that nodes share. */
export const fixtureNfs = {
	...{ server: "files", exportPath: "/srv/vms", folder: null, version: null, mountOptions: [] },
} satisfies Pool["config"];

export const fixtureNetwork = (changes: Partial<Network> = {}): Network => ({
	...metadata(clusterIds.network),
	name: "default",
	description: "",
	config: {
		kind: "nat",
		gateway: "10.20.0.1",
		prefixLength: 24,
		dhcpStart: "10.20.0.10",
		dhcpEnd: "10.20.0.250",
	},
	nodes: [],
	deleting: false,
	...changes,
});

export const fixtureUser = (changes: Partial<User> = {}): User => ({
	...metadata(clusterIds.admin),
	name: "admin",
	displayName: "Administrator",
	role: "admin",
	enabled: true,
	mustChangePassword: false,
	...changes,
});

export const fixtureSession = (changes: Partial<Session> = {}): Session => ({
	id: fixtureId(0x600),
	userId: clusterIds.admin,
	userName: "admin",
	createdAt: fixtureTime,
	expiresAt: "2126-01-01T00:00:00.000Z",
	remoteAddress: null,
	userAgent: null,
	...changes,
});

export const fixtureToken = (changes: Partial<Token> = {}): Token => ({
	...metadata(fixtureId(0x700)),
	name: "automation",
	userId: clusterIds.admin,
	role: "operator",
	expiresAt: null,
	...changes,
});

export const fixtureJoinToken = (changes: Partial<JoinToken> = {}): JoinToken => ({
	...metadata(fixtureId(0x780)),
	createdBy: "admin",
	expiresAt: "2026-01-02T04:04:05.000Z",
	usesLeft: 1,
	admitted: [],
	...changes,
});

export const fixtureVmStatus = (changes: Partial<VmStatus> = {}): VmStatus => ({
	powerState: "stopped",
	reason: null,
	observedGeneration: 0,
	pendingRestart: false,
	differences: [],
	accelerator: null,
	startedAt: null,
	addresses: [],
	taskId: null,
	error: null,
	updatedAt: fixtureTime,
	...changes,
});

export const fixtureVmSpec = (changes: Partial<VmSpec> = {}): VmSpec => ({
	firmware: "bios",
	tpm: false,
	cpu: { vcpus: 2, maxVcpus: 4, model: "portable" },
	memory: { sizeBytes: 2 * GiB, maxSizeBytes: 4 * GiB },
	disks: [],
	cdroms: [],
	nics: [],
	bootOrder: [],
	cloudInit: null,
	autostart: { enabled: false, order: 0, delayMs: 0 },
	shutdownTimeoutMs: 120_000,
	...changes,
});

export const fixtureVm = (changes: Partial<Vm> = {}): Vm => ({
	...metadata(fixtureId(0x100)),
	name: "vm-1",
	description: "",
	tags: [],
	nodeId: clusterIds.node,
	spec: fixtureVmSpec(),
	desiredPower: "stopped",
	deleting: false,
	status: fixtureVmStatus(),
	...changes,
});

export const fixtureVolume = (changes: Partial<Volume> = {}): Volume => ({
	...metadata(fixtureId(0x200)),
	name: "volume-1",
	poolId: clusterIds.pool,
	nodeId: clusterIds.node,
	format: "qcow2",
	sizeBytes: 10 * GiB,
	allocatedBytes: null,
	source: { kind: "empty" },
	phase: "pending",
	vmId: null,
	error: null,
	...changes,
});

export const fixtureSnapshot = (changes: Partial<Snapshot> = {}): Snapshot => ({
	...metadata(fixtureId(0x280)),
	name: "snapshot-1",
	description: "",
	vmId: fixtureId(0x100),
	parentId: null,
	current: false,
	phase: "creating",
	powerState: null,
	consistency: "crash",
	disks: [],
	error: null,
	...changes,
});

export const fixtureImage = (changes: Partial<Image> = {}): Image => ({
	...metadata(fixtureId(0x300)),
	name: "image-1",
	description: "",
	tags: [],
	format: "qcow2",
	poolId: clusterIds.pool,
	nodeId: clusterIds.node,
	source: { kind: "path", path: "/var/tmp/image.qcow2" },
	fileSizeBytes: null,
	virtualSizeBytes: null,
	expectedSha256: null,
	sha256: null,
	phase: "importing",
	receivedBytes: 0,
	error: null,
	...changes,
});

export const fixtureTask = (
	kind: TaskKind,
	target: { kind: ResourceKind; id: string; name?: string },
	changes: Partial<Task> = {},
): Task => ({
	id: fixtureId(0x400),
	kind,
	state: "pending",
	progress: null,
	message: null,
	targets: [{ name: null, ...target }],
	requester: { kind: "system", id: null, name: "system" },
	nodeId: clusterIds.node,
	parentId: null,
	createdAt: fixtureTime,
	startedAt: null,
	finishedAt: null,
	cancelable: false,
	cancelRequested: false,
	error: null,
	input: {},
	...changes,
});

/** What makes another node a member: a token, its admission, and that it brings nothing. It is `ready` then. */
export const fixtureMember = (changes: Partial<Node>, nowMs: number): CommandBody[] => {
	const node = fixtureNode(changes);
	const tail = node.id.slice(-4);
	const token = fixtureJoinToken({
		id: `00000000-0000-7000-8001-00000000${tail}`,
		expiresAt: new Date(nowMs + 3_600_000).toISOString(),
	});
	const secretHash = `sha256:${tail.repeat(16)}`;
	const keyFingerprint = tail.repeat(16);
	const nothing = { pools: [], networks: [], images: [], volumes: [], vms: [], renameSuffix: null };
	return [
		{ kind: "joinTokenCreate", token, secretHash },
		{ kind: "nodeAdmit", tokenId: token.id, secretHash, keyFingerprint, node },
		{ kind: "nodeImport", nodeId: node.id, formerNodeId: fixtureId(0xfff), ...nothing },
		{ kind: "nodeStatus", id: node.id, status: node.status },
	];
};

/** The command that sets up a cluster with one node, a pool, a network and the user "admin". */
export const fixtureCluster = (): Extract<CommandBody, { kind: "clusterInit" }> => ({
	kind: "clusterInit",
	cluster: fixtureClusterObject(),
	node: fixtureNode(),
	pools: [fixturePool()],
	networks: [fixtureNetwork()],
	admin: fixtureUser(),
	adminPasswordHash: "$argon2id$test",
});
