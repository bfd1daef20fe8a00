/**
 * kill -9 of either node at every step of a move, before the step and after it with its answer lost. Once both run again the
 * VM is whole on exactly one of them, and the other has nothing of it.
 */
import { expect, test } from "bun:test";
import { askToMove, contentOf, expectAt, type Pair, pair, stoppedVm } from "../testing/node/moving.ts";

type Victim = "first" | "second";

async function moved(victim: Victim, kill: { call: number; when: "before" | "after" } | null) {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	const before = volumeIds.map((volumeId) => contentOf(first, volumeId));
	const world = both[victim];
	const since = world.life.calls.length;
	if (kill) world.life.killAt({ call: since + kill.call, when: kill.when });
	const taskId = await askToMove(both, id);
	const ended = () => world.life.dead || first.unfinished().length === 0;
	const other = victim === "first" ? second : first;
	await world.until(ended, { stepMs: 1000, limitMs: 120_000 });
	await other.settleLoops();
	const steps = world.life.calls.slice(since);
	if (world.life.dead) await world.boot();
	await settleBoth(both);
	const { state } = first.taskOf(taskId);
	const [here, there] = state === "succeeded" ? [second, first] : [first, second];
	await expectAt(here, there, id, volumeIds);
	expect(volumeIds.map((volumeId) => contentOf(here, volumeId))).toEqual(before);
	return { steps, state };
}

async function settleBoth({ first, second }: Pair): Promise<void> {
	await first.settle({ stepMs: 10_000, limitMs: 3_600_000 });
	await second.settleLoops();
	// One full comparison on each: what was left behind is swept.
	first.clock.advance(31_000);
	await first.settleLoops();
	await second.settleLoops();
}

for (const victim of ["second", "first"] as const)
	test(`a move survives the end of ${victim === "first" ? "the node that gives" : "the node that gets"} at each step`, async () => {
		const { steps, state } = await moved(victim, null);
		expect(state).toBe("succeeded");
		expect(steps.length).toBeGreaterThan(5);
		const states = new Set<string>();
		for (const call of steps.keys())
			for (const when of ["before", "after"] as const) {
				const where = `${when} step ${call + 1} (${steps[call]})`;
				const found = await moved(victim, { call: call + 1, when }).catch((error: unknown) => {
					throw new Error(`killed ${where}`, { cause: error });
				});
				states.add(found.state);
				// The node that gets it goes on where it was.
				if (victim === "second") expect([where, found.state]).toEqual([where, "succeeded"]);
			}
		expect(states.has("succeeded")).toBe(true);
	}, 120_000);
