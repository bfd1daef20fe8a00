/**
 * An Ethernet hub for QEMU machines (`-netdev stream`) on a unix socket: whatever one sends, all others get. A frame is its
 * length in four bytes, big-endian, and its bytes. The machines are on no other network by it, and neither is this host.
 */
import { createServer, type Socket } from "node:net";

/** Waiting for a machine that does not read, more than this is dropped, as on a wire. */
const mostWaitingBytes = 4 * 1024 * 1024;
const longestFrameBytes = 128 * 1024;

export type EthernetHub = {
	readonly socketPath: string;
	/** How many are plugged in. */
	readonly ports: number;
	close(): Promise<void>;
};

export async function startEthernetHub(socketPath: string): Promise<EthernetHub> {
	const ports = new Set<Socket>();
	const server = createServer((port) => {
		ports.add(port);
		const forward = splitFrames((frame) => {
			for (const other of ports) if (other !== port && other.writableLength < mostWaitingBytes) other.write(frame);
		});
		port.on("data", (bytes: Buffer) => {
			if (!forward(bytes)) port.destroy();
		});
		port.on("error", () => port.destroy());
		port.on("close", () => ports.delete(port));
	});
	await new Promise<void>((resolve, reject) => server.once("error", reject).listen(socketPath, () => resolve()));
	return {
		socketPath,
		get ports() {
			return ports.size;
		},
		async close() {
			for (const port of ports) port.destroy();
			await new Promise<void>((resolve) => server.close(() => resolve()));
		},
	};
}

/** Calls with each whole frame, its length in front. False when what comes is no frame. */
export function splitFrames(onFrame: (frame: Buffer) => void): (bytes: Buffer) => boolean {
	let rest: Buffer = Buffer.alloc(0);
	return (bytes) => {
		rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
		while (rest.length >= 4) {
			const length = rest.readUInt32BE();
			if (length > longestFrameBytes) return false;
			if (rest.length < 4 + length) break;
			onFrame(rest.subarray(0, 4 + length));
			rest = rest.subarray(4 + length);
		}
		return true;
	};
}
