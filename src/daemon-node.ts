/**
 * The second half of the composition root (daemon.ts): what this host does as a node, with its real adapters. It starts beside the API:
 * nothing waits for it, and its failure is the node service's to tell.
 */
import { join } from "node:path";
import type { Cluster } from "./cluster/cluster.ts";
import type { ClusterSecrets } from "./cluster/cluster-secrets.ts";
import { importFormer, type PoolFolders } from "./cluster/importing.ts";
import { createRemoteNodes } from "./cluster/remote-nodes.ts";
import type { JoinHints } from "./cluster/switch.ts";
import type { Config } from "./config.ts";
import { chooseAccelerator } from "./hypervisor/accelerator-probe.ts";
import { libvirtOfHost } from "./hypervisor/libvirt/libvirt-of-host.ts";
import { type Clock, systemClock } from "./lib/clock.ts";
import { AppError, isAppError } from "./lib/errors.ts";
import { idSource } from "./lib/ids.ts";
import type { Logger } from "./lib/log.ts";
import { systemRandom as random } from "./lib/random.ts";
import { createLibvirtNetworks } from "./network/libvirt-network.ts";
import { procHost } from "./node/host.ts";
import { type RunningNode, startNode } from "./node/node.ts";
import type { StartingService } from "./node/starting-service.ts";
import { vmFolders } from "./node/vm-folder.ts";
import { vmStateFiles } from "./node/vm-state.ts";
import { seedDocuments } from "./storage/cloud-init/documents.ts";
import { writeSeedIso } from "./storage/cloud-init/seed-iso.ts";
import { discoverStorage } from "./storage/discover.ts";
import { fetchToUpload } from "./storage/fetch-url.ts";
import { tidyIscsi } from "./storage/iscsi-lvm/create.ts";
import { leftTrials, tidyTrials } from "./storage/left-trials.ts";
import { createStorageDriver } from "./storage/registry.ts";
import type { Proposer, Store } from "./store/store.ts";
import { version } from "./version.ts";

const confirmLimitMs = 10_000;
const ids = idSource(systemClock, random);

type NodeParts = {
	config: Config;
	clock: Clock;
	logger: Logger;
	store: Store;
	proposer: Proposer;
	nodeId: string;
	service: StartingService;
	cluster: Cluster;
	secrets: ClusterSecrets;
	onStarted: (node: RunningNode) => void;
};

type MemberParts = NodeParts & { hints: JoinHints | null; poolFolders: PoolFolders };

/**
 * Nothing on this host is touched before this node knows that it is a member, and has told the cluster what it brings. A
 * member that nobody answers goes on alone after a while: its VMs run, and their consoles work.
 */
export function startWhenMember(parts: MemberParts): { stop(): Promise<void> } {
	const { config, clock, logger, store, proposer, nodeId, service, cluster, hints, poolFolders } = parts;
	const stopping = new AbortController();
	const { signal } = stopping;
	let running: { stop(): Promise<void> } | null = null;
	const start = async () => {
		if (cluster.removed) throw new AppError("wrong-state", "This node was removed from the cluster.");
		if (store.count("node") > 1 || hints !== null)
			await cluster.confirmed(AbortSignal.any([signal, AbortSignal.timeout(confirmLimitMs)])).catch(() => {});
		signal.throwIfAborted();
		if (hints !== null)
			await importFormer(
				{
					...{ dataDir: config.dataDir, nodeId, hints, store, proposer, poolFolders, clock, logger },
					everybodyHas: (feature) => cluster.everybodyHas(feature),
				},
				signal,
			);
		if (store.get("node", nodeId)?.witness) return cluster.actAsWitness(service);
		running = startThisNode(parts);
	};
	const starting = start().catch((error) => {
		service.failed(error);
		if (!signal.aborted) logger.error("the node's loops did not start", { error });
	});
	return {
		async stop() {
			stopping.abort(new AppError("canceled", "The node's service is ending."));
			await starting;
			await running?.stop();
		},
	};
}

/** Starts the node beside the API: probing the accelerator may take seconds where KVM is broken. */
function startThisNode(parts: NodeParts): { stop(): Promise<void> } {
	const { config, clock, logger, store, proposer, nodeId, service, cluster, secrets } = parts;
	const libvirt = libvirtOfHost(config, { clock, random, logger });
	const { client, hypervisor } = libvirt;
	// It goes on trying by itself; the node says meanwhile that libvirt is away.
	client.open().catch((error) => logger.warn("libvirt does not answer", { error }));
	const stopping = new AbortController();
	const runFolder = join(config.runDir, "pools");
	const stagingFolder = join(config.dataDir, "staging");
	const start = async (): Promise<RunningNode> => {
		const accelerator = await chooseAccelerator(config.accelerator, stopping.signal);
		logger.info("accelerator", accelerator);
		const left = await leftTrials(runFolder);
		return startNode({
			...{ nodeId, version, store, proposer, hypervisor, accelerator, clock, ids, logger },
			dataDir: config.dataDir,
			demoImage: config.demoImage,
			storage: {
				discover: (query) => discoverStorage(query, { runFolder, stagingFolder, random }),
				tidy: async (pools) => {
					const isPoolHere = (id: string) => store.get("pool", id)?.nodeIds.includes(nodeId) ?? false;
					const host = { runFolder, stagingFolder, random, clock };
					await Promise.all([
						tidyTrials(left, { log: logger, isPoolHere }),
						tidyIscsi(pools, { ...host, log: logger, isPoolHere }),
					]);
				},
				open: (pool) =>
					createStorageDriver(pool, {
						...{ nodeId, random, clock, log: logger, protectedPaths: [config.dataDir] },
						...{ runFolder, stagingFolder },
					}),
			},
			credentials: (poolId, sealed) => secrets.open(poolId, sealed),
			network: createLibvirtNetworks({ client, logger }),
			everybodyHas: (feature) => cluster.everybodyHas(feature),
			seeds: ({ path, vm }) => {
				if (vm.spec.cloudInit === null) throw new AppError("internal", "This VM has no cloud-init settings.");
				return writeSeedIso(
					path,
					seedDocuments(vm.spec.cloudInit, { instanceId: vm.id, hostname: vm.name, macAddress: vm.spec.nics[0]?.mac }),
				);
			},
			fetchUrl: async ({ url, imageId, driver, signal, progress }) => {
				await fetchToUpload(driver, imageId, { url, signal, progress, allowLoopback: config.loopbackDownloads });
			},
			folders: vmFolders,
			vmState: vmStateFiles(config.dataDir),
			remote: createRemoteNodes(() => cluster.peers),
			host: procHost(),
		});
	};
	const starting = start();
	starting.then(
		(node) => {
			service.started(node.service);
			parts.onStarted(node);
		},
		(error) => {
			service.failed(error);
			if (!isAppError(error, "canceled")) logger.error("the node's loops did not start", { error });
		},
	);
	return {
		async stop() {
			stopping.abort(new AppError("canceled", "The node's service is ending."));
			const node = await starting.catch(() => null);
			await node?.stop();
			await libvirt.close();
		},
	};
}
