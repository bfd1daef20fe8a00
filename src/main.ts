/** One executable: `limiquantix serve` is the daemon, everything else the command line. Each is loaded only when asked for. */
const [command = "", ...rest] = process.argv.slice(2);

if (command === "serve") {
	const { runDaemon } = await import("./daemon.ts");
	await runDaemon(rest, process.env);
} else {
	const { main } = await import("./cli/main.ts");
	process.exitCode = await main(process.argv.slice(2), process.env, {
		async restoreSnapshot(snapshotPath, dataDir) {
			const { restoreSnapshot } = await import("./store/restore.ts");
			const { silentLogger } = await import("./lib/log.ts");
			return restoreSnapshot({ snapshotPath, dataDir, logger: silentLogger });
		},
		async recoverCluster() {
			const { AppError } = await import("./lib/errors.ts");
			throw new AppError("unsupported", "This build cannot recover a cluster.");
		},
	});
}

export {};
