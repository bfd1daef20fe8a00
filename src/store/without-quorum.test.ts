/** What those are told who change something while there is no quorum, and when. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { fixtureCluster, fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { proposer } from "./proposer.ts";
import { notLeading } from "./raft/refusals.ts";
import { ReplicatedStore } from "./replicated-store.ts";
import { openMemoryState } from "./sqlite/database.ts";

/** A store whose consensus has lost its quorum. `propose` is what it does with a proposal. */
async function openLost(propose: () => Promise<void>) {
	const clock = new ManualClock();
	const unused = () => Promise.reject(new AppError("unsupported", "Not asked for here."));
	const store = await ReplicatedStore.open({
		...{ state: openMemoryState(), clock, logger: silentLogger, takeSnapshot: unused, takeBackup: unused },
		onFatal(error) {
			throw error;
		},
		connect: async () => ({
			...{ propose, readIndex: unused, compact: unused, logBytesAfter: () => 0, close: async () => {} },
			status: () => ({ leader: null, quorum: false, commitIndex: 0, term: 1 }),
		}),
		release: async () => {},
	});
	let ids = 0;
	const { proposeSystem } = proposer(store, clock, { newId: () => fixtureId(++ids) });
	const said: string[] = [];
	return {
		said,
		change: (name: string) =>
			void proposeSystem(fixtureCluster()).catch((error: AppError) => {
				said.push(`${name}: ${error.context.outcome}`);
			}),
		/** In small steps, as time goes by; what was begun by timers gets its turn. */
		async pass(ms: number) {
			for (let passed = 0; passed < ms; passed += 50) {
				clock.advance(50);
				for (let turn = 0; turn < 5; turn++) await Promise.resolve();
			}
		},
		close: () => store.close(),
	};
}

test("a change that nobody took is said not to have happened, each after its own four seconds", async () => {
	const { said, change, pass, close } = await openLost(() => Promise.reject(notLeading(null)));
	change("first");
	await pass(3_000);
	change("second");
	await pass(2_000);
	expect(said).toEqual(["first: not-proposed"]);
	await pass(1_500);
	expect(said).toHaveLength(1);
	await pass(1_500);
	expect(said).toEqual(["first: not-proposed", "second: not-proposed"]);
	await close();
});

test("one that is on its way may still take effect, and that is said of it alone", async () => {
	const answers = [() => new Promise<void>(() => {}), () => Promise.reject(notLeading(null))];
	const { said, change, pass, close } = await openLost(() =>
		(answers.shift() ?? (() => Promise.reject(notLeading(null))))(),
	);
	change("taken");
	await pass(100);
	change("refused");
	await pass(5_000);
	expect(said.sort()).toEqual(["refused: not-proposed", "taken: unknown"]);
	await close();
});
