/**
 * kill -9 at every step of a volume's move, before the step and after it with its answer lost: at rest, while its VM runs, and with a
 * VM that is gone when the node is back. Once it runs again the volume is whole in exactly one pool, with all that was written.
 */
import { expect, test } from "bun:test";
import { bytes } from "../testing/node/storage-deeds.ts";
import {
	askToMoveVolume,
	contentIn,
	expectIn,
	otherPool,
	otherPoolId,
	vmWithDisk,
	worldWithTwoPools,
} from "../testing/node/volume-moving.ts";

type Kill = { call: number; when: "before" | "after" };
type Meanwhile = "nothing" | "the guest writes" | "the guest powers off" | "the host restarts";

async function moved(start: boolean, meanwhile: Meanwhile, kill: Kill | null) {
	await using world = await worldWithTwoPools();
	const { id, volumeId } = await vmWithDisk(world, { start });
	const since = world.life.calls.length;
	if (kill) world.life.killAt({ call: since + kill.call, when: kill.when });
	const taskId = await askToMoveVolume(world, volumeId);
	await world.until(() => world.life.dead || world.unfinished().length === 0, { stepMs: 1000, limitMs: 120_000 });
	await world.settleLoops();
	const steps = world.life.calls.slice(since);
	if (world.life.dead) {
		// What it writes last is where QEMU is, and nowhere else.
		if (start && meanwhile !== "nothing") await guestWrites(id, volumeId);
		if (meanwhile === "the guest powers off") world.hypervisor.guestPowersOff(id);
		if (meanwhile === "the host restarts") world.powerCut();
		await world.boot();
	}
	await world.settle({ stepMs: 10_000, limitMs: 3_600_000 });
	// One full comparison: what was left behind is swept.
	world.clock.advance(31_000);
	await world.settleLoops();
	const { state } = world.taskOf(taskId);
	const inOther = world.volume(volumeId).poolId === otherPoolId;
	const content = contentIn(inOther ? otherPool(world) : world.pool, volumeId);
	await expectIn(world, inOther ? "other" : "first", volumeId, content);
	const volume = (inOther ? otherPool(world) : world.pool).volumes.get(volumeId);
	expect(volume?.content.read(4096, bytes.length)).toEqual(bytes);
	if (kill && start && meanwhile !== "nothing") expect(wrote).toBe(content as string);
	expect(await world.problems()).toEqual([]);
	return { steps, state, inOther };

	/** To what QEMU has open. */
	async function guestWrites(vmId: string, written: string): Promise<void> {
		const [disk] = await world.hypervisor.diskLayers(vmId);
		const volumes = [world.pool, otherPool(world)].flatMap((pool) => pool.volumes.get(written) ?? []);
		const open = volumes.find(({ path }) => path === disk?.layers[0]);
		open?.content.write(1_048_576, bytes);
		wrote = open?.content.sha256() ?? "";
	}
}
let wrote = "";

const cases: [boolean, Meanwhile][] = [
	[false, "nothing"],
	[true, "the guest writes"],
	[true, "the guest powers off"],
	[true, "the host restarts"],
];

test.each(cases)(
	"running: %p; %s",
	async (start, meanwhile) => {
		const { steps, state, inOther } = await moved(
			start,
			meanwhile === "the guest writes" ? "nothing" : meanwhile,
			null,
		);
		expect([state, inOther]).toEqual(["succeeded", true]);
		expect(steps).toContain(start ? "hypervisor.copyDisk" : "storage.receiveVolume");
		for (const call of steps.keys())
			for (const when of ["before", "after"] as const) {
				const where = `${when} step ${call + 1} (${steps[call]})`;
				const found = await moved(start, meanwhile, { call: call + 1, when }).catch((error: unknown) => {
					throw new Error(`killed ${where}`, { cause: error });
				});
				// It ends where the volume is.
				expect([where, found.inOther]).toEqual([where, found.state === "succeeded"]);
				const goesOn = !start || meanwhile === "nothing" || meanwhile === "the guest writes";
				if (goesOn) expect([where, found.state]).toEqual([where, "succeeded"]);
			}
	},
	120_000,
);
