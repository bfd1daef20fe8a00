/**
 * The composition root: the only file that builds real adapters. Order of the start: folders and lock, state, API (it
 * answers from here on), accelerator, node. Order of the end: no new requests, node, state. VMs are never touched by
 * either: they belong to libvirt.
 */
import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { createApi } from "./api/app.ts";
import { openOutside } from "./api/outside.ts";
import { listenLocally, type ServerDeps } from "./api/server.ts";
import { removeInitialPasswordWhenChanged, setUpCluster } from "./auth/bootstrap.ts";
import { hasOwnOrigin } from "./auth/origin.ts";
import { createPasswordHasher } from "./auth/passwords.ts";
import { AuthService } from "./auth/service.ts";
import { apiStreamKind, createApiRelay, serveRelayedRequests } from "./cluster/api-relay.ts";
import { Cluster } from "./cluster/cluster.ts";
import { ClusterSecrets } from "./cluster/cluster-secrets.ts";
import { ClusterTime } from "./cluster/cluster-time.ts";
import { consoleStreamKind, createRemoteConsoles, serveConsoles } from "./cluster/console-relay.ts";
import type { PoolFolders } from "./cluster/importing.ts";
import { ClusterLinks } from "./cluster/links.ts";
import { MemberFeatures } from "./cluster/member-features.ts";
import { noteStarted, openNodeFile } from "./cluster/node-file.ts";
import { contentStreams } from "./cluster/remote-nodes.ts";
import { completeSwitch, readHints } from "./cluster/switch.ts";
import { type Config, configHelp, loadConfig } from "./config.ts";
import { createConsoles } from "./console/console.ts";
import { watchConsoleVms } from "./console/vm-watch.ts";
import { startUpkeep } from "./control/upkeep.ts";
import { startWhenMember } from "./daemon-node.ts";
import { libvirtOfHost } from "./hypervisor/libvirt/libvirt-of-host.ts";
import { present } from "./lib/assert.ts";
import { type Clock, shiftedClock, systemClock } from "./lib/clock.ts";
import { toAppError } from "./lib/errors.ts";
import { haltAtStepIn, passing } from "./lib/halting.ts";
import { doesNotAnswer, HangingPaths } from "./lib/hanging-paths.ts";
import { sleptMs } from "./lib/host-sleep.ts";
import { idSource } from "./lib/ids.ts";
import { createLogger, type Logger } from "./lib/log.ts";
import { systemRandom as random, randomRatio } from "./lib/random.ts";
import { KiB } from "./lib/units.ts";
import { hostSubnets } from "./network/host-subnets.ts";
import type { RunningNode } from "./node/node.ts";
import { runningHere } from "./node/running-here.ts";
import type { NodeSources } from "./node/sources.ts";
import { startingService } from "./node/starting-service.ts";
import type { PeerNode } from "./peer/peer.ts";
import type { StreamHandler } from "./peer/stream-open.ts";
import { workerCommand } from "./storage/worker/command.ts";
import { folderWorkApart } from "./storage/worker/host-file.ts";
import { openStore } from "./store/open-store.ts";
import { proposer as createProposer } from "./store/proposer.ts";
import type { RaftConsensus } from "./store/raft/raft-consensus.ts";
import { openUiAssets } from "./ui-assets.ts";
import { version } from "./version.ts";

/** Heartbeats every 100 ms; without a leader for 500 to 800 ms, an election. */
const raftTiming = {
	tickMs: 50,
	tickJitterMs: 2,
	limits: { electionTicks: 10, electionJitterTicks: 6, heartbeatTicks: 2 },
};
const handOverLimitMs = 60_000;
/** Deletes what the node leaves behind. */
const releaseLimitMs = 600_000;
const ids = idSource(systemClock, random);
/** Not in this process: such a folder may lie on a mount whose server is gone. */
const poolFoldersWith = (clock: Clock, log: Logger): PoolFolders => {
	const paths = new HangingPaths(clock);
	const work = async (method: string, args: [path: string, ...unknown[]], limitMs: number) => {
		const [path] = args;
		if ((await paths.realPaths([path]))[0] === null) throw doesNotAnswer(`The folder ${path}`);
		await folderWorkApart({ command: workerCommand(), clock, log }, method, args, limitMs);
	};
	return {
		handOver: (...args) => work("handOver", args, handOverLimitMs),
		release: (...args) => work("release", args, releaseLimitMs),
	};
};

export type Daemon = {
	url: string;
	/** The ports that it has, where any would do. */
	bound: Pick<Config, "listen" | "peerListen">;
	stop(): Promise<void>;
};

/** `limiquantix serve`: runs until SIGTERM or SIGINT, and exits with 0 then, 1 after a failed start, 2 for bad settings. */
export async function runDaemon(
	argv: readonly string[],
	environment: Record<string, string | undefined>,
): Promise<void> {
	if (argv.includes("--help") || argv.includes("-h")) {
		process.stdout.write(`${configHelp()}\n`);
		return;
	}
	const config = settingsOrExit(argv, environment);
	const logger = createLogger((line) => process.stderr.write(line), config.logLevel, config.logFormat);
	let stopping = false;
	let daemon = startOrExit(config, logger, beginAnew);
	/** This node has become another one (it joined a cluster, or left it), or has another state: all but the process begins anew. */
	function beginAnew(): void {
		if (stopping) return;
		daemon = daemon.then(async (running) => {
			logger.info("beginning anew; VMs go on running", {});
			await running.stop();
			// Others know its ports by now.
			return startOrExit({ ...config, ...running.bound }, logger, beginAnew);
		});
		daemon.catch((error) => endBadly(logger, error));
	}
	await daemon;
	const stop = (signal: string) => {
		if (stopping) return;
		stopping = true;
		logger.info("stopping; VMs go on running", { signal });
		daemon
			.then((running) => running.stop())
			.then(
				() => process.exit(0),
				(error) => endBadly(logger, error),
			);
	};
	process.on("SIGTERM", stop);
	process.on("SIGINT", stop);
}

function endBadly(logger: Logger, error: unknown): never {
	logger.error("the end was not clean", { error });
	process.exit(1);
}

async function startOrExit(config: Config, logger: Logger, beginAnew: () => void): Promise<Daemon> {
	try {
		return await startDaemon(config, logger, beginAnew);
	} catch (error) {
		logger.error("the node cannot start", { error });
		process.stderr.write(`limiquantix: ${toAppError(error).message}\n`);
		process.exit(1);
	}
}

function settingsOrExit(argv: readonly string[], environment: Record<string, string | undefined>): Config {
	try {
		return loadConfig(argv, environment);
	} catch (error) {
		process.stderr.write(`limiquantix serve: ${toAppError(error).message}\n`);
		process.exit(2);
	}
}

/** `beginAnew` is called when this daemon has to be stopped and started again. */
export async function startDaemon(config: Config, logger: Logger, beginAnew: () => void): Promise<Daemon> {
	const { dataDir } = config;
	haltAtStepIn(config.haltFile);
	mkdirSync(dataDir, { recursive: true, mode: 0o711 });
	mkdirSync(config.runDir, { recursive: true, mode: 0o711 });
	const { testSettings, fsync } = config;
	const risk = fsync ? {} : { risk: "the log is not flushed: a power cut loses what was acknowledged" };
	if (testSettings.length > 0) logger.warn("settings for tests only are in use", { testSettings, ...risk });
	await completeSwitch(dataDir, logger);
	const me = await openNodeFile(dataDir, () => ids.newId());
	const hostClock = shiftedClock(systemClock, config.clockAheadMs);
	/** Of what is written down and judged; links, log and timers go by the host's own, the upkeep by the earlier of the two. */
	const clock = new ClusterTime(hostClock, logger, sleptMs);
	const poolFolders = poolFoldersWith(clock, logger);
	const hints = await readHints(dataDir);
	const { nodeId, clusterId } = me;
	const tickMs = config.tickMs ?? raftTiming.tickMs;
	const links = new ClusterLinks(logger);
	let opened: RaftConsensus | null = null;
	/** A node that joined, and has not got the cluster's state yet. */
	let hasNothing = false;
	const store = await openStore({
		...{ dataDir, identity: me, clock: hostClock, logger, links, fsync: config.fsync, ballast: true },
		...(config.snapshotEntries === null ? {} : cutOften(config.snapshotEntries)),
		random: () => randomRatio(random),
		timing: { ...raftTiming, tickMs },
		onConsensus(consensus) {
			opened = consensus;
			links.useConsensus(consensus);
		},
		onReplaced() {
			// What was read before is not true any more; a node that has just joined has read nothing yet.
			if (opened !== null && !hasNothing) beginAnew();
			hasNothing = false;
			passing("state replaced");
		},
		onFatal(error) {
			logger.error("the state cannot be kept; the node ends so that nothing acknowledged is lost", { error });
			process.exit(1);
		},
	});
	hasNothing = hints !== null && store.count("node") === 0;
	await noteStarted(dataDir, me);
	const consensus = present(opened as RaftConsensus | null, "the consensus of an open store");
	const memberFeatures = new MemberFeatures(nodeId, store);
	const proposer = createProposer(store, clock, ids, (feature) => memberFeatures.lacking(feature));
	const passwords = createPasswordHasher();
	const nodeName = config.nodeName ?? hostname();
	const first = me.founder
		? await setUpCluster(
				dataDir,
				{
					...{ nodeId, clusterId, nodeName, version, hostSubnets: hostSubnets() },
					poolPath: config.defaultPoolPath ?? join(dataDir, "pools", "local"),
				},
				{ clock, random, ids, passwords, store, proposeSystem: proposer.proposeSystem },
			)
		: null;
	const stopPasswordWatch = await removeInitialPasswordWhenChanged(dataDir, { store, passwords, logger });

	const auth = new AuthService({ store, proposer, clock, random, ids, logger, passwords });
	const service = startingService(nodeId, config.demoImage, clock);
	const openStream: PeerNode["openStream"] = (...args) => cluster.peers.openStream(...args);
	const consoles = createConsoles({
		node: service,
		remote: createRemoteConsoles({ openStream }, { store, nodeId, clock }),
		clock,
		random,
		logger,
		isOwnOrigin: (request) => hasOwnOrigin(request.headers, !config.insecureHttp),
		watchCredential: (identity, onRevoked) => auth.watchCredential(identity, onRevoked),
		recordDenial: (identity, vmId, remoteAddress) =>
			auth.recordDenial(identity, "vmConsoleTicketCreate", remoteAddress, [{ kind: "vm", id: vmId, name: null }]),
	});
	const stopConsoleWatch = watchConsoleVms(store, consoles);
	const streams: Record<string, StreamHandler> = {};
	let node: { stop(): Promise<void> } | null = null;
	const secrets = new ClusterSecrets({
		...{ dataDir, nodeId, store, proposer, clock: hostClock, random, logger },
		peers: () => cluster.peers,
	});
	const cluster: Cluster = new Cluster({
		...{ dataDir, node: me, nodeName, version, links, consensus, store, proposer, hints, streams },
		...{ peerListen: config.peerListen, tickMs, poolFolders, memberFeatures, secrets, random, ids, logger },
		...{ clock: hostClock, time: clock },
		runningHere: () => runningHere(libvirtOfHost(config, { clock, random, logger }), { dataDir, clock, logger }),
		onRestart: beginAnew,
		onRemoved: async () => node?.stop(),
	});
	const api = createApi({
		...{ store, proposer, auth, node: service, console: consoles, clock, random, ids, logger, version },
		...{ cluster, secrets, relay: createApiRelay({ openStream }), dataDir },
	});
	streams[apiStreamKind] = serveRelayedRequests((incoming) => api.handleRelayed(incoming));
	streams[consoleStreamKind] = serveConsoles(consoles, { store, nodeId, clock });
	let sources: NodeSources | null = null;
	Object.assign(
		streams,
		contentStreams(() => sources, clock),
	);
	const server: ServerDeps = { api, console: consoles, ui: openUiAssets() };
	// The ports first: a node that cannot have them leaves the run folder as it was.
	await cluster.start();
	const outside = await openOutside(server, config, { clock, random, logger });
	const local = await listenLocally(server, join(config.runDir, "limiquantix.sock")).catch(async (error: unknown) => {
		await outside.stop();
		throw error;
	});

	const onStarted = (started: RunningNode) => {
		sources = started.sources;
	};
	node = startWhenMember({
		...{ config, clock, logger, store, proposer, nodeId, service, cluster, secrets, hints, poolFolders, onStarted },
	});
	const leads = () => store.status().leader === nodeId;
	const stopUpkeep = startUpkeep({ clock: hostClock, agreed: clock, store, proposer, logger, leads });
	logger.info("ready", {
		...{ url: outside.url, socket: local.url, version, nodeId },
		...(outside.fingerprint ? { fingerprint: outside.fingerprint } : {}),
		...(first ? { initialAdminPassword: first.passwordFile } : {}),
	});
	return {
		url: outside.url,
		bound: {
			listen: { host: config.listen.host, port: outside.port },
			peerListen: { host: config.peerListen.host, port: cluster.peers.port },
		},
		async stop() {
			stopUpkeep();
			stopPasswordWatch();
			stopConsoleWatch();
			consoles.stop();
			api.close();
			await Promise.all([outside.stop(), local.stop(true)]);
			await auth.close();
			await node?.stop();
			await cluster.handOver();
			await store.close();
			await cluster.stop();
		},
	};
}

/** Snapshots and files of the log so small that the log is cut within a test. */
const cutOften = (snapshotEntries: number) => ({ policy: { snapshotEntries }, segmentBytes: 64 * KiB });
