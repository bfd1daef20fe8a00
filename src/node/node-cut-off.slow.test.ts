/**
 * The power goes at every step of a start, and the node that comes back hears of no majority: somebody may have declared it off
 * and started the VM elsewhere, so it starts nothing. Once there is a majority again, everything comes to its end.
 */
import { expect, test } from "bun:test";
import { Cut } from "../testing/node/cut-off.ts";
import type { KillPoint } from "../testing/node/life.ts";
import { NodeWorld } from "../testing/node/node-world.ts";

const vmId = "00000000-0000-7000-8000-0000000000aa";
const timing = { stepMs: 5_000, limitMs: 200_000 };

type Ask = (world: NodeWorld) => Promise<string>;
const scenarios: Record<string, { before: boolean; ask: Ask }> = {
	create: { before: false, ask: async (world) => (await world.createVm({ id: vmId, volumes: [{}] })).taskId },
	start: { before: true, ask: (world) => world.act("vm.start", vmId) },
	"start that stays paused": { before: true, ask: (world) => world.act("vm.start", vmId, { paused: true }) },
};

async function runOnce({ before, ask }: (typeof scenarios)[string], kill: KillPoint | null): Promise<number> {
	await using world = await NodeWorld.open();
	await world.boot();
	if (before) await world.createVm({ id: vmId, volumes: [{}], start: false });
	await world.settle(timing);
	const since = world.life.calls.length;
	if (kill) world.life.killAt({ call: since + kill.call, when: kill.when });
	const taskId = await ask(world);
	await world.settle(timing);
	const calls = world.life.calls.length - since;
	if (!kill) return calls;
	expect(world.life.dead).toBe(true);
	const wasEnded = world.unfinished().length === 0;
	world.powerCut();
	const asked = world.hypervisor.calls.length;
	const cut = new Cut(world, true);
	await world.boot(null, cut.deps);
	for (let step = 0; step < 12; step++) {
		await world.settleLoops();
		world.clock.advance(10_000);
	}
	await world.settleLoops();
	expect(world.hypervisor.calls.slice(asked).filter((call) => /^(start|resume) /.test(call))).toEqual([]);
	cut.isCut = false;
	await world.settle(timing);
	world.clock.advance(31_000);
	await world.settleLoops();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.vm(vmId).status.powerState === "stopped").toBe(wasEnded);
	expect(await world.problems()).toEqual([]);
	return calls;
}

for (const [name, scenario] of Object.entries(scenarios))
	test(`without a quorum, after the power went at any step: ${name}`, async () => {
		const calls = await runOnce(scenario, null);
		expect(calls).toBeGreaterThan(3);
		for (let call = 1; call <= calls; call++)
			for (const when of ["before", "after"] as const)
				await runOnce(scenario, { call, when }).catch((error) => {
					throw new Error(`cut ${when} call ${call} of ${calls}: ${error instanceof Error ? error.message : error}`);
				});
	}, 120_000);
