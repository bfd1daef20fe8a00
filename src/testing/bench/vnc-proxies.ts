/** The two proxies that vnc-proxy.ts compares, each a process of its own in front of the same unix socket. */
import { createServer } from "node:net";
import { join } from "node:path";
import { waitUntil } from "../lab/wait-until.ts";

export type VncProxy = { pid: number; connect(): Promise<WebSocket>; stop(): Promise<void> };

function openSocket(url: string, protocols: string[]): Promise<WebSocket> {
	const socket = new WebSocket(url, protocols);
	socket.binaryType = "arraybuffer";
	return new Promise((resolve, reject) => {
		socket.onopen = () => resolve(socket);
		socket.onerror = () => reject(new Error(`${url} does not open`));
	});
}

export async function startOurs(socketPath: string): Promise<VncProxy> {
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
export async function startWebsockify(socketPath: string, folder: string): Promise<VncProxy> {
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
