/**
 * Hosts of a small network inside the storage lab VM: each a network namespace (with mounts, processes and a name of its own) on
 * one bridge. Tests themselves, the kernel's iSCSI initiator and what they mount are on the bridge, too, as 10.88.0.1.
 */
import { run } from "../../../../lib/run.ts";
import { type Namespace, startNamespace } from "../../namespace.ts";

export type LabHost = AsyncDisposable & {
	readonly name: string;
	/** Without the length of the prefix. */
	readonly addresses: readonly string[];
	readonly namespace: Namespace;
	/** As it says on its standard output. */
	run(program: string, args: readonly string[], limitMs?: number): Promise<string>;
	/** Packets to and from it vanish: of one of its addresses, or all. It goes on as if nobody asked. */
	drop(address?: string): Promise<void>;
	/** Ends all of `drop`. */
	admit(): Promise<void>;
	/** The cable out, or in again. */
	cable(state: "up" | "down"): Promise<void>;
	/** What it sends arrives later, or not at all; `null` ends it. */
	netem(what: { delayMs?: number; lossPercent?: number } | null): Promise<void>;
};

const bridge = "lab0";
const bridgeAddress = "10.88.0.1/16";
const limitMs = 20_000;
const table = "lab-drop";

/** `name`: up to 10 letters and digits. `addresses`: in 10.88.0.0/16, as "10.88.0.2". */
export async function makeHost(name: string, addresses: readonly string[]): Promise<LabHost> {
	await makeBridge();
	const outer = `lab-${name}`;
	await ip("netns", "add", name);
	try {
		await ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name);
		await ip("link", "set", outer, "master", bridge, "up");
		for (const address of addresses) await ip("-n", name, "address", "add", `${address}/16`, "dev", "eth0");
		await ip("-n", name, "link", "set", "lo", "up");
		await ip("-n", name, "link", "set", "eth0", "up");
		const namespace = await startNamespace({ hostname: name, network: { netns: name } });
		return new Host(name, addresses, outer, namespace);
	} catch (error) {
		await ip("netns", "delete", name);
		throw error;
	}
}

const ip = (...args: string[]) => run("ip", args, { timeoutMs: limitMs });

async function makeBridge(): Promise<void> {
	const { exitCode } = await run("ip", ["link", "show", bridge], { timeoutMs: limitMs, okExitCodes: [0, 1] });
	if (exitCode === 0) return;
	await ip("link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0");
	await ip("address", "add", bridgeAddress, "dev", bridge);
	await ip("link", "set", bridge, "up");
}

class Host implements LabHost {
	readonly name: string;
	readonly addresses: readonly string[];
	readonly namespace: Namespace;
	readonly #outer: string;
	#drops = 0;

	constructor(name: string, addresses: readonly string[], outer: string, namespace: Namespace) {
		this.name = name;
		this.addresses = addresses;
		this.#outer = outer;
		this.namespace = namespace;
	}

	async run(program: string, args: readonly string[], timeoutMs = limitMs): Promise<string> {
		return (await this.namespace.run(program, args, { timeoutMs })).stdout;
	}

	async drop(address?: string): Promise<void> {
		const of = (side: string) => (address === undefined ? "" : `ip ${side} ${address} `);
		const chain = (hook: string, name: string, side: string) =>
			`chain ${hook} {\ntype filter hook ${hook} priority 0\n${name} != "lo" ${of(side)}counter drop\n}\n`;
		const chains = `${chain("input", "iifname", "daddr")}${chain("output", "oifname", "saddr")}`;
		const stdin = `table ip ${table}${this.#drops} {\n${chains}}\n`;
		await this.namespace.run("nft", ["-f", "-"], { timeoutMs: limitMs, stdin });
		this.#drops += 1;
	}

	async admit(): Promise<void> {
		while (this.#drops > 0) {
			await this.run("nft", ["delete", "table", "ip", `${table}${this.#drops - 1}`]);
			this.#drops -= 1;
		}
	}

	async cable(state: "up" | "down"): Promise<void> {
		await ip("link", "set", this.#outer, state);
	}

	async netem(what: { delayMs?: number; lossPercent?: number } | null): Promise<void> {
		if (what === null) {
			await this.run("tc", ["qdisc", "delete", "dev", "eth0", "root"]);
			return;
		}
		const { delayMs = 0, lossPercent = 0 } = what;
		const netem = ["netem", "delay", `${delayMs}ms`, "loss", `${lossPercent}%`];
		await this.run("tc", ["qdisc", "replace", "dev", "eth0", "root", ...netem]);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.namespace.stop();
		await ip("link", "delete", this.#outer);
		await ip("netns", "delete", this.name);
	}
}
