/** kill -9 before and after each call that an operation makes; the next process has to bring everything to an end. */
import { expect, test } from "bun:test";
import type { TaskState } from "../../model/task.ts";
import type { KillPoint } from "./life.ts";
import { NodeWorld } from "./node-world.ts";

export type Scenario = {
	name: string;
	/** Before the process that is killed. */
	prepare?: (world: NodeWorld) => Promise<void>;
	/** Asks for the operation; returns what `check` needs. */
	ask: (world: NodeWorld) => Promise<string>;
	/** How its task may end; "gone" when the record of the task is enough. */
	ends?: TaskState[];
	check?: (world: NodeWorld) => void | Promise<void>;
};

const timing = { stepMs: 5_000, limitMs: 200_000 };

async function runOnce(scenario: Scenario, kill: KillPoint | null): Promise<number> {
	await using world = await NodeWorld.open();
	await world.boot();
	await scenario.prepare?.(world);
	await world.settle(timing);
	const before = world.life.calls.length;
	if (kill) world.life.killAt({ call: before + kill.call, when: kill.when });
	const taskId = await scenario.ask(world);
	await world.settle(timing);
	const calls = world.life.calls.length - before;
	if (kill) {
		expect(world.life.dead).toBe(true);
		await world.boot();
		await world.settle(timing);
	}
	const task = world.taskOf(taskId);
	expect(scenario.ends ?? ["succeeded"], `${task.error?.code} ${task.error?.message}`).toContain(task.state);
	await scenario.check?.(world);
	expect(await world.problems()).toEqual([]);
	return calls;
}

/** One test for each: run once to count what it does, then again and again. */
export function killedAnywhere(scenarios: readonly Scenario[]): void {
	for (const scenario of scenarios)
		test(`killed at any step: ${scenario.name}`, async () => {
			const calls = await runOnce(scenario, null);
			expect(calls).toBeGreaterThan(3);
			for (let call = 1; call <= calls; call++)
				for (const when of ["before", "after"] as const)
					await runOnce(scenario, { call, when }).catch((error) => {
						throw new Error(
							`killed ${when} call ${call} of ${calls}: ${error instanceof Error ? error.message : error}`,
						);
					});
		}, 60_000);
}
