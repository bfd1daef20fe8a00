/** The serial console as the console proxy wants it. */
import type { SerialStream } from "../driver.ts";
import type { ByteStream } from "./rpc/stream.ts";

/** When the domain stops, libvirt ends the stream in one way or another: for us that is its end, not a failure. */
export function serialStream(stream: ByteStream, ended: () => Promise<boolean>): SerialStream {
	const reader = stream.readable.getReader();
	let closed = false;
	return {
		output: new ReadableStream<Uint8Array>(
			{
				async pull(controller) {
					try {
						const { done, value } = await reader.read();
						if (done) controller.close();
						else controller.enqueue(value);
					} catch (error) {
						if (closed || (await ended())) controller.close();
						else controller.error(error);
					}
				},
				cancel: () => stream.abort(),
			},
			{ highWaterMark: 0 },
		),
		write: (data) => stream.write(data),
		async close() {
			closed = true;
			stream.abort();
		},
	};
}
