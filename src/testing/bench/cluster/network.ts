/**
 * A small network for clusters: one hub, in which clients run, and any number of links to hosts, each in a network
 * namespace of its own. A cut link drops packets and says nothing, as a broken switch does. Nothing of the machine's own
 * network is touched. Everything ends with `stop()`, or with this process: the kernel takes a namespace away with the
 * last process in it. Needs root.
 */
import { run } from "../../../lib/run.ts";
import { waitUntil } from "../../lab/wait-until.ts";

export type Host = {
	/** On the network of the hub. */
	readonly address: string;
	/** Put in front of a command line; the program keeps the process id, and ends with this process. */
	readonly prefix: readonly string[];
	/** Both ways, at once; connections stay open and hear nothing. */
	cut(): Promise<void>;
	mend(): Promise<void>;
};

export type Network = {
	/** As Host's, for programs in the hub. */
	readonly hubPrefix: readonly string[];
	addHost(): Promise<Host>;
	stop(): Promise<void>;
};

const hubAddress = "10.98.0.1";
const limit = { timeoutMs: 10_000 };

export async function startNetwork(): Promise<Network> {
	const holders: Holder[] = [];
	const hold = async (): Promise<Holder> => {
		const holder = await startHolder();
		holders.push(holder);
		return holder;
	};
	const stop = async () => void (await Promise.all(holders.map((holder) => holder.stop())));
	try {
		const hub = await hold();
		await hub.ip("link", "set", "lo", "up");
		await hub.ip("link", "add", "hub", "type", "bridge");
		await hub.ip("address", "add", `${hubAddress}/24`, "dev", "hub");
		await hub.ip("link", "set", "hub", "up");
		let hosts = 0;
		return {
			hubPrefix: hub.prefix,
			stop,
			async addHost() {
				const host = await hold();
				hosts += 1;
				const port = `port${hosts}`;
				const address = `10.98.0.${hosts + 10}`;
				await hub.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", String(host.pid));
				await hub.ip("link", "set", port, "master", "hub", "up");
				await host.ip("link", "set", "lo", "up");
				await host.ip("address", "add", `${address}/24`, "dev", "eth0");
				await host.ip("link", "set", "eth0", "up");
				return {
					address,
					prefix: host.prefix,
					// Out of the bridge: the carrier stays, so no end of the link is told.
					cut: () => hub.ip("link", "set", port, "nomaster"),
					mend: () => hub.ip("link", "set", port, "master", "hub"),
				};
			},
		};
	} catch (error) {
		await stop();
		throw error;
	}
}

type Holder = {
	pid: number;
	prefix: string[];
	ip(...args: string[]): Promise<void>;
	stop(): Promise<void>;
};

const endWithUs = ["setpriv", "--pdeathsig", "KILL", "--"];

/** A process that keeps a network namespace. */
async function startHolder(): Promise<Holder> {
	const child = Bun.spawn([...endWithUs, "unshare", "--net", "--", "sleep", "infinity"], {
		stdin: "ignore",
		stdout: "ignore",
		stderr: "pipe",
	});
	await waitUntil("the network namespace", 10_000, async () => {
		if (child.exitCode !== null)
			throw new Error(`A network namespace cannot be made here: ${await new Response(child.stderr).text()}`);
		const name = await Bun.file(`/proc/${child.pid}/comm`)
			.text()
			.catch(() => "");
		return name.trim() === "sleep";
	});
	const enter = ["nsenter", `--net=/proc/${child.pid}/ns/net`, "--"];
	return {
		pid: child.pid,
		prefix: [...endWithUs, ...enter],
		async ip(...args) {
			const [nsenter = "", ...rest] = enter;
			await run(nsenter, [...rest, "ip", ...args], limit);
		},
		async stop() {
			child.kill("SIGKILL");
			await child.exited;
		},
	};
}
