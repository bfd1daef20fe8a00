/** The console proxy against websockify: the same stream from the same unix socket, in turn, per CPU second of each. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitUntil } from "../lab/wait-until.ts";
import { type Bench, type Figures, median, round } from "./bench.ts";
import { cpuSeconds, hasChildren } from "./process-figures.ts";

const rounds = 5;
const handshake = Buffer.concat([Buffer.from("RFB 003.008\n"), Buffer.from([1, 1])]);
/** FramebufferUpdateRequest (RFC 6143, 7.5.3). */
const updateRequest = Buffer.from([3, 1, 0, 0, 0, 0, 4, 0, 3, 0]);

/** What the source sends for each request, and how often the client asks. */
const streams = {
	/** A desktop in use: the client asks for each update, and gets a few kilobytes. */
	interactive: { updateBytes: 8 * 1024, updates: 20_000 },
	/** A film on the screen without compression: as fast as the sockets go. */
	bulk: { updateBytes: 64 * 1024 * 1024, updates: 8 },
};
type Stream = (typeof streams)[keyof typeof streams];

type Proxy = { pid: number; connect(): Promise<WebSocket>; stop(): Promise<void> };
type Sample = { megabytesPerSecond: number; megabytesPerCpuSecond: number };

export const vncProxy: Bench = {
	name: "vnc-proxy",
	what: "VNC proxy throughput and CPU, against websockify on the same stream",
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
	const proxies = { ours: await ours(socketPath), websockify: await websockify(socketPath, folder) };
	const samples = { ours: [] as Sample[], websockify: [] as Sample[] };
	try {
		for (let i = 0; i <= rounds; i++)
			for (const name of ["ours", "websockify"] as const) {
				const sample = await measure(proxies[name], stream);
				// The first round warms up.
				if (i > 0) samples[name].push(sample);
			}
	} finally {
		await Promise.all(Object.values(proxies).map((proxy) => proxy.stop()));
		source.close();
	}
	const of = (name: keyof typeof samples, figure: keyof Sample) =>
		median(samples[name].map((sample) => sample[figure]));
	const Name = streamName.charAt(0).toUpperCase() + streamName.slice(1);
	return {
		[`vncProxy${Name}MegabytesPerSecond`]: round(of("ours", "megabytesPerSecond")),
		[`websockify${Name}MegabytesPerSecond`]: round(of("websockify", "megabytesPerSecond")),
		[`vncProxy${Name}MegabytesPerCpuSecond`]: round(of("ours", "megabytesPerCpuSecond")),
		[`websockify${Name}MegabytesPerCpuSecond`]: round(of("websockify", "megabytesPerCpuSecond")),
		[`vncProxy${Name}PerCpuSecondRatio`]: round(
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

async function measure(proxy: Proxy, stream: Stream): Promise<Sample> {
	const cpuBefore = cpuSeconds(proxy.pid);
	const started = performance.now();
	const socket = await proxy.connect();
	let updates = 0;
	let missing = stream.updateBytes;
	await new Promise<void>((resolve, reject) => {
		socket.onmessage = (event: MessageEvent<ArrayBuffer>) => {
			missing -= event.data.byteLength;
			if (missing > 0) return;
			updates += 1;
			missing += stream.updateBytes;
			if (updates === stream.updates) resolve();
			else socket.send(updateRequest);
		};
		socket.onclose = (event) => reject(new Error(`closed after ${updates} updates: ${event.code} ${event.reason}`));
		socket.send(Buffer.concat([handshake, updateRequest]));
	});
	const seconds = (performance.now() - started) / 1000;
	socket.onclose = null;
	socket.close();
	await waitUntil("the proxy's children to end", 10_000, () => !hasChildren(proxy.pid));
	const cpu = Math.max(0.01, cpuSeconds(proxy.pid) - cpuBefore);
	const megabytes = (stream.updateBytes * stream.updates) / 1024 / 1024;
	return { megabytesPerSecond: megabytes / seconds, megabytesPerCpuSecond: megabytes / cpu };
}

function openSocket(url: string, protocols: string[]): Promise<WebSocket> {
	const socket = new WebSocket(url, protocols);
	socket.binaryType = "arraybuffer";
	return new Promise((resolve, reject) => {
		socket.onopen = () => resolve(socket);
		socket.onerror = () => reject(new Error(`${url} does not open`));
	});
}

async function ours(socketPath: string): Promise<Proxy> {
	const child = Bun.spawn([process.execPath, join(import.meta.dir, "console-server.ts"), socketPath], {
		stdin: "ignore",
		stdout: "pipe",
		stderr: "inherit",
	});
	const first = await child.stdout.getReader().read();
	const port = new TextDecoder().decode(first.value).trim();
	return {
		pid: child.pid,
		async connect() {
			const ticket = (await (await fetch(`http://127.0.0.1:${port}/ticket`)).json()) as { protocols: string[] };
			return openSocket(`ws://127.0.0.1:${port}/v1/console`, ticket.protocols);
		},
		async stop() {
			child.kill();
			await child.exited;
		},
	};
}

/** websockify forks a process for each connection; its time is the parent's once it has ended. */
async function websockify(socketPath: string, folder: string): Promise<Proxy> {
	const probe = createServer().listen(0, "127.0.0.1");
	await new Promise<void>((resolve) => probe.once("listening", () => resolve()));
	const address = probe.address();
	const port = typeof address === "object" && address ? address.port : 0;
	await new Promise<void>((resolve) => probe.close(() => resolve()));
	const child = Bun.spawn(["/usr/bin/websockify", `--unix-target=${socketPath}`, `127.0.0.1:${port}`], {
		stdin: "ignore",
		stdout: "ignore",
		stderr: Bun.file(join(folder, "websockify.log")),
	});
	await waitUntil("websockify to listen", 10_000, async () => {
		try {
			const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
			socket.end();
			return true;
		} catch {
			return undefined;
		}
	});
	return {
		pid: child.pid,
		connect: () => openSocket(`ws://127.0.0.1:${port}/`, ["binary"]),
		async stop() {
			child.kill();
			await child.exited;
		},
	};
}
