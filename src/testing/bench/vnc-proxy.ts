/**
 * The console proxy against websockify: the same streams from the same unix socket, in turn, per CPU second of each.
 * websockify forks a process for each console; ours carries all of a node.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { type Bench, type Figures, median, round } from "./bench.ts";
import { childrenOf, cpuSecondsWithChildren } from "./process-figures.ts";
import { startOurs, startWebsockify, type VncProxy } from "./vnc-proxies.ts";

const rounds = 5;
const handshake = Buffer.concat([Buffer.from("RFB 003.008\n"), Buffer.from([1, 1])]);
/** FramebufferUpdateRequest (RFC 6143, 7.5.3). */
const updateRequest = Buffer.from([3, 1, 0, 0, 0, 0, 4, 0, 3, 0]);

type Stream = {
	/** What the source sends for each request. */
	updateBytes: number;
	/** Of each console. */
	updates: number;
	consoles: number;
	/** Mean time between an update and the next request, spread from half of it to one and a half; 0 asks at once. */
	thinkMs: number;
};

const streams: Record<string, Stream> = {
	/** As many desktops in use as a node must carry, each with 25 small updates a second. */
	Desktops: { updateBytes: 8 * 1024, updates: 200, consoles: 20, thinkMs: 40 },
	/** The same desktops, asking as fast as they are answered. */
	BusyDesktops: { updateBytes: 8 * 1024, updates: 2_000, consoles: 20, thinkMs: 0 },
	/** One of them alone: each request and each update wakes the proxy from sleep. */
	OneDesktop: { updateBytes: 8 * 1024, updates: 20_000, consoles: 1, thinkMs: 0 },
	/** One film on a screen without compression, as fast as the sockets go. */
	Bulk: { updateBytes: 64 * 1024 * 1024, updates: 16, consoles: 1, thinkMs: 0 },
};

type Sample = { megabytesPerSecond: number; megabytesPerCpuSecond: number };

export const vncProxy: Bench = {
	name: "vnc-proxy",
	what: "VNC proxy throughput and CPU, against websockify on the same streams",
	async run(): Promise<Figures> {
		const folder = mkdtempSync(join(tmpdir(), "lqx-bench-"));
		const figures: Figures = {};
		try {
			for (const [name, stream] of Object.entries(streams)) Object.assign(figures, await compare(name, stream, folder));
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
		return figures;
	},
};

async function compare(streamName: string, stream: Stream, folder: string): Promise<Figures> {
	const socketPath = join(folder, `${streamName}.sock`);
	const source = await startSource(socketPath, stream);
	const proxies: Partial<Record<"ours" | "websockify", VncProxy>> = {};
	const samples = { ours: [] as Sample[], websockify: [] as Sample[] };
	try {
		proxies.ours = await startOurs(socketPath);
		proxies.websockify = await startWebsockify(socketPath, folder);
		for (let i = 0; i <= rounds; i++)
			for (const name of ["ours", "websockify"] as const) {
				const sample = await measure(present(proxies[name], `the proxy ${name}`), stream);
				// The first round warms up.
				if (i > 0) samples[name].push(sample);
			}
	} finally {
		await Promise.all(Object.values(proxies).map((proxy) => proxy.stop()));
		source.close();
	}
	const of = (name: keyof typeof samples, figure: keyof Sample) =>
		median(samples[name].map((sample) => sample[figure]));
	return {
		[`vncProxy${streamName}MegabytesPerSecond`]: round(of("ours", "megabytesPerSecond")),
		[`websockify${streamName}MegabytesPerSecond`]: round(of("websockify", "megabytesPerSecond")),
		[`vncProxy${streamName}MegabytesPerCpuSecond`]: round(of("ours", "megabytesPerCpuSecond")),
		[`websockify${streamName}MegabytesPerCpuSecond`]: round(of("websockify", "megabytesPerCpuSecond")),
		[`vncProxy${streamName}PerCpuSecondRatio`]: round(
			of("ours", "megabytesPerCpuSecond") / of("websockify", "megabytesPerCpuSecond"),
		),
	};
}

/** In the place of QEMU: answers each request with one update. */
async function startSource(socketPath: string, stream: Stream): Promise<Server> {
	const block = Buffer.alloc(Math.min(stream.updateBytes, 256 * 1024), 0x5a);
	const source = createServer((socket) => {
		let skip = handshake.length;
		let requested = 0;
		let left = 0;
		const send = () => {
			while (left > 0) {
				left -= block.length;
				if (!socket.write(block)) return;
			}
		};
		socket.on("drain", send);
		socket.on("error", () => {});
		socket.on("data", (data: Buffer) => {
			const skipped = Math.min(skip, data.length);
			skip -= skipped;
			requested += data.length - skipped;
			for (; requested >= updateRequest.length; requested -= updateRequest.length) left += stream.updateBytes;
			send();
		});
	});
	await new Promise<void>((resolve) => source.listen(socketPath, resolve));
	return source;
}

async function measure(proxy: VncProxy, stream: Stream): Promise<Sample> {
	const sockets = await Promise.all(Array.from({ length: stream.consoles }, () => proxy.connect()));
	// What a connection costs to make is not counted: websockify forks for each, and that would count against it.
	const cpuBefore = cpuSecondsWithChildren(proxy.pid);
	const started = performance.now();
	await Promise.all(sockets.map((socket) => watch(socket, stream)));
	const seconds = (performance.now() - started) / 1000;
	const cpu = Math.max(0.01, cpuSecondsWithChildren(proxy.pid) - cpuBefore);
	for (const socket of sockets) socket.close();
	await waitUntil("the proxy's children to end", 10_000, () => childrenOf(proxy.pid).length === 0);
	const megabytes = (stream.updateBytes * stream.updates * stream.consoles) / 1024 / 1024;
	return { megabytesPerSecond: megabytes / seconds, megabytesPerCpuSecond: megabytes / cpu };
}

/** One console, until it has had all of its updates. */
async function watch(socket: WebSocket, stream: Stream): Promise<void> {
	let updates = 0;
	let missing = stream.updateBytes;
	const ask = () => socket.send(updateRequest);
	await new Promise<void>((resolve, reject) => {
		socket.onmessage = (event: MessageEvent<ArrayBuffer>) => {
			missing -= event.data.byteLength;
			if (missing > 0) return;
			updates += 1;
			missing += stream.updateBytes;
			if (updates === stream.updates) resolve();
			else if (stream.thinkMs > 0) setTimeout(ask, stream.thinkMs * (0.5 + Math.random()));
			else ask();
		};
		socket.onclose = (event) => reject(new Error(`closed after ${updates} updates: ${event.code} ${event.reason}`));
		socket.send(Buffer.concat([handshake, updateRequest]));
	});
	socket.onclose = null;
}
