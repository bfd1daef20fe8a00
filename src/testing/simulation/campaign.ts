/** Many seeds, and each mutant on many seeds: what `npm run sim` prints (scripts/simulate.ts). */
import { spawnSync } from "node:child_process";
import { driverMutantNames, type MutantName, mutantNames } from "../../raft/mutants.ts";
import type { PlanKind, StackChoice } from "./plan.ts";
import { type RunResult, simulate } from "./simulate.ts";

export type CampaignOptions = {
	first: number;
	/** Null when none were asked for. */
	last: number;
	hours: number;
	kind: PlanKind;
	stack: StackChoice;
	trace: boolean;
	mutant: MutantName | null;
	mutants: boolean;
};

type Given = {
	seeds?: string | undefined;
	hours?: string | undefined;
	"all-faults": boolean;
	core?: boolean;
	store?: boolean;
	light?: boolean;
	trace: boolean;
	mutant?: string | undefined;
	mutants: boolean;
};

export const allMutants = [...mutantNames, ...driverMutantNames];
const hourMs = 3_600_000;
const seedHours = 0.02;
/** Of a seed that looks for a mutant: rare ones show within that in one seed of twenty, and a run has a hundred. */
export const mutantHours = 0.05;
export const seedsForMutant = 100;

/** Throws with a message for people. */
export function parseOptions(given: Given): CampaignOptions {
	const seeds = /^(\d+)\.\.(\d+)$/.exec(given.seeds ?? "1..100");
	const [first, last] = [Number(seeds?.[1]), Number(seeds?.[2])];
	if (seeds === null || !Number.isSafeInteger(last) || first > last) throw new Error("--seeds wants A..B, with A ≤ B");
	const hours = Number(given.hours ?? (given.mutants ? mutantHours : seedHours));
	if (!(hours > 0 && hours <= 10_000)) throw new Error("--hours wants a number above 0");
	const mutant = given.mutant as MutantName | undefined;
	if (mutant !== undefined && !allMutants.includes(mutant)) throw new Error(`there is no mutant ${mutant}`);
	return {
		first,
		last,
		hours,
		kind: given["all-faults"] ? "all" : "swarm",
		stack: given.core ? "core" : given.store ? "store" : given.light ? "light" : "driver",
		trace: given.trace,
		mutant: mutant ?? null,
		mutants: given.mutants,
	};
}

export function printSeeds(options: CampaignOptions, print: (line: string) => void): 0 | 1 | 2 {
	const { first, last, hours, kind, stack, mutant, trace } = options;
	const totals = new Totals();
	for (let seed = first; seed <= last; seed++) {
		const result = simulate({ seed, ms: hours * hourMs, kind, stack, mutant, ...(trace ? { log: print } : {}) });
		totals.add(result);
		if (result.failure !== null) print(failureLine(result, options));
		else if (trace || first === last) print(`seed ${seed}: nothing found, trace ${result.traceHash}`);
	}
	for (const line of totals.lines()) print(line);
	return totals.unsafe > 0 ? 1 : totals.late > 0 ? 2 : 0;
}

function failureLine({ seed, failure, traceHash }: RunResult, { hours, kind, stack, mutant }: CampaignOptions): string {
	const more = `${stack === "driver" ? "" : ` --${stack}`}${kind === "all" ? " --all-faults" : ""}${mutant === null ? "" : ` --mutant ${mutant}`}`;
	return `seed ${seed}: ${failure?.kind} at step ${failure?.step} (${failure?.atMs} ms), trace ${traceHash}: ${failure?.what}
  replay: npm run sim -- --seeds ${seed}..${seed} --hours ${hours}${more} --trace`;
}

class Totals {
	#seeds = 0;
	#simulatedMs = 0;
	#begun = 0;
	#completed = 0;
	#messages = 0;
	#steps = 0;
	#stuck = 0;
	#resumed = 0;
	unsafe = 0;
	late = 0;
	readonly #faults = new Map<string, number>();
	readonly #began = process.cpuUsage();

	add(result: RunResult): void {
		this.#seeds += 1;
		this.#simulatedMs += result.simulatedMs;
		this.#begun += result.begun;
		this.#completed += result.completed;
		this.#messages += result.messages;
		this.#steps += result.steps;
		this.#resumed += result.resumed;
		if (result.stuck) this.#stuck += 1;
		if (result.failure?.kind === "safety") this.unsafe += 1;
		if (result.failure?.kind === "liveness") this.late += 1;
		for (const [name, count] of result.faults) this.#faults.set(name, (this.#faults.get(name) ?? 0) + count);
	}

	lines(): string[] {
		const { user, system } = process.cpuUsage(this.#began);
		const seconds = (user + system) / 1e6;
		const simulated = this.#simulatedMs / 1000;
		const rate = (count: number): string => (count / simulated).toFixed(1);
		return [
			`${this.#seeds} seeds, ${(simulated / 3600).toFixed(2)} simulated hours in ${seconds.toFixed(1)} s of one core: ${Math.round(simulated / seconds)} × real time`,
			`a simulated second: ${rate(this.#begun)} operations begun, ${rate(this.#completed)} answered, ${rate(this.#messages)} messages, ${rate(this.#steps)} events`,
			`faults: ${[...this.#faults].map(([name, count]) => `${count} × ${name}`).join(", ")}; ${this.#resumed} snapshots gone on with after a restart`,
			`${this.unsafe} unsafe, ${this.late} late, ${this.#stuck} left without a majority of intact logs`,
		];
	}
}

/** Empty outside of a clone: then the seeds follow from the names alone. */
export const currentCommit = (): string =>
	spawnSync("git", ["rev-parse", "HEAD"], { encoding: "utf8" }).stdout?.trim() ?? "";

/** A seed that nobody picked: it follows from the mutant's name and the commit. */
function firstSeedFor(name: string, commit: string): number {
	let hash = 0x811c9dc5;
	for (const character of `${name} ${commit}`) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193) >>> 0;
	return hash % 1_000_000_000;
}

export type Caught = { mutant: MutantName; seeds: number; result: RunResult } | null;

export function catchMutant(mutant: MutantName, commit: string, hours: number, kind: PlanKind, seeds: number): Caught {
	const first = firstSeedFor(mutant, commit);
	for (let seed = first; seed < first + seeds; seed++) {
		const result = simulate({ seed, ms: hours * hourMs, kind, mutant });
		if (result.failure !== null) return { mutant, seeds: seed - first + 1, result };
	}
	return null;
}

export function printMutants({ hours, kind, mutant }: CampaignOptions, print: (line: string) => void): 0 | 1 {
	const commit = currentCommit();
	let missed = 0;
	const names = mutant === null ? allMutants : [mutant];
	for (const name of names) {
		const caught = catchMutant(name, commit, hours, kind, seedsForMutant);
		if (caught === null) missed += 1;
		print(
			caught === null
				? `${name}: not caught by ${seedsForMutant} seeds from ${firstSeedFor(name, commit)}`
				: `${name}: caught after ${caught.seeds} (seed ${caught.result.seed}): ${caught.result.failure?.what.split("\n")[0]}`,
		);
	}
	print(`${names.length - missed} of ${names.length} mutants caught`);
	return missed === 0 ? 0 : 1;
}
