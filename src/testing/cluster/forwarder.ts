/**
 * TCP connections to one address go on to another: what a translation of addresses does to a node behind it. A process of its own, since
 * it runs in the node's network: `bun forwarder.ts FROM-HOST TO-HOST PORT`.
 */
import { connect, createServer } from "node:net";
import type { Host } from "../bench/cluster/network.ts";

export type Forwarder = { stop(): Promise<void> };

/** Resolves when it listens. */
export async function startForwarder(host: Host, to: string, port: number): Promise<Forwarder> {
	const child = Bun.spawn(
		[
			"setpriv",
			"--pdeathsig",
			"KILL",
			"--",
			...host.prefix,
			process.execPath,
			import.meta.path,
			host.address,
			to,
			String(port),
		],
		{ stdin: "ignore", stdout: "pipe", stderr: "inherit" },
	);
	for await (const _ of child.stdout) break;
	return {
		async stop() {
			child.kill("SIGKILL");
			await child.exited;
		},
	};
}

function forward([from = "", to = "", port = ""]: readonly string[]): void {
	const server = createServer((incoming) => {
		const outgoing = connect(Number(port), to);
		incoming.pipe(outgoing).pipe(incoming);
		for (const [one, other] of [
			[incoming, outgoing],
			[outgoing, incoming],
		] as const)
			one.on("error", () => other.destroy()).on("close", () => other.destroy());
	});
	server.listen(Number(port), from, () => console.log("listening"));
}

if (import.meta.main) forward(process.argv.slice(2));
