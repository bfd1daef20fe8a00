/**
 * A whole node in this process: the real API, authentication, consoles, state (in memory) and node, on simulated
 * drivers; on its unix socket and over TLS. It counts which operations were asked for. Close it with `close()`.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Api, createApi } from "../../api/app.ts";
import { listen, listenLocally, type ServerDeps } from "../../api/server.ts";
import { noUi } from "../../api/ui-assets.ts";
import { isOwnOrigin } from "../../auth/origin.ts";
import { createPasswordHasher } from "../../auth/passwords.ts";
import { AuthService } from "../../auth/service.ts";
import { createConsoles } from "../../console/console.ts";
import { FakeHypervisor } from "../../hypervisor/fake.ts";
import { systemClock as clock } from "../../lib/clock.ts";
import { idSource } from "../../lib/ids.ts";
import { silentLogger as logger } from "../../lib/log.ts";
import { systemRandom as random } from "../../lib/random.ts";
import { MiB } from "../../lib/units.ts";
import { FakeNetworks } from "../../network/fake.ts";
import type { HostFacts } from "../../node/host.ts";
import { startNode } from "../../node/node.ts";
import { noRemoteNodes } from "../../node/remote.ts";
import { vmFolders } from "../../node/vm-folder.ts";
import { vmStateFiles } from "../../node/vm-state.ts";
import { FakePool, FakeStorageDriver } from "../../storage/fake.ts";
import { qcow2Sample } from "../../storage/inspect/qcow2-sample.ts";
import { FakeCluster, fakeSecretHash } from "../api/fake-cluster.ts";
import { routeAt } from "../api/openapi-check.ts";
import { fakeSecrets } from "../fake-secrets.ts";
import { clusterIds, fixtureCluster, fixtureNode } from "../fixtures.ts";
import { openMemoryStore } from "../memory-store.ts";
import { nodeCertificate } from "./certificates.ts";

export const adminPassword = "correct horse battery";

export type WholeNode = {
	/** For --run-dir. */
	runDir: string;
	/** For --server, with `fingerprint`. */
	url: string;
	fingerprint: string;
	hypervisor: FakeHypervisor;
	pool: FakePool;
	/** Operations that were answered with success. */
	operations: Set<string>;
	/** Another machine becomes a member with this join token, and says that it is ready. Nothing runs there. */
	admit(tokenId: string, name: string): Promise<void>;
	/** Makes `vm vnc` find a VNC server that says "RFB" and then echoes. */
	serveVnc(vmId: string): Promise<void>;
	close(): Promise<void>;
};

const host: HostFacts = {
	bootId: async () => "boot-1",
	bootedAtMs: async () => Date.UTC(2026, 0, 1),
	cpuTimes: async () => ({ busy: clock.monotonicMs() / 20, total: clock.monotonicMs() / 10 }),
	memory: async () => ({ totalBytes: 8000 * MiB, usedBytes: 400 * MiB }),
	load1: async () => 0.5,
};

export async function startWholeNode(): Promise<WholeNode> {
	const folder = mkdtempSync(join(tmpdir(), "lqx-"));
	const ids = idSource(clock, random);
	const passwords = createPasswordHasher({ memoryCost: 8, timeCost: 1 });
	const adminPasswordHash = await passwords.hash(adminPassword);
	const store = await openMemoryStore({ commands: [{ ...fixtureCluster(), adminPasswordHash }] });
	const { proposer } = store;
	const auth = new AuthService({ store, proposer, clock, random, ids, logger, passwords });
	const hypervisor = new FakeHypervisor({ clock });
	const pool = new FakePool();
	const pools = new Map([[clusterIds.pool, pool]]);
	// The node looks whether the file is there; what the simulated pool reads is in its own world.
	const demoImage = join(folder, "demo.qcow2");
	const demo = qcow2Sample({ virtualSizeBytes: 64 * MiB });
	writeFileSync(demoImage, demo);
	pool.hostFiles.set(demoImage, demo);
	const node = await startNode({
		...{ nodeId: clusterIds.node, version: "test", dataDir: folder, demoImage, store, proposer, hypervisor },
		credentials: async () => null,
		storage: {
			discover: async () => ({ exports: [], cephPools: [], targets: [], luns: [] }),
			open(wanted) {
				const found = pools.get(wanted.id) ?? new FakePool();
				pools.set(wanted.id, found);
				return new FakeStorageDriver(found);
			},
		},
		network: new FakeNetworks({ clock }),
		seeds: async ({ path }) => {
			await Bun.write(path, "seed");
		},
		fetchUrl: async ({ imageId, driver }) => {
			const file = await driver.openUpload(imageId, 512, { restart: true });
			await file.write(new Uint8Array(512));
			await file.close();
		},
		folders: vmFolders,
		vmState: vmStateFiles(folder, join(folder, "tpm")),
		remote: noRemoteNodes,
		everybodyHas: () => true,
		...{ host, accelerator: { kind: "tcg", reason: "simulated" } as const, clock, ids, logger },
	});
	const consoles = createConsoles({
		...{ node: node.service, clock, random, logger, isOwnOrigin },
		watchCredential: (identity, onRevoked) => auth.watchCredential(identity, onRevoked),
		recordDenial: (identity, vmId, remoteAddress) =>
			auth.recordDenial(identity, "vmConsoleTicketCreate", remoteAddress, [{ kind: "vm", id: vmId, name: null }]),
	});
	const operations = new Set<string>();
	const api = counted(
		createApi({
			secrets: fakeSecrets,
			...{ store, proposer, auth, node: node.service, console: consoles, clock, random, ids, logger },
			...{ version: "0.0.0-test", dataDir: folder, cluster: new FakeCluster(clusterIds.node) },
		}),
		operations,
	);
	const server: ServerDeps = { api, console: consoles, ui: noUi };
	const local = await listenLocally(server, join(folder, "limiquantix.sock"));
	const tls = await nodeCertificate();
	const outside = listen(server, { host: "127.0.0.1", port: 0, tls });
	const ends: (() => void)[] = [];
	return {
		...{ runDir: folder, url: outside.url, fingerprint: tls.fingerprint, hypervisor, pool, operations },
		async admit(tokenId, name) {
			const other = fixtureNode({ id: ids.newId(), name });
			await proposer.proposeSystem({
				...{
					kind: "nodeAdmit",
					tokenId,
					secretHash: fakeSecretHash(tokenId),
					keyFingerprint: random.bytes(32).toHex(),
				},
				node: other,
			});
			await proposer.proposeSystem({ kind: "nodeStatus", id: other.id, status: other.status });
		},
		async serveVnc(vmId) {
			const path = join(folder, `vnc-${vmId.slice(-12)}.sock`);
			const vnc = createServer((socket) => {
				socket.on("error", () => {});
				socket.write("RFB 003.008\n");
				socket.pipe(socket);
			});
			await new Promise<void>((resolve) => vnc.listen(path, resolve));
			ends.push(() => vnc.close());
			hypervisor.vncSockets.set(vmId, path);
		},
		async close() {
			for (const end of ends) end();
			consoles.stop();
			api.close();
			await Promise.all([local.stop(true), outside.stop(true)]);
			await node.stop();
			await auth.close();
			await store.close();
			rmSync(folder, { recursive: true, force: true });
		},
	};
}

function counted(api: Api, operations: Set<string>): Api {
	return {
		...api,
		async handle(request, connection) {
			const response = await api.handle(request, connection);
			const route = routeAt(request.method, new URL(request.url).pathname);
			if (route && response.ok) operations.add(route.operationId);
			return response;
		},
	};
}
