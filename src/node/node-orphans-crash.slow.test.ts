/** kill -9 at every step of what is done with content that no record names: the next process does the rest. */
import { expect } from "bun:test";
import { killedAnywhere, type Scenario } from "../testing/node/killed-anywhere.ts";
import {
	askToAdopt,
	askToDeleteOrphans,
	lies,
	putStrays,
	putStrayWithSnapshots,
	snapshotsOf,
	strays,
} from "../testing/node/orphans.ts";

let snapshotIds: string[] = [];

const scenarios: Scenario[] = [
	{
		name: "deleting what no record names",
		prepare: async (world) => putStrays(world),
		ask: (world) => askToDeleteOrphans(world, { volumeIds: [strays.volume, strays.clone], imageIds: [strays.image] }),
		check: (world) => expect(lies(world)).toEqual([]),
	},
	{
		name: "adopting a volume without its snapshots",
		async prepare(world) {
			await world.settle();
			snapshotIds = await putStrayWithSnapshots(world);
		},
		ask: (world) => askToAdopt(world, strays.volume, snapshotIds),
		async check(world) {
			expect(world.volume(strays.volume)).toMatchObject({ phase: "ready", name: "rescued" });
			expect(await snapshotsOf(world).list(strays.volume)).toEqual([]);
		},
	},
];

killedAnywhere(scenarios);
