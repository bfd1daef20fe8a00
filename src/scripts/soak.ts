/**
 * `npm run soak -- --hours H`: three real daemons in network namespaces of their own, clients that record what they see, and
 * every fault all the while (src/testing/cluster/). Rounds of two minutes; after each the cluster is healed, all copies must be
 * the same, and the histories are judged. Prints a line a minute and one for each round; histories and what was done to the
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
	await using cluster = await LabCluster.start(options.nodes);
	let deeds = 0;
	const campaign = await Campaign.prepare({
		...{ cluster, seed: options.seed, membership: options.membership, folder: options.folder },
		say: () => {
			deeds += 1;
		},
	});
	const end = performance.now() + options.hours * 3_600_000;
	let round = 0;
	const line = setInterval(() => say(`round ${round}, ${deeds} deeds so far`), lineMs);
	try {
		while (performance.now() < end) {
			round += 1;
			const result = await campaign.round(Math.min(roundMs, Math.max(10_000, end - performance.now())));
			say(`round ${round}: ${summary(result)}`);
			if (result.violations.length > 0) {
				for (const violation of result.violations) say(`FOUND: ${violation}`);
				for (const node of cluster.nodes)
					if (node.runs) say(`${node.name} says: ${JSON.stringify(await statusOf(node))}`);
				for (const node of cluster.nodes) {
					writeFileSync(join(options.folder, `${node.name}.log`), node.daemon.log());
					const files = await node.run("ls", ["-lAR", node.daemon.dataDir]).catch(String);
					writeFileSync(join(options.folder, `${node.name}.files`), files);
				}
				return false;
			}
		}
		return true;
	} finally {
		clearInterval(line);
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
