/** One executable: `limiquantix serve` is the daemon, everything else the command line. Each is loaded only when asked for. */
const [command = "", ...rest] = process.argv.slice(2);

if (command === "serve") {
	const { runDaemon } = await import("./daemon.ts");
	await runDaemon(rest, process.env);
} else if (command === "storage-worker") {
	// What the daemon starts for pools whose files it does not touch itself; nobody types it.
	const { runStorageWorker } = await import("./storage/worker/child.ts");
	await runStorageWorker();
} else {
	const { main } = await import("./cli/main.ts");
	process.exitCode = await main(process.argv.slice(2), process.env, {
		async restoreSnapshot(snapshotPath, dataDir, nodeName) {
			const { restoreSnapshot } = await import("./cluster/restore.ts");
			return restoreSnapshot({ snapshotPath, dataDir, nodeName, ...(await offlineTools()) });
		},
		async recoverCluster(dataDir, confirm) {
			const { recoverCluster } = await import("./cluster/recover.ts");
			const { probe } = await import("./peer/probe.ts");
			const { systemClock } = await import("./lib/clock.ts");
			const reach = (addresses: Parameters<typeof probe>[0], nodeId: string) => probe(addresses, nodeId, systemClock);
			return recoverCluster({ dataDir, confirm, reach, ...(await offlineTools()) });
		},
		async readdress(dataDir, node, addresses) {
			const { readdressLocally } = await import("./cluster/local-addresses.ts");
			return readdressLocally(dataDir, node, addresses);
		},
	});
}

async function offlineTools() {
	const { systemClock } = await import("./lib/clock.ts");
	const { idSource } = await import("./lib/ids.ts");
	const { silentLogger } = await import("./lib/log.ts");
	const { systemRandom } = await import("./lib/random.ts");
	const ids = idSource(systemClock, systemRandom);
	return { newId: () => ids.newId(), nowMs: systemClock.nowMs(), logger: silentLogger };
}

export {};
