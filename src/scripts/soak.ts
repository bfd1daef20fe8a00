/**
 * `npm run soak -- --hours H`: three real daemons in network namespaces of their own, clients that record what they see, and
 * every fault all the while (src/testing/cluster/). Rounds of two minutes; after each the cluster is healed, all copies must be
 * the same, and the histories are judged. After five rounds the next cluster begins: the disks are small, so that they can be filled, and
 * what they hold grows. Prints a line a minute and one for each round; histories and what was done to the
 * nodes are in a folder. Needs root.
 *
 * Exit code 0 when nothing was found, 1 at the first round that found something (the nodes' logs are kept, too), 64 for a
 * wrong command line.
 *
 *   --hours H         how long (default 1)
 *   --seed N          the order of the faults (default: another one each time; it is printed)
 *   --nodes N         at the start (default 3)
 *   --no-membership   who the members are stays
 *   --folder DIR      for the histories (default .cache/soak/TIME)
 *   --no-build        with the executable that is there
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Campaign, type RoundResult } from "../testing/cluster/campaign.ts";
import { LabCluster, statusOf } from "../testing/cluster/lab-cluster.ts";
import { build } from "./build.ts";
import { root } from "./root.ts";

const roundMs = 120_000;
const roundsOfCluster = 5;
const lineMs = 60_000;

type Options = { hours: number; seed: number; nodes: number; membership: boolean; folder: string; build: boolean };

function readOptions(): Options {
	try {
		const { values } = parseArgs({
			allowNegative: true,
			options: {
				hours: { type: "string", default: "1" },
				seed: { type: "string", default: String(crypto.getRandomValues(new Uint32Array(1))[0]) },
				nodes: { type: "string", default: "3" },
				membership: { type: "boolean", default: true },
				folder: {
					type: "string",
					default: join(root, ".cache", "soak", new Date().toISOString().replaceAll(":", "-")),
				},
				build: { type: "boolean", default: true },
			},
		});
		const [hours, seed, nodes] = [Number(values.hours), Number(values.seed), Number(values.nodes)];
		if (!(hours > 0) || !Number.isInteger(seed) || !Number.isInteger(nodes) || nodes < 1 || nodes > 7)
			throw new Error("--hours is a number above 0, --seed a whole number, --nodes one from 1 to 7");
		// npm runs scripts at the project's root and keeps the caller's folder here.
		const folder = resolve(process.env.INIT_CWD ?? process.cwd(), values.folder);
		return { hours, seed, nodes, membership: values.membership, folder, build: values.build };
	} catch (error) {
		console.error(error instanceof Error ? error.message : error);
		console.error(
			"usage: npm run soak -- [--hours H] [--seed N] [--nodes N] [--no-membership] [--folder DIR] [--no-build]",
		);
		process.exit(64);
	}
}

const say = (line: string): void => console.log(`${new Date().toISOString().slice(0, 19)} ${line}`);

async function soak(options: Options): Promise<boolean> {
	mkdirSync(options.folder, { recursive: true });
	say(`seed ${options.seed}, histories in ${options.folder}`);
	const end = performance.now() + options.hours * 3_600_000;
	for (let first = 1; performance.now() < end; first += roundsOfCluster)
		if (!(await soakOne(options, first, end))) return false;
	return true;
}

/** One cluster, from this round on. */
async function soakOne(options: Options, first: number, end: number): Promise<boolean> {
	await using cluster = await LabCluster.start(options.nodes);
	let deeds = 0;
	let round = first;
	const campaign = await Campaign.prepare({
		...{ cluster, seed: options.seed + first - 1, membership: options.membership, folder: options.folder },
		firstRound: first,
		say: () => {
			deeds += 1;
		},
	});
	const line = setInterval(() => say(`round ${round}, ${deeds} deeds so far`), lineMs);
	try {
		for (; round < first + roundsOfCluster && performance.now() < end; round++) {
			const result = await campaign.round(Math.min(roundMs, Math.max(10_000, end - performance.now())));
			say(`round ${round}: ${summary(result)}`);
			if (result.violations.length === 0) continue;
			for (const violation of result.violations) say(`FOUND: ${violation}`);
			await keepTraces(cluster, options.folder);
			return false;
		}
		return true;
	} finally {
		clearInterval(line);
	}
}

async function keepTraces({ nodes }: LabCluster, folder: string): Promise<void> {
	for (const node of nodes) if (node.runs) say(`${node.name} says: ${JSON.stringify(await statusOf(node))}`);
	for (const node of nodes) {
		writeFileSync(join(folder, `${node.name}.log`), node.daemon.log());
		const files = await node.run("ls", ["-lAR", node.daemon.dataDir]).catch(String);
		writeFileSync(join(folder, `${node.name}.files`), files);
	}
}

function summary({ violations, operations, creations, faults, healedMs }: RoundResult): string {
	const all = Object.entries(faults).map(([name, count]) => `${count} ${name}`);
	return [
		`${operations.ok} operations done, ${operations.fail} refused, ${operations.info} unknown; ${creations} objects made`,
		`faults: ${all.join(", ") || "none"}`,
		`healed in ${(healedMs / 1000).toFixed(1)} s`,
		violations.length === 0 ? "nothing found" : `${violations.length} FOUND`,
	].join("; ");
}

const options = readOptions();
if (options.build) await build();
process.exitCode = (await soak(options)) ? 0 : 1;
