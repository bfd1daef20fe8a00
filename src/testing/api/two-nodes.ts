/**
 * Two nodes of one cluster for tests of what one passes on to the other: two APIs, each with a node's service and an
 * authentication of its own, joined by real peer links on loopback. They share one copy of the state; `hide` makes the other
 * node's copy an old one. `close()` at the end.
 */

import { type Api, createApi } from "../../api/app.ts";
import type { NodeRelay } from "../../api/relay.ts";
import { createPasswordHasher } from "../../auth/passwords.ts";
import { AuthService } from "../../auth/service.ts";
import { apiStreamKind, createApiRelay, serveRelayedRequests } from "../../cluster/api-relay.ts";
import { systemClock, toRfc3339 } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { MiB } from "../../lib/units.ts";
import type { StreamHandler } from "../../peer/stream-open.ts";
import { introduce, type TestNode, testId, testNode } from "../../peer/test-peers.ts";
import type { StoreReader } from "../../store/store.ts";
import { fakeSecrets } from "../fake-secrets.ts";
import {
	fixtureId,
	fixtureImage,
	fixtureJoinToken,
	fixtureNode,
	fixturePool,
	fixtureTask,
	fixtureVm,
	fixtureVmStatus,
	fixtureVolume,
} from "../fixtures.ts";
import type { MemoryStore } from "../memory-store.ts";
import { type ApiHarness, createApiHarness } from "./api-harness.ts";
import { FakeCluster } from "./fake-cluster.ts";
import { FakeNode } from "./fake-node.ts";

export const otherId = testId(0x20);
export const otherName = "node-2";
/** All of them are on the other node. */
export const remote = {
	vm: fixtureId(0x100),
	volume: fixtureId(0x200),
	uploading: fixtureId(0x300),
	image: fixtureId(0x301),
};

export type TwoNodes = ApiHarness & {
	other: {
		api: Api;
		node: FakeNode;
		cluster: FakeCluster;
		store: MemoryStore;
		auth: AuthService;
		/** By kind. */
		streams: Record<string, StreamHandler>;
		peer: TestNode;
	};
	peer: TestNode;
	/** Lines of the other node's copy that are not there: until it is asked for the index, or while `quorum` is false. */
	hide(what: keyof StoreReader, id: string): void;
	/** What the other node's copy has under this id, always. */
	pretend(id: string, object: unknown): void;
	/** False: neither node can ask for the index. */
	quorum(there: boolean): void;
};

export async function createTwoNodes(): Promise<TwoNodes> {
	const peer = await testNode(2);
	const out = createApiRelay(peer.node);
	const harness = await createApiHarness({ relay: out as NodeRelay });
	const { store } = harness;
	await addOtherNode(store);
	const hidden = new Set<string>();
	const pretended = new Map<string, unknown>();
	let quorum = true;
	const readIndex = store.readIndex.bind(store);
	const index = async () => {
		if (!quorum) throw new AppError("unavailable", "There is no quorum.");
		return readIndex();
	};
	store.readIndex = index;
	const copy = new Proxy(store, {
		get(target, name) {
			if (name === "readIndex")
				return async () => {
					const read = await index();
					hidden.clear();
					return read;
				};
			const value: unknown = Reflect.get(target, name);
			if (typeof value !== "function") return value;
			return (...given: unknown[]) => {
				if (given.some((one) => hidden.has(`${String(name)} ${String(one)}`))) return null;
				return (name === "get" && pretended.get(String(given[1]))) || value.apply(target, given);
			};
		},
	});
	const { proposer } = store;
	const deps = {
		store: copy,
		proposer,
		clock: systemClock,
		random: systemRandom,
		ids: harness.ids,
		logger: silentLogger,
	};
	const auth = new AuthService({ ...deps, passwords: createPasswordHasher() });
	const node = new FakeNode(otherId);
	const streams: Record<string, StreamHandler> = {};
	const otherPeer = await testNode(0x20, {
		handlers: {
			async onStream(incoming) {
				await streams[incoming.kind]?.(incoming);
			},
		},
	});
	const { console } = harness;
	const cluster = new FakeCluster(otherId);
	const api = createApi({
		secrets: fakeSecrets,
		...{ ...deps, auth, node, console, cluster, version: "0.0.0-test", dataDir: "/var/lib/limiquantix" },
		relay: createApiRelay(otherPeer.node),
	});
	streams[apiStreamKind] = serveRelayedRequests((incoming) => api.handleRelayed(incoming));
	introduce(peer, otherPeer);
	const other = { api, node, cluster, store: copy, auth, streams, peer: otherPeer };
	return {
		...harness,
		...{ peer, other },
		hide: (what, id) => hidden.add(`${what} ${id}`),
		pretend: (id, object) => pretended.set(id, object),
		quorum(there) {
			quorum = there;
		},
		async close() {
			await Promise.all([peer.node.close(), otherPeer.node.close()]);
			other.api.close();
			await auth.close();
			await harness.close();
		},
	};
}

async function addOtherNode({ proposer }: MemoryStore): Promise<void> {
	const now = toRfc3339(systemClock.nowMs());
	const token = fixtureJoinToken({ expiresAt: toRfc3339(systemClock.nowMs() + 3_600_000) });
	const secretHash = "a".repeat(64);
	const node = fixtureNode({ id: otherId, name: otherName });
	await proposer.proposeSystem({ kind: "joinTokenCreate", token, secretHash });
	const admission = { tokenId: token.id, secretHash, keyFingerprint: "b".repeat(64) };
	await proposer.proposeSystem({ kind: "nodeAdmit", ...admission, node });
	await proposer.proposeSystem({ kind: "nodeStatus", id: otherId, status: { ...node.status, updatedAt: now } });
	const poolId = fixtureId(0x23);
	const pool = fixturePool({ id: poolId, name: "local-2", nodeIds: [otherId] });
	const poolTask = fixtureTask("pool.create", { kind: "pool", id: poolId }, { id: fixtureId(0x401), nodeId: otherId });
	await proposer.proposeSystem({ kind: "poolCreate", pool, task: poolTask });
	const here = { nodeId: otherId, poolId };
	const volume = fixtureVolume({ ...here, id: remote.volume });
	const volumeTask = fixtureTask(
		"volume.create",
		{ kind: "volume", id: volume.id },
		{ id: fixtureId(0x402), nodeId: otherId },
	);
	await proposer.proposeSystem({ kind: "volumeCreate", volume, task: volumeTask });
	await proposer.proposeSystem({ kind: "volumeStatus", id: volume.id, phase: "ready", sizeBytes: 64 * MiB });
	const vm = fixtureVm({ id: remote.vm, nodeId: otherId });
	const vmTask = fixtureTask("vm.adopt", { kind: "vm", id: vm.id }, { id: fixtureId(0x403), nodeId: otherId });
	await proposer.proposeSystem({ kind: "vmAdopt", vm, volumes: [], task: vmTask });
	const status = fixtureVmStatus({ powerState: "running" });
	await proposer.proposeSystem({ kind: "vmStatus", id: vm.id, nodeId: otherId, status });
	for (const [id, taskId] of [
		[remote.uploading, fixtureId(0x404)],
		[remote.image, fixtureId(0x405)],
	] as const) {
		const upload = { source: { kind: "upload" }, phase: "uploading", fileSizeBytes: 8 } as const;
		const image = fixtureImage({ ...here, ...upload, id, name: `image-${id.slice(-3)}` });
		const task = fixtureTask("image.import", { kind: "image", id }, { id: taskId, nodeId: otherId });
		await proposer.proposeSystem({ kind: "imageCreate", image, task });
	}
	await proposer.proposeSystem({ kind: "imageStatus", id: remote.image, phase: "ready", fileSizeBytes: 4 });
}
