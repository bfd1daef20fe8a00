/** The guest's end of a screen: QEMU's VNC socket. */
import { pinSocket } from "../lib/pinned-socket.ts";
import type { OpenGuestStream } from "./bridge.ts";

/**
 * Opens a unix socket. The path comes from the hypervisor driver, which has checked its folder; that it is a socket and
 * no link is checked again here, on the very thing that is connected to.
 */
export const openUnixSocket =
	(path: string): OpenGuestStream =>
	async (handlers) => {
		const pinned = pinSocket(path);
		const socket = await Bun.connect({
			unix: pinned.path,
			socket: {
				data: (_socket, data) => handlers.onData(data),
				drain: () => handlers.onWritable(),
				close: () => handlers.onEnd(null),
				error: (_socket, error) => handlers.onEnd(error.message),
			},
		}).finally(pinned.close);
		return {
			write: (data) => Math.max(0, socket.write(data)),
			pause: () => socket.pause(),
			resume: () => socket.resume(),
			end: () => socket.end(),
		};
	};
