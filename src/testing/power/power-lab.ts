/**
 * Machines whose power can be cut: lab VMs with a disk each that loses what was not flushed, on one hub when there are
 * several. A cut of several machines is one moment for all of them.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { type LabVm, type LabVmSnapshot, startLabVm } from "../lab/lab-vm.ts";
import type { Random } from "../simulation/random.ts";
import { type EthernetHub, startEthernetHub } from "./ethernet-hub.ts";
import { type NbdServer, startNbdServer } from "./nbd-server.ts";
import type { CutReport, VolatileDisk } from "./volatile-disk.ts";

export type PowerLabOptions = {
	snapshot: LabVmSnapshot;
	/** Disks to begin with: one machine for each. They belong to the lab from then on. */
	disks: readonly VolatileDisk[];
	/** More of `limiquantix serve` of the machine with that number, from 1. */
	serve?: (node: number) => readonly string[];
};

/** Longer than any machine runs between two cuts. */
const lifetimeMs = 1_800_000;

const wordsOf = (vm: LabVm): string => `${vm.console().slice(-1500)}\n${vm.log().slice(-4000)}`;

class Machine {
	readonly node: number;
	readonly disk: VolatileDisk;
	running: { server: NbdServer; vm: LabVm } | null = null;
	lastWords = "";

	constructor(node: number, disk: VolatileDisk) {
		this.node = node;
		this.disk = disk;
	}
}

export class PowerLab implements AsyncDisposable {
	readonly #options: PowerLabOptions;
	readonly #folder: string;
	readonly #hub: EthernetHub | null;
	readonly #machines: readonly Machine[];
	#starts = 0;

	private constructor(options: PowerLabOptions, folder: string, hub: EthernetHub | null) {
		this.#options = options;
		this.#folder = folder;
		this.#hub = hub;
		this.#machines = options.disks.map((disk, at) => new Machine(at + 1, disk));
	}

	static async open(options: PowerLabOptions): Promise<PowerLab> {
		const folder = await mkdtemp(join(tmpdir(), "lqx-power-"));
		const hub = options.disks.length > 1 ? await startEthernetHub(join(folder, "hub")) : null;
		return new PowerLab(options, folder, hub);
	}

	/** All of them, by number. */
	get nodes(): number[] {
		return this.#machines.map(({ node }) => node);
	}

	/** A machine that runs. */
	vm(node: number): LabVm {
		return this.#running(node).vm;
	}

	/** Gives power to the machines that have none; they start. */
	async start(): Promise<void> {
		for (const machine of this.#machines) {
			if (machine.running) continue;
			machine.disk.powerOn();
			this.#starts += 1;
			const server = await startNbdServer(machine.disk, join(this.#folder, `disk-${this.#starts}`));
			const vm = startLabVm({
				snapshot: this.#options.snapshot,
				diskSocketPath: server.socketPath,
				node: machine.node,
				...(this.#hub ? { hubSocketPath: this.#hub.socketPath } : {}),
				serve: this.#options.serve?.(machine.node) ?? [],
				lifetimeMs,
			});
			machine.running = {
				server,
				vm: await vm.catch(async (error: unknown) => {
					await server.close();
					throw error;
				}),
			};
		}
	}

	/** Waits until the API of each machine answers. Fails with `internal` when a daemon has ended, `unavailable` a machine. */
	async healthy(): Promise<void> {
		await Promise.all(this.nodes.map((node) => this.vm(node).healthy()));
	}

	/**
	 * Cuts the power of `nodes` right after the write number `writes` from now to the disk of the first of them, before that
	 * is answered. Resolves when it has happened; `ended` takes the machines away then.
	 */
	cutAfter(writes: number, nodes: readonly number[], random: Random): Promise<CutReport[]> {
		const { server } = this.#running(present(nodes[0], "a machine to cut"));
		return new Promise((resolve) => {
			let left = writes;
			server.onWrite = () => {
				left -= 1;
				if (left === 0) resolve(this.cut(nodes, random));
			};
		});
	}

	/** Now. Nothing that these machines send to their disks is carried out or answered any more. */
	cut(nodes: readonly number[], random: Random): CutReport[] {
		const reports: CutReport[] = [];
		for (const node of nodes) {
			const { server } = this.#running(node);
			server.onWrite = null;
			server.freeze();
		}
		for (const node of nodes) reports.push(this.#machine(node).disk.cut(random));
		return reports;
	}

	/** Whether none of them has been cut. */
	powered(nodes: readonly number[]): boolean {
		return nodes.every((node) => this.#machine(node).disk.powered);
	}

	/** What a machine said last, for whoever looks into a failure. */
	lastWords(node: number): string {
		const { running, lastWords } = this.#machine(node);
		return `node ${node}:\n${running ? wordsOf(running.vm) : lastWords}`;
	}

	/** Takes away the machines whose power was cut. */
	async ended(): Promise<void> {
		await Promise.all(this.#machines.filter(({ disk }) => !disk.powered).map((machine) => this.#end(machine)));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all(this.#machines.map((machine) => this.#end(machine)));
		await this.#hub?.close();
		for (const { disk } of this.#machines) disk.close();
		await rm(this.#folder, { recursive: true, force: true });
	}

	async #end(machine: Machine): Promise<void> {
		const { running } = machine;
		machine.running = null;
		if (!running) return;
		running.server.freeze();
		await running.vm.kill();
		machine.lastWords = wordsOf(running.vm);
		await running.vm[Symbol.asyncDispose]();
		await running.server.close();
	}

	#machine(node: number): Machine {
		return present(this.#machines[node - 1], `machine ${node}`);
	}

	#running(node: number): { server: NbdServer; vm: LabVm } {
		return present(this.#machine(node).running ?? undefined, `the running machine ${node}`);
	}
}
