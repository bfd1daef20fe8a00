/**
 * Every mutant is caught by at most 100 consecutive seeds that nobody picked: they follow from its name and the commit. The
 * same as `npm run sim -- --mutants`.
 */
import { expect, test } from "bun:test";
import { allMutants, catchMutant, currentCommit, mutantHours, seedsForMutant } from "./campaign.ts";

const commit = currentCommit();

for (const mutant of allMutants)
	test(
		`finds ${mutant}`,
		() => {
			expect(catchMutant(mutant, commit, mutantHours, "swarm", seedsForMutant)).not.toBeNull();
		},
		15 * 60_000,
	);
