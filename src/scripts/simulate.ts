/**
 * `npm run sim -- --seeds A..B --hours H`: a whole cluster in one process on simulated time, once for each seed
 * (docs/simulator.md). Prints a line for each failing seed, and how to replay it, then what was simulated and how fast.
 *
 * Exit code 0 when nothing was found, 1 when something unsafe happened, 2 when something did not happen in time, 64 for a
 * wrong command line.
 *
 *   --hours H         simulated hours of each seed (default 0.02)
 *   --all-faults      every fault in every seed, instead of a random subset
 *   --core            the core with a modelled log, instead of the daemon's driver and log
 *   --store           the daemon's store on SQLite as the state of every seed, instead of a few
 *   --light           never the store: to see how fast the rest is
 *   --trace           everything that happens, on standard output; for one seed
 *   --mutant NAME     with this bug planted (src/raft/mutants.ts)
 *   --mutants         each mutant in turn, on seeds that follow from the commit: after how many is it caught?
 */
import { parseArgs } from "node:util";
import { allMutants, parseOptions, printMutants, printSeeds } from "../testing/simulation/campaign.ts";

const usage =
	"usage: npm run sim -- [--seeds A..B] [--hours H] [--all-faults] [--core] [--store] [--light] [--trace] [--mutant NAME] [--mutants]";

function options(): ReturnType<typeof parseOptions> {
	try {
		const { values } = parseArgs({
			options: {
				seeds: { type: "string" },
				hours: { type: "string" },
				"all-faults": { type: "boolean", default: false },
				store: { type: "boolean", default: false },
				light: { type: "boolean", default: false },
				core: { type: "boolean", default: false },
				trace: { type: "boolean", default: false },
				mutant: { type: "string" },
				mutants: { type: "boolean", default: false },
			},
		});
		return parseOptions(values);
	} catch (error) {
		console.error(`${error instanceof Error ? error.message : error}\n${usage}`);
		console.error(`mutants: ${allMutants.join(" ")}`);
		process.exit(64);
	}
}

const chosen = options();
// Stacks of errors that nobody looks at cost time; a replay shows them.
if (!chosen.trace) Error.stackTraceLimit = 0;
const print = (line: string): void => console.log(line);
process.exitCode = chosen.mutants ? printMutants(chosen, print) : printSeeds(chosen, print);
