/** The guest's end of a console: QEMU's VNC socket, or the serial console through libvirt. */
import type { SerialStream } from "../hypervisor/driver.ts";
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

export const openSerialStream =
	(open: () => Promise<SerialStream>): OpenGuestStream =>
	async (handlers) => {
		const serial = await open();
		const reader = serial.output.getReader();
		let paused: PromiseWithResolvers<void> | null = null;
		let writing = false;
		const pump = async () => {
			for (;;) {
				await paused?.promise;
				const { done, value } = await reader.read();
				if (done) return handlers.onEnd(null);
				handlers.onData(value);
			}
		};
		pump().catch((error: unknown) => handlers.onEnd(error instanceof Error ? error.message : String(error)));
		return {
			write(data) {
				if (writing) return 0;
				writing = true;
				serial.write(data).then(
					() => {
						writing = false;
						handlers.onWritable();
					},
					() => handlers.onEnd("The serial console does not take input."),
				);
				return data.length;
			},
			pause() {
				paused ??= Promise.withResolvers<void>();
			},
			resume() {
				paused?.resolve();
				paused = null;
			},
			end() {
				paused?.resolve();
				reader.cancel().catch(() => {});
				serial.close().catch(() => {});
			},
		};
	};
