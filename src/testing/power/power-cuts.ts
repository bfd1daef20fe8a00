/**
 * Power cuts under load: machines with the built executable, clients that write through the API, a cut at a random write to
 * a disk, a start from what the disks kept, and a look at everything that was acknowledged; again and again on the same
 * disks. A seed gives the same cuts; how the load falls together with them is the machine's business, so a seed narrows a
 * failure down and does not replay it exactly.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { AppError, isAppError, toAppError } from "../../lib/errors.ts";
import { executablePath } from "../lab/daemon.ts";
import { type LabVmSnapshot, makeLabVmSnapshot } from "../lab/lab-vm.ts";
import { buildLabVmImage } from "../lab/lab-vm-image.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { Random } from "../simulation/random.ts";
import { PowerLab } from "./power-lab.ts";
import { type CutReport, VolatileDisk } from "./volatile-disk.ts";
import { type Api, WriteLoad } from "./write-load.ts";

const cacheDir = join(import.meta.dir, "../../../.cache");
const clients = 8;
/** So many answers, and the load is under way. */
const leastAnswers = 10;
/** From there the cut comes after a number of writes to the disk, or of answers: a daemon that does not flush writes little. */
const mostWrites = 250;
const mostAnswers = 110;
/** From the machines that kept their power, before the others get it back. */
const answersOfOthers = 20;
/** Then from the first disks again: libvirt is away, so each change of a VM leaves a task that waits, and it has room for only so many. */
const cutsOnSameDisks = 10;
/** Of the disk, from the power until the daemon serves: some of the cuts come while it starts. */
const mostWritesOfStart = 60;
const cutLimitMs = 120_000;
/** Cuts that drop nothing prove nothing: up to so many times as many are made until something was dropped. */
const mostRepeats = 4;
/** Snapshots often, so that the log is cut, too, and the power goes while one is made. */
const snapshots = ["--snapshot-entries", "60"];
/** Elections for machines that are emulated, three on two cores: a whole second in which one does nothing is usual. */
const slowConsensus = ["--tick-ms", "250"];
const answerLimitMs = 120_000;
const commandLimitMs = 120_000;

/** Machines that are set up, switched off, with their disks as they were then. */
export type PowerBase = AsyncDisposable & {
	snapshot: LabVmSnapshot;
	disks: readonly VolatileDisk[];
	token: string;
	load: WriteLoad;
};

export type PowerCutsOptions = {
	base: PowerBase;
	seed: number;
	/** How many cuts under load; more, when they dropped nothing. */
	points: number;
	/** Each cut is of all machines at once, or of one of them in turn. */
	which: "all" | "one";
	/** One start in three is cut off as well. */
	cutStarts?: boolean;
	noFsync?: boolean;
	onPoint?: (line: string) => void;
};

export type PowerCutsReport = {
	seed: number;
	/** Cuts that were made under load. */
	points: number;
	/** Cuts that were made while a machine started. */
	cutStarts: number;
	acknowledged: number;
	/** Of all cuts and disks: writes since the last flush, and what became of them. */
	unflushed: number;
	whole: number;
	torn: number;
	lost: number;
	/** What was acknowledged and is not there, by name. The run ends with the first look that finds some. */
	missing: string[];
	/** Of machines that do not serve after a cut, what they said. With fsync the run ends with the first. */
	notServing: string[];
	seconds: number;
};

/** So many machines, members of one cluster, with the objects that the load changes. */
export async function prepareBase(nodes = 1): Promise<PowerBase> {
	const image = await buildLabVmImage({ cacheDir, executable: executablePath });
	const snapshot = await makeLabVmSnapshot(image);
	const disks = Array.from({ length: nodes }, () => new VolatileDisk(image.emptyDiskPath));
	await using lab = await PowerLab.open({ snapshot, disks, serve: () => settingsOf(nodes) });
	try {
		await lab.start();
		await lab.healthy();
		const vm = lab.vm(1);
		const password = await vm.shell("cat /data/limiquantix/initial-admin-password");
		const session = await vm.api(null).call("sessionCreate", { body: { username: "admin", password } });
		const made = await vm
			.api(present(session.body.token, "the session's token"))
			.call("tokenCreate", { body: { name: "power", role: "admin" } });
		const token = made.body.secret;
		// The VMs first: a cluster of several places them, and without libvirt there is no place.
		const load = await WriteLoad.prepare(vm.api(token), clients);
		if (nodes > 1) await makeCluster(lab, vm.api(token));
		// What the set-up has written is not what is tried.
		for (const node of lab.nodes) await lab.vm(node).shell("sync");
		lab.cut(lab.nodes, new Random(0));
		const kept = disks.map((disk) => disk.fork());
		const end = async () => {
			for (const disk of kept) disk.close();
			await snapshot[Symbol.asyncDispose]();
		};
		return { snapshot, disks: kept, token, load, [Symbol.asyncDispose]: end };
	} catch (error) {
		const words = withLastWords(lab, "The machines cannot be set up", error);
		await snapshot[Symbol.asyncDispose]();
		throw words;
	}
}

const settingsOf = (nodes: number): string[] => [...snapshots, ...(nodes > 1 ? slowConsensus : [])];

/** With the commands that a person types, on each machine. */
async function makeCluster(lab: PowerLab, api: Api): Promise<void> {
	await lab.vm(1).shell("limiquantix cluster init --name power --address 10.77.0.1:8444", commandLimitMs);
	for (const node of lab.nodes.slice(1)) {
		const { secret } = (await api.call("joinTokenCreate", { body: { uses: 1 } })).body;
		const command = `limiquantix cluster join --token ${secret} --address 10.77.0.${node}:8444 --yes`;
		await lab.vm(node).shell(command, commandLimitMs);
	}
	await waitUntil("every machine to vote", commandLimitMs, async () => {
		const { members } = (await api.call("clusterStatusGet")).body;
		return members.filter(({ role }) => role !== "learner").length === lab.nodes.length;
	});
}

/** Resolves with what was found; the base stays as it is. */
export async function runPowerCuts(options: PowerCutsOptions): Promise<PowerCutsReport> {
	await using run = new PowerCuts(options);
	const began = performance.now();
	const { report } = run;
	try {
		const goesOn = (): boolean => report.missing.length === 0 && (options.noFsync || report.notServing.length === 0);
		const proves = (): boolean => report.points >= options.points && report.lost + report.torn > 0;
		for (let point = 1; point <= options.points * mostRepeats && goesOn() && !proves(); point++) await run.point(point);
		return report;
	} catch (error) {
		throw withLastWords(run.lab, `Seed ${options.seed}, after ${JSON.stringify(report)}`, error);
	} finally {
		report.seconds = Math.round((performance.now() - began) / 1000);
	}
}

/** For whoever runs it, and for the documentation: the runner shows nothing of tests that pass. */
export function recordReport(name: string, report: PowerCutsReport): void {
	const line = JSON.stringify(report);
	console.log(`${name}: ${line}`);
	const folder = join(cacheDir, "test-results");
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, `${name}.json`), `${line}\n`);
}

class PowerCuts implements AsyncDisposable {
	readonly report: PowerCutsReport;
	readonly #options: PowerCutsOptions;
	readonly #random: Random;
	#load: WriteLoad;
	#lab: PowerLab | null = null;

	constructor(options: PowerCutsOptions) {
		this.#options = options;
		this.#random = new Random(options.seed);
		this.#load = options.base.load;
		const counts = { points: 0, cutStarts: 0, acknowledged: 0, unflushed: 0, whole: 0, torn: 0, lost: 0 };
		this.report = { seed: options.seed, ...counts, missing: [], notServing: [], seconds: 0 };
	}

	get lab(): PowerLab | null {
		return this.#lab;
	}

	/** Load, a cut in it, the start after it, and the look at what is there. */
	async point(point: number): Promise<void> {
		const began = performance.now();
		if ((point - 1) % cutsOnSameDisks === 0) await this.#end();
		const lab = this.#lab ?? (await this.#begin());
		const nodes = this.#chosen(lab, point);
		const before = this.#load.acknowledged;
		const loadBegan = performance.now();
		const reports = await this.#loadUntilCut(lab, nodes);
		await lab.ended();
		const cutAt = performance.now();
		const acknowledged = this.#load.acknowledged - before;
		this.report.points += 1;
		this.report.acknowledged += acknowledged;
		this.#add(reports);
		try {
			if (this.#options.cutStarts && this.#random.chance(1 / 3)) await this.#cutStart(lab, nodes);
			await start(lab);
			await this.#look(lab);
		} catch (error) {
			// With fsync only a daemon that has ended by itself is a finding; a machine that does not boot is none of the product's.
			if (!isAppError(error, "internal") && !this.#options.noFsync) throw error;
			this.report.notServing.push(`after cut ${point}: ${toAppError(error).message}`);
			await this.#end();
		}
		const ended = performance.now();
		const [toLoad, load, look] = [loadBegan - began, cutAt - loadBegan, ended - cutAt].map((ms) =>
			(ms / 1000).toFixed(1),
		);
		const unflushed = reports.reduce((sum, report) => sum + report.unflushed, 0);
		const dropped = reports.reduce((sum, report) => sum + report.lost + report.torn, 0);
		const { missing, notServing } = this.report;
		this.#options.onPoint?.(
			`cut ${point} of node ${nodes.join(", ")}: ${acknowledged} acknowledged, ${unflushed} writes unflushed, ${dropped} of them lost or torn; start ${toLoad} s, load ${load} s, start and look ${look} s; missing ${missing.length}, not serving ${notServing.length}`,
		);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#end();
	}

	/** From the base, with its record. */
	async #begin(): Promise<PowerLab> {
		const { base, noFsync } = this.#options;
		this.#load = base.load.fork();
		this.#lab = await PowerLab.open({
			snapshot: base.snapshot,
			disks: base.disks.map((disk) => disk.fork()),
			serve: () => [...settingsOf(base.disks.length), ...(noFsync ? ["--no-fsync"] : [])],
		});
		await start(this.#lab);
		return this.#lab;
	}

	async #end(): Promise<void> {
		const lab = this.#lab;
		this.#lab = null;
		await lab?.[Symbol.asyncDispose]();
	}

	async #loadUntilCut(lab: PowerLab, nodes: readonly number[]): Promise<CutReport[]> {
		const stop = new AbortController();
		const underWay = this.#load.reached(this.#load.acknowledged + leastAnswers);
		const writing = this.#load.run(this.#apis(lab), stop.signal);
		try {
			// A client that is refused ends the run.
			await withinLimit(Promise.race([underWay, writing]));
			const written = lab.cutAfter(1 + this.#random.below(mostWrites), nodes, this.#random);
			const answered = this.#load
				.reached(this.#load.acknowledged + 1 + this.#random.below(mostAnswers))
				.then(() => (lab.powered(nodes) ? lab.cut(nodes, this.#random) : written));
			const reports = await withinLimit(Promise.race([written, answered, writing.then(() => written)]));
			if (nodes.length < lab.nodes.length) {
				// The others go on without it, and are ahead of it when it comes back.
				await lab.ended();
				await withinLimit(Promise.race([this.#load.reached(this.#load.acknowledged + answersOfOthers), writing]));
			}
			return reports;
		} finally {
			stop.abort();
			await writing;
		}
	}

	#chosen({ nodes }: PowerLab, point: number): number[] {
		return this.#options.which === "all" ? nodes : [present(nodes[point % nodes.length], "a node")];
	}

	/** Again, while it starts: the repair of the file system and the daemon's own are interrupted too. */
	async #cutStart(lab: PowerLab, nodes: readonly number[]): Promise<void> {
		await lab.start();
		const cut = lab.cutAfter(1 + this.#random.below(mostWritesOfStart), nodes, this.#random);
		const healthy = lab.healthy().then(
			() => (lab.powered(nodes) ? lab.cut(nodes, this.#random) : cut),
			(error: unknown) => {
				// Of a machine whose power was cut nothing else is expected.
				if (lab.powered(nodes)) throw error;
				return cut;
			},
		);
		const reports = await withinLimit(Promise.race([cut, healthy]));
		await lab.ended();
		this.report.cutStarts += 1;
		this.#add(reports);
	}

	async #look(lab: PowerLab): Promise<void> {
		const apis = this.#apis(lab);
		for (const [at, api] of apis.entries()) {
			const missing = await waitUntil(
				"an answer that is not stale",
				answerLimitMs,
				() =>
					this.#load.missing(api).catch((error: unknown) => {
						if (!isAppError(error, "unavailable")) throw error;
						return undefined;
					}),
				{ everyMs: 100 },
			);
			this.report.missing.push(...missing.map((line) => `node ${at + 1}: ${line}`));
		}
		if (this.report.missing.length > 0) return;
		await waitUntil("the tokens to be away", answerLimitMs, () =>
			this.#load.tidy(present(apis[0], "an API")).then(
				() => true,
				(error: unknown) => {
					// One that was deleted without an answer is not there the next time.
					if (!isAppError(error, "unavailable")) throw error;
					return false;
				},
			),
		);
	}

	#apis(lab: PowerLab): Api[] {
		return lab.nodes.map((node) => lab.vm(node).api(this.#options.base.token));
	}

	#add(reports: readonly CutReport[]): void {
		for (const { unflushed, whole, torn, lost } of reports) {
			this.report.unflushed += unflushed;
			this.report.whole += whole;
			this.report.torn += torn;
			this.report.lost += lost;
		}
	}
}

async function start(lab: PowerLab): Promise<void> {
	await lab.start();
	await lab.healthy();
}

function withLastWords(lab: PowerLab | null, what: string, error: unknown): AppError {
	const words = lab?.nodes.map((node) => lab.lastWords(node)).join("\n");
	const message = error instanceof Error ? error.message : toAppError(error).message;
	return new AppError("internal", `${what}: ${message}\n${words}`, { cause: error });
}

/** A load that comes to a stand would never reach the write that it is cut at. */
async function withinLimit<T>(cut: Promise<T>): Promise<T> {
	const late = Promise.withResolvers<never>();
	const timer = setTimeout(
		() => late.reject(new AppError("timeout", `The cut did not come within ${cutLimitMs} ms.`)),
		cutLimitMs,
	);
	try {
		return await Promise.race([cut, late.promise]);
	} finally {
		clearTimeout(timer);
	}
}
