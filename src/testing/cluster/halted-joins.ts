/**
 * Joins of which one side is killed at a step that is chosen: a node with a VM that runs joins a cluster of two, by way of the
 * follower, and at the step the node itself, or somebody that it needs then, gets kill -9 and is started again. The join has been
 * completed afterwards, or the node is what it was; then the command is repeated, with the same token or another one.
 *
 * Each join begins with the same data: what is on the disks of all three is put back.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { type LabDaemon, prepareLabDaemon } from "../lab/daemon.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { freePort } from "../system/free-port.ts";
import type { LabSystem } from "../system/lab-system.ts";
import { qemuPids } from "../system/leftovers.ts";
import { startVmNode } from "../system/vm-node.ts";
import { untilSame } from "./convergence.ts";
import { Halts } from "./halts.ts";
import { statusOf } from "./lab-cluster.ts";
import { type ClusterApi, clientOf, networkBody } from "./register.ts";

export type Side = "joiner" | "asked" | "leader";
/** Who passes the step, who is killed while it stands still there, and what has become of the join when the node is back. */
export type HaltedJoin = { step: string; of: Side; victim: Side; then?: "undone" | "done" };
/** Repeated with another token, since the first one is gone. */
export type Repeat = { anotherToken?: boolean };

const stepMs = 60_000;
const withoutDisks = { disks: [], nics: [], memoryBytes: 64 * MiB, maxMemoryBytes: 64 * MiB };
/** So few that a node that joins gets the state as a snapshot. */
const snapshotEntries = "20";
/** Of VMs that run; they are not touched. */
const notCopied = "vms";

type Machine = { name: string; daemon: LabDaemon; api: ClusterApi; halts: Halts; address: string; copied: string[] };

export class HaltedJoins implements AsyncDisposable {
	readonly #folder = mkdtempSync("/tmp/lqx-halted-joins-");
	readonly #ends: (() => PromiseLike<void>)[] = [];
	readonly #members: Machine[] = [];
	#system: LabSystem | null = null;
	#joiner: Machine | null = null;
	#token = "";
	#formerId = "";
	#vmId = "";
	#pids: number[] = [];

	static async prepare(): Promise<HaltedJoins> {
		const joins = new HaltedJoins();
		try {
			await joins.#prepare();
			return joins;
		} catch (error) {
			await joins[Symbol.asyncDispose]();
			throw error;
		}
	}

	/** One sentence for each thing that is not as it must be. */
	async join({ step, of, victim, then }: HaltedJoin, { anotherToken = false }: Repeat = {}): Promise<string[]> {
		await this.#putBack();
		const joiner = present(this.#joiner, "the node that joins");
		const leader = await this.#leader();
		const asked = present(
			this.#members.find((member) => member !== leader),
			"the follower",
		);
		const sides = { joiner, asked, leader };
		const problems: string[] = [];
		const check = (fine: boolean, what: string) => {
			if (!fine) problems.push(`${victim} killed at "${step}" of ${of}: ${what}`);
		};

		// Who leads may be another one by then.
		const expected = of === "leader" ? this.#members : [sides[of]];
		for (const { halts } of expected) halts.at(step);
		const first = this.#joinUntil(asked, () => expected.some(({ halts }) => halts.passed));
		const stopped = await waitUntil(`"${step}" to be reached`, stepMs, () =>
			expected.find(({ halts }) => halts.standsStill),
		);
		for (const machine of expected) if (machine !== stopped) machine.halts.never();
		const killed = of === victim ? stopped : sides[victim];
		await killed.daemon.kill9();
		if (killed !== stopped) stopped.halts.goOn();
		await killed.daemon.start();
		const said = await first;

		const member = await this.#isMember();
		if (then) check(member === (then === "done"), member ? "the join was not undone" : "the join was not completed");
		if (!member) {
			const vm = await joiner.api.call("vmGet", { path: { id: this.#vmId } });
			check(vm.body.nodeId === this.#formerId, "the VM is not its own any more");
			await this.#leader();
			const again = await this.#join(asked, anotherToken ? await this.#makeAnotherToken() : this.#token);
			check(again === "joining", `the join, repeated: ${again} (first: ${said})`);
			if (problems.length > 0) return problems;
		}
		await waitUntil("it to be a member", stepMs, () => this.#isMember());
		const all = [...this.#members, joiner];
		await waitUntil("three voters", stepMs, async () => {
			const seen = await Promise.all(all.map((machine) => statusOf(machine)));
			return seen.every((status) => status?.quorum && status.members.length === 3 && status.voterCount === 3);
		});
		const { nodeId } = (await joiner.api.call("healthGet")).body;
		await waitUntil("it to be ready with its VM", stepMs, async () => {
			const { body: node } = await leader.api.call("nodeGet", { path: { id: nodeId } });
			// It comes with what the node brings.
			const vm = (await leader.api.call("vmList")).body.items.find(({ id }) => id === this.#vmId);
			return node.status.phase === "ready" && vm?.nodeId === nodeId && vm.status.powerState === "running";
		});
		await untilSame(all, this.#folder, stepMs);
		for (const { api } of all) {
			const nodes = (await api.call("nodeList")).body.items.map(({ name }) => name).sort();
			check(nodes.join() === "joiner,node-1,node-2", `the nodes are ${nodes}`);
			const vms = (await api.call("vmList")).body.items.map(({ id, name }) => `${name} ${id}`);
			check(vms.join() === `early ${this.#vmId}`, `the VMs are ${vms}`);
		}
		const { items: tokens } = (await leader.api.call("joinTokenList")).body;
		const used = tokens.map(({ usesLeft, admitted }) => `${usesLeft} left, for ${admitted.map((one) => one.nodeId)}`);
		// The first one of two is gone, and the second was not needed for a node that was admitted.
		const expectedUse = anotherToken ? "1 left, for " : `0 left, for ${nodeId}`;
		check(used.includes(expectedUse), `the tokens have ${used}`);
		const pids = await qemuPids(present(this.#system, "the host with the VM"));
		check(pids.join() === this.#pids.join(), `QEMU is ${pids} and was ${this.#pids}`);
		const pools = (await leader.api.call("poolList")).body.items.filter(({ nodeIds }) => nodeIds.includes(nodeId));
		const health = pools
			.flatMap(({ nodes }) => nodes.filter((part) => part.nodeId === nodeId))
			.map((part) => part.health);
		check(
			pools.length === 1 && health.join() === "healthy",
			`its pools are ${pools.map(({ name }) => name)}: ${health}`,
		);
		return problems;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (process.env.LIMIQUANTIX_TEST_LOG === "1")
			for (const { name, daemon } of this.#all) console.error(`── ${name}\n${daemon.log().slice(-20_000)}`);
		for (const end of this.#ends) await end();
		rmSync(this.#folder, { recursive: true, force: true });
	}

	get #all(): Machine[] {
		return [...this.#members, ...(this.#joiner ? [this.#joiner] : [])];
	}

	async #prepare(): Promise<void> {
		const pool = join(this.#folder, "pool");
		mkdirSync(pool);
		// The first has a pool of the same name and folder as the one that joins.
		const first = await this.#startMember("node-1", pool);
		const second = await this.#startMember("node-2", join(this.#folder, "node-2", "pool"));
		const init = { path: { id: (await first.api.call("healthGet")).body.nodeId } };
		await first.api.call("nodeUpdate", { ...init, body: { peerAddresses: [first.address] } });
		const large = (await first.api.call("networkCreate", { body: networkBody("large") })).body;
		await waitUntil("the log to be cut", stepMs, async () => {
			for (let number = 0; number < 10; number++)
				await first.api.call("networkUpdate", {
					...{ path: { id: large.id }, body: { description: String(number).repeat(4_000) } },
				});
			const names = readdirSync(join(first.daemon.dataDir, "raft"));
			const firsts = names.flatMap((name) => /^(\d+)(?:-\d+)?\.log$/.exec(name)?.[1] ?? []).map(Number);
			return Math.min(...firsts) > 1;
		});
		const { secret } = (await first.api.call("joinTokenCreate", { body: {} })).body;
		const body = { token: secret, addresses: [first.address], ownAddresses: [second.address], rename: true };
		await second.api.call("clusterJoin", { body });
		await waitUntil("two voters", stepMs, async () => (await statusOf(second))?.voterCount === 2);
		this.#token = (await first.api.call("joinTokenCreate", { body: {} })).body.secret;

		const port = await freePort();
		let system: LabSystem | null = null;
		const halts = new Halts(join(this.#folder, "joiner.halt"), () => present(system, "the node that joins").daemon);
		system = await startVmNode({
			...{ name: "joiner", poolPath: pool, peerPort: port, ends: this.#ends },
			arguments: [...halts.arguments],
		});
		this.#system = system;
		const { daemon, libvirtd } = system;
		const api = clientOf(daemon.socketPath);
		const copied = [daemon.dataDir, join(libvirtd.folder, "pool")];
		this.#joiner = { name: "joiner", daemon, api, halts, address: `127.0.0.1:${port}`, copied };
		const vm = await system.createVm({ name: "early", ...withoutDisks });
		await system.untilVm(vm.id, "it to run", ({ status }) => status.powerState === "running");
		this.#vmId = vm.id;
		this.#formerId = vm.nodeId;
		this.#pids = await qemuPids(system);
		for (const machine of this.#all) {
			await machine.daemon.term();
			for (const [number, folder] of machine.copied.entries())
				await copyFolder(folder, join(this.#folder, `${machine.name}-${number}`));
		}
	}

	async #startMember(name: string, pool: string): Promise<Machine> {
		const folder = join(this.#folder, name);
		mkdirSync(folder);
		const port = await freePort();
		const halts = new Halts(join(this.#folder, `${name}.halt`), () => daemon);
		const daemon = prepareLabDaemon({
			...{ folder, libvirtUri: "qemu+unix:///system?socket=/nonexistent/libvirt-sock" },
			arguments: [
				...["--node-name", name, "--peer-listen", `127.0.0.1:${port}`, "--default-pool-path", pool],
				...["--snapshot-entries", snapshotEntries, ...halts.arguments],
			],
		});
		this.#ends.push(() => daemon.stop());
		const api = clientOf(daemon.socketPath);
		const machine = { name, daemon, api, halts, address: `127.0.0.1:${port}`, copied: [daemon.dataDir] };
		this.#members.push(machine);
		await daemon.start();
		return machine;
	}

	async #putBack(): Promise<void> {
		await Promise.all(
			this.#all.map(async ({ name, daemon, halts, copied }) => {
				await daemon.kill9();
				halts.never();
				for (const [number, folder] of copied.entries())
					await copyFolder(join(this.#folder, `${name}-${number}`), folder);
				await daemon.start();
			}),
		);
		const joiner = present(this.#joiner, "the node that joins");
		await waitUntil("it to be as it was", stepMs, async () => {
			const { status } = (await joiner.api.call("vmGet", { path: { id: this.#vmId } })).body;
			const { hypervisor } = (await joiner.api.call("healthGet")).body;
			return hypervisor === "connected" && status.powerState === "running";
		});
	}

	async #leader(): Promise<Machine> {
		return waitUntil("a leader that both follow", stepMs, async () => {
			const seen = await Promise.all(this.#members.map((member) => statusOf(member)));
			if (!seen.every((status) => status?.quorum && status.leaderNodeId === seen[0]?.leaderNodeId)) return undefined;
			return this.#members.find((_, at) => seen[at]?.nodeId === seen[at]?.leaderNodeId);
		});
	}

	/** Again while it is refused before the step: a cluster that has just been started may not answer yet. */
	async #joinUntil(asked: Machine, passed: () => boolean): Promise<string> {
		const endsAtMs = performance.now() + stepMs;
		for (;;) {
			const said = await this.#join(asked);
			if (said === "joining" || passed() || performance.now() > endsAtMs) return said;
			await this.#leader();
		}
	}

	/** The command; what came of it. */
	async #join(asked: Machine, token = this.#token): Promise<string> {
		const joiner = present(this.#joiner, "the node that joins");
		const own = { ownAddresses: [joiner.address], rename: true };
		const body = { token, addresses: [asked.address], ...own };
		return joiner.api.call("clusterJoin", { body, signal: AbortSignal.timeout(2 * stepMs) }).then(
			({ body: { joining, clashes } }) => (joining ? "joining" : JSON.stringify(clashes)),
			(error: Error) => error.message,
		);
	}

	async #makeAnotherToken(): Promise<string> {
		const { api } = await this.#leader();
		for (const { id } of (await api.call("joinTokenList")).body.items)
			await api.call("joinTokenDelete", { path: { id } });
		return (await api.call("joinTokenCreate", { body: {} })).body.secret;
	}

	/** What the node is, as soon as it answers as what it will be: it may just be beginning anew. */
	async #isMember(): Promise<boolean> {
		const { daemon, api } = present(this.#joiner, "the node that joins");
		const pending = () => existsSync(join(daemon.dataDir, "switching.json"));
		return waitUntil("the node to answer", stepMs, async () => {
			if (pending()) return undefined;
			const id = await api.call("healthGet").then(
				({ body }) => body.nodeId,
				() => undefined,
			);
			return id === undefined || pending() ? undefined : { member: id !== this.#formerId };
		}).then(({ member }) => member);
	}
}

/** `to` has what `from` has afterwards, and nothing else; what VMs that run have stays. */
async function copyFolder(from: string, to: string): Promise<void> {
	mkdirSync(to, { recursive: true });
	for (const name of readdirSync(to)) if (name !== notCopied) rmSync(join(to, name), { recursive: true });
	const paths = readdirSync(from).filter((name) => name !== notCopied);
	const sources = paths.map((name) => join(from, name));
	if (sources.length > 0) await run("cp", ["--archive", "--", ...sources, to], { timeoutMs: 60_000 });
}
