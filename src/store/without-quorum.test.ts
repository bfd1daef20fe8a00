/**
 * What those are told whose change is not taken at once, and when: with no quorum, or by a leader that is busy. Who is told that it
 * has not happened can rely on that; of everything else it is said that it may have.
 */
import { expect, test } from "bun:test";
import { AppError, type ErrorCode } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { fixtureCluster, fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { maxPendingProposals } from "./limits.ts";
import { proposer } from "./proposer.ts";
import { lost, notLeading, unknownOutcome } from "./raft/refusals.ts";
import { ReplicatedStore } from "./replicated-store.ts";
import { openMemoryState } from "./sqlite/database.ts";

type Status = { leader: string | null; quorum: boolean };

/** A store whose consensus has lost its quorum, or what `status` says. `propose` is what it does with a proposal. */
async function openLost(propose: () => Promise<void>, status: () => Status = () => ({ leader: null, quorum: false })) {
	const clock = new ManualClock();
	const unused = () => Promise.reject(new AppError("unsupported", "Not asked for here."));
	const store = await ReplicatedStore.open({
		...{ state: openMemoryState(), clock, logger: silentLogger, takeSnapshot: unused, takeBackup: unused },
		onFatal(error) {
			throw error;
		},
		connect: async () => ({
			...{ propose, readIndex: unused, compact: unused, logBytesAfter: () => 0, close: async () => {} },
			status: () => ({ ...status(), commitIndex: 0, term: 1 }),
		}),
		release: async () => {},
	});
	let ids = 0;
	const { proposeSystem } = proposer(store, clock, { newId: () => fixtureId(++ids) });
	const said: string[] = [];
	const errors: AppError[] = [];
	return {
		said,
		errors,
		change: (name: string) =>
			void proposeSystem(fixtureCluster()).catch((error: AppError) => {
				said.push(`${name}: ${error.context.outcome}`);
				errors.push(error);
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

const led = (): Status => ({ leader: "a", quorum: true });

test("after an attempt of which nobody knows, no answer to a later one says that it has not happened", async () => {
	const later: [AppError, ErrorCode][] = [
		[new AppError("too-many-requests", "Too many requests wait for that node."), "unavailable"],
		[new AppError("no-space", "The disk of the leading node is nearly full."), "no-space"],
		[new AppError("wrong-state", "This node was removed."), "unavailable"],
	];
	for (const [answer, code] of later) {
		const answers = [unknownOutcome("The leading node was lost."), answer];
		const { errors, change, pass, close } = await openLost(() => Promise.reject(answers.shift()), led);
		change("asked twice");
		await pass(500);
		expect(errors).toMatchObject([{ code, context: { outcome: "unknown" } }]);
		expect(errors[0]?.message).toStartWith(answer.message);
		expect(errors[0]?.message).toInclude("may still take effect");
		await close();
	}
});

test("that one attempt was overwritten says nothing of one before it", async () => {
	const answers = [unknownOutcome("The leading node was lost.")];
	const { said, change, pass, close } = await openLost(() => Promise.reject(answers.shift() ?? lost()), led);
	change("asked often");
	await pass(11_000);
	expect(said).toEqual(["asked often: unknown"]);
	await close();
});

test("what is said not to have happened does not happen afterwards", async () => {
	const now = { leader: "a", quorum: false };
	let taken = 0;
	const { said, change, pass, close } = await openLost(
		() => {
			if (!now.quorum) return Promise.reject(notLeading(null));
			taken += 1;
			return Promise.resolve();
		},
		() => now,
	);
	change("told");
	await pass(4_300);
	expect(said).toEqual(["told: not-proposed"]);
	now.quorum = true;
	await pass(2_000);
	expect(taken).toBe(0);
	await close();
});

test("one too many is refused, and not proposed all the same", async () => {
	let proposed = 0;
	const { errors, change, pass, close } = await openLost(() => {
		proposed += 1;
		return new Promise(() => {});
	}, led);
	for (let number = 0; number <= maxPendingProposals; number++) change(`${number}`);
	await pass(50);
	expect(errors).toMatchObject([{ code: "too-many-requests", context: { outcome: "not-proposed" } }]);
	expect(proposed).toBe(maxPendingProposals);
	await close();
});

test("when the node stops, who waits for an attempt is told that it may have happened, and who waits for the next is not", async () => {
	const answers = [() => new Promise<void>(() => {})];
	const { said, change, pass, close } = await openLost(() =>
		(answers.shift() ?? (() => Promise.reject(notLeading(null))))(),
	);
	change("taken");
	await pass(50);
	change("refused");
	await pass(50);
	await close();
	await pass(50);
	expect(said.sort()).toEqual(["refused: not-proposed", "taken: unknown"]);
});
