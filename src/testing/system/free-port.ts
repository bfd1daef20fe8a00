/** A TCP port of loopback that was free a moment ago, for what must have the same port after a restart. */
import { createServer } from "node:net";
import { assert } from "../../lib/assert.ts";

export async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve, reject) => {
		server.on("error", reject).listen(0, "127.0.0.1", resolve);
	});
	const address = server.address();
	assert(address !== null && typeof address === "object", "a TCP server has a port");
	await new Promise<void>((resolve) => server.close(() => resolve()));
	return address.port;
}
