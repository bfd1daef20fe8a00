/**
 * Power cuts at every operation on files in turn, on each node of three, through a script that has all in it: elections,
 * group commits, a leader cut off whose entries are overwritten, segments, compaction, and a snapshot to whom it left behind.
 * Whatever is lost: nothing acknowledged is, no node takes a torn write for damage, and all end up the same.
 */
import { expect, test } from "bun:test";
import { TestCluster, type TestNode } from "../../testing/raft/raft-cluster.ts";

/** `all`: the others lose power in the same moment. */
type Crash = { id: string; at: number; kind: "power-cut" | "process-end"; all: boolean };

class Script {
	readonly cluster: TestCluster;
	readonly #crash: Crash | null;
	/** Snapshots that were received and installed. */
	installs = 0;
	#crashed = false;
	#values = 0;

	constructor(seed: number, crash: Crash | null, segmentBytes: number) {
		this.cluster = new TestCluster({
			voters: ["a", "b", "c"],
			seed,
			segmentBytes,
			snapshotChunkBytes: 200,
			limits: { electionTicks: 4, electionJitterTicks: 4, heartbeatTicks: 1 },
		});
		this.#crash = crash;
	}

	async run(): Promise<void> {
		const { cluster } = this;
		for (const id of ["a", "b", "c"]) {
			this.#watch(id);
			await this.#open(id);
		}
		await this.#elect();
		await this.#propose(3);
		await this.#compact();
		const first = await this.#elect();
		// What it is given alone is overwritten.
		cluster.isolate(first.id);
		for (let number = 0; number < 3; number++) this.#proposeOn(first);
		await this.#pass(50);
		this.#proposeOn(first);
		await this.#elect(({ id }) => id !== first.id);
		await this.#propose(2);
		cluster.heal();
		await this.#pass(1_000);
		const second = await this.#elect();
		const [away] = [...cluster.nodes.values()].filter(({ id }) => id !== second.id);
		// It needs a snapshot afterwards, in the middle of entries of its own.
		cluster.isolate(away?.id ?? "");
		await this.#propose(4);
		await this.#compact(away);
		await this.#propose(1);
		cluster.heal();
		await this.#pass(500);
		await this.#propose(2);
		await this.#revive(true);
		this.installs = [...cluster.nodes.values()].reduce((count, { state }) => count + (state?.installs ?? 0), 0);
		const values = await cluster.converge();
		for (const node of cluster.nodes.values()) {
			expect(node.fatal).toEqual([]);
			expect(node.up.details()).toMatchObject({ recovering: false });
		}
		// And what is on the disks is that, too.
		for (const id of cluster.nodes.keys()) {
			cluster.crash(id);
			await cluster.open(id);
		}
		expect(await cluster.converge()).toEqual(values);
	}

	#watch(id: string): void {
		const crash = this.#crash;
		if (crash === null || crash.id !== id) return;
		this.cluster.node(id).files.onOperation = (_, count) =>
			count === crash.at && !this.#crashed ? "crash" : undefined;
	}

	async #open(id: string): Promise<void> {
		const node = this.cluster.node(id);
		try {
			await this.cluster.open(id);
		} catch (error) {
			if (!node.files.crashed) throw error;
			await this.#revive(true);
		}
	}

	/** A node that crashed stays away for a while, and then starts from what is left. */
	async #revive(now: boolean): Promise<void> {
		const crash = this.#crash;
		if (crash === null || this.#crashed || !this.cluster.node(crash.id).files.crashed) return;
		this.#crashed = true;
		const ids = crash.all ? [...this.cluster.nodes.keys()] : [crash.id];
		for (const id of ids) this.cluster.crash(id, crash.kind);
		if (!now) await this.cluster.run(300);
		for (const id of ids) await this.cluster.open(id);
	}

	async #pass(ms: number): Promise<void> {
		await this.cluster.run(ms);
		await this.#revive(false);
	}

	async #elect(among: (node: TestNode) => boolean = () => true): Promise<TestNode> {
		const { cluster } = this;
		const crashed = (): boolean => [...cluster.nodes.values()].some(({ files }) => files.crashed);
		for (;;) {
			await this.#revive(false);
			const found = await cluster.run(20_000, () => cluster.elected(among) !== null || crashed());
			const leader = cluster.elected(among);
			if (leader !== null) return leader;
			if (!found) throw new Error("nobody leads");
		}
	}

	async #propose(count: number): Promise<void> {
		for (let number = 0; number < count; number++) {
			const leader = await this.#elect(({ id }) => this.#reaches(id));
			this.#proposeOn(leader);
			this.#proposeOn(leader);
			await this.#pass(100);
		}
	}

	/** The node that is cut off leads nobody. */
	#reaches(id: string): boolean {
		return [...this.cluster.nodes.keys()].some((other) => other !== id && !this.cluster.cut.has(`${id}>${other}`));
	}

	/** Not waited for: it may take as long as it likes. */
	#proposeOn(node: TestNode): void {
		this.#values += 1;
		void this.cluster.propose(node.id, `value ${this.#values} ${"x".repeat(this.#values % 5 === 0 ? 600 : 20)}`);
	}

	async #compact(but?: TestNode): Promise<void> {
		for (const node of this.cluster.nodes.values()) {
			if (node === but || node.consensus === null || node.state === null) continue;
			try {
				await node.consensus.compact(await node.state.checkpoint());
			} catch (error) {
				if (!node.files.crashed) throw error;
			}
		}
		await this.#pass(50);
	}
}

for (const [segmentBytes, all] of [
	[700, false],
	[700, true],
] as const)
	test(`a crash ${all ? "of all nodes " : ""}at any operation on files loses nothing that was acknowledged (segments of ${segmentBytes})`, async () => {
		const script = new Script(1, null, segmentBytes);
		const lives = [...script.cluster.nodes.values()].map(({ id, files }) => ({ id, files }));
		await script.run();
		expect(script.installs).toBeGreaterThan(0);
		for (const { id, files } of lives) {
			expect(files.operations).toBeGreaterThan(40);
			for (let at = 1; at <= files.operations; at++)
				for (const seed of [at % 3]) {
					const kind = at % 5 === 0 ? "process-end" : "power-cut";
					try {
						await new Script(seed, { id, at, kind, all }, segmentBytes).run();
					} catch (error) {
						const { message } = error as Error;
						throw new Error(`${id} crashed at operation ${at}, seed ${seed}: ${message}`, { cause: error });
					}
				}
		}
	}, 120_000);
