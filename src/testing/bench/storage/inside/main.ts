/** Runs in the storage lab VM: one driver beside its bare tool there, as told by the first argument. Its figures are the last line, as JSON. */
import { assert } from "../../../../lib/assert.ts";
import type { Figures } from "../../bench.ts";
import { iscsiRounds } from "./iscsi.ts";
import { nfsRounds } from "./nfs.ts";

const [what, rounds] = [process.argv[2], Number(process.argv[3])];
assert(rounds > 0, "the second argument is the number of rounds");
const all: Record<string, (rounds: number) => Promise<Figures>> = {
	nfs: nfsRounds,
	thick: (count) => iscsiRounds("thick", count),
	thin: (count) => iscsiRounds("thin", count),
};
const chosen = all[what ?? ""];
assert(chosen !== undefined, "the first argument is nfs, thick or thin");
console.log(JSON.stringify(await chosen(rounds)));
process.exit(0);
