/**
 * The daemon as a process: how long until it answers /healthz, the memory that it takes idle, and with 1,000 VMs in the
 * state and 20 consoles open (of four VMs that really run); and the bytes of the UI.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { MiB } from "../../lib/units.ts";
import { buildUi } from "../../scripts/build-ui.ts";
import { executablePath, prepareLabDaemon } from "../lab/daemon.ts";
import { buildGuestImage } from "../lab/guest-image.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../lab/libvirtd.ts";
import { VncClient } from "../lab/vnc-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { type Bench, type Figures, median, round } from "./bench.ts";
import { type BenchNode, withBenchNode } from "./bench-node.ts";
import { residentBytes } from "./process-figures.ts";

const starts = 10;
const idleMs = 30_000;
const vmCount = 1_000;
const runningVms = 4;
const consolesOfVm = 5;
const consoleMs = 10_000;
const cacheDir = resolve(import.meta.dir, "../../../.cache");

export const daemonProcess: Bench = {
	name: "daemon",
	what: "start to healthy, memory idle and with many VMs and consoles, bytes of the UI",
	async run() {
		const libvirtd = await startLibvirtd({ name: "bench" });
		try {
			return {
				...(await startAndIdle(libvirtd)),
				...(await withVmsAndConsoles()),
				...(await uiBytes()),
				executableBytes: statSync(executablePath).size,
			};
		} finally {
			await libvirtd.stop();
		}
	},
};

/** With TLS, as people start it. The first start also makes the certificate, the cluster and a password. */
async function startAndIdle(libvirtd: PrivateLibvirtd): Promise<Figures> {
	const first: number[] = [];
	const again: number[] = [];
	let idle = 0;
	for (let i = 0; i < starts; i++) {
		const folder = mkdtempSync("/tmp/lqx-bench-start-");
		const port = await freePort();
		const listen = ["--listen", `127.0.0.1:${port}`];
		const daemon = prepareLabDaemon({ libvirtUri: libvirtd.uri, folder, tls: true, arguments: listen });
		try {
			first.push(await startedMs(daemon, port));
			await daemon.term();
			again.push(await startedMs(daemon, port));
			if (i === starts - 1) {
				await Bun.sleep(idleMs);
				idle = residentBytes(daemon.pid);
			}
		} finally {
			await daemon.stop();
			rmSync(folder, { recursive: true, force: true });
		}
	}
	return {
		daemonFirstStartToHealthyMedianMs: round(median(first), 0),
		daemonStartToHealthyMedianMs: round(median(again), 0),
		daemonStartToHealthyMinimumMs: round(Math.min(...again), 0),
		daemonIdleResidentMegabytes: megabytes(idle),
	};
}

/** From the start of the process to the first 200 of /healthz. */
async function startedMs(daemon: { start(): Promise<void> }, port: number): Promise<number> {
	const started = performance.now();
	const up = daemon.start();
	const healthy = waitUntil(
		"the daemon to be healthy",
		60_000,
		() =>
			fetch(`https://127.0.0.1:${port}/healthz`, { tls: { rejectUnauthorized: false }, keepalive: false }).then(
				(response) => response.status === 200,
				() => false,
			),
		{ everyMs: 2 },
	).then(() => performance.now() - started);
	const [ms] = await Promise.all([healthy, up]);
	return ms;
}

async function withVmsAndConsoles(): Promise<Figures> {
	const guest = await buildGuestImage({ cacheDir });
	return withBenchNode({ vmCount, demoImage: guest.qcow2Path }, async (node) => {
		const vmIds = await startVms(node, guest.qcow2Path);
		const withVms = residentBytes(node.daemon.pid);
		const consoles = await openConsoles(node, vmIds);
		let most = 0;
		const look = setInterval(() => {
			most = Math.max(most, residentBytes(node.daemon.pid));
		}, 100);
		try {
			await Promise.all(consoles.map(watch));
		} finally {
			clearInterval(look);
		}
		most = Math.max(most, residentBytes(node.daemon.pid));
		await Promise.all(consoles.map((client) => client.close()));
		return {
			daemonVms: vmCount + runningVms,
			daemonConsoles: consoles.length,
			daemonWithVmsResidentMegabytes: megabytes(withVms),
			daemonWithVmsAndConsolesResidentMegabytes: megabytes(most),
		};
	});
}

async function startVms({ api, finished }: BenchNode, imagePath: string): Promise<string[]> {
	const image = await api.call("imageCreate", {
		body: { name: "guest", format: "qcow2", source: { kind: "path", path: imagePath } },
	});
	await finished(image.taskLocation);
	const ids: string[] = [];
	for (let i = 0; i < runningVms; i++) {
		const created = await api.call("vmCreate", {
			body: {
				...{ name: `running-${i}`, vcpus: 1, maxVcpus: 1, memoryBytes: 128 * MiB, maxMemoryBytes: 128 * MiB },
				disks: [{ imageId: image.body.id }],
			},
		});
		await finished(created.taskLocation);
		ids.push(created.body.id);
	}
	return ids;
}

/** The way of native viewers: a ticket each, then a WebSocket. */
async function openConsoles({ api, daemon }: BenchNode, vmIds: readonly string[]): Promise<VncClient[]> {
	const clients: VncClient[] = [];
	for (const id of vmIds)
		for (let i = 0; i < consolesOfVm; i++) {
			const { body } = await api.call("vmConsoleTicketCreate", { path: { id }, body: { kind: "native", type: "vnc" } });
			const url = `${daemon.url.replace(/^http/, "ws")}${body.path}`;
			clients.push(await VncClient.connect({ url, protocols: body.protocols }));
		}
	return clients;
}

/** As browsers do: the whole screen once, then whatever changes. */
async function watch(client: VncClient): Promise<void> {
	const end = performance.now() + consoleMs;
	await client.screenshot({ timeoutMs: 60_000 });
	for (let left = consoleMs; left > 0; left = end - performance.now()) await client.waitForChange(left);
}

/** Compressed with gzip, built as for a release. */
async function uiBytes(): Promise<Figures> {
	const folder = mkdtempSync("/tmp/lqx-bench-ui-");
	try {
		const { firstLoadBytes, totalGzipBytes } = await buildUi({ outDir: join(folder, "ui") });
		return { uiFirstLoadGzipBytes: firstLoadBytes, uiAllGzipBytes: totalGzipBytes };
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

const megabytes = (bytes: number): number => round(bytes / 1e6, 1);

/** Free just now: the daemon must be asked before it says where it is. */
async function freePort(): Promise<number> {
	const server = createServer().listen(0, "127.0.0.1");
	await new Promise<void>((resolve) => server.once("listening", () => resolve()));
	const address = server.address();
	await new Promise<void>((resolve) => server.close(() => resolve()));
	return typeof address === "object" && address ? address.port : 0;
}
