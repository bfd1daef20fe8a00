/** A VM that writes all the time, on a pool that is lost under it: what is seen of both, and that they come back. */
import { expect } from "bun:test";
import { present } from "../../lib/assert.ts";
import type { Pool, PoolCreate } from "../../model/storage.ts";
import type { Vm } from "../../model/vm.ts";
import { readProbe } from "../lab/probe-guest/probe-guest.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import type { LabSystem } from "./lab-system.ts";

const bootLimitMs = 300_000;
const everyMs = { everyMs: 200 };
/** More than the guest writes by what was under way already. */
const certainlyMore = 5;

export type WritingVm = {
	readonly poolId: string;
	readonly vmId: string;
	vm(): Promise<Vm>;
	pool(): Promise<Pool>;
	/** What it has written last; fails when its disk ever failed, or held something else than it had written. */
	wrote(): Promise<number>;
	/** Waits until it has written more than it has now. */
	writesOn(limitMs: number): Promise<void>;
	/** Waits until the pool is not healthy on this node: how, why, and after how long. */
	poolIsLost(): Promise<{ health: string; reason: string; ms: number }>;
	poolIsBack(limitMs: number): Promise<void>;
	/** Everything goes: VM, image, pool. */
	remove(): Promise<void>;
};

/** `probe`: its disk, raw. The image of it is in the pool itself. */
export async function startWritingVm(
	system: LabSystem,
	{ pool: wanted, probe }: { pool: PoolCreate; probe: string },
): Promise<WritingVm> {
	const { api } = system;
	const made = await api.call("poolCreate", { body: wanted });
	await system.done(made);
	const poolId = made.body.id;
	const image = await api.call("imageCreate", {
		body: { name: wanted.name, format: "raw", poolId, source: { kind: "path", path: probe } },
	});
	await system.done(image);
	const pool = async () => (await api.call("poolGet", { path: { id: poolId } })).body;
	const node = async () => present((await pool()).nodes[0], "the node of the pool");
	await waitUntil("the pool to be usable", 60_000, async () => (await node()).health === "healthy", everyMs);
	const { id: vmId } = await system.createVm({
		...{ name: wanted.name, disks: [{ imageId: image.body.id, poolId }], nics: [] },
	});
	const terminal = new GuestTerminal(system, vmId);
	const wrote = async () => {
		const report = readProbe(await terminal.text());
		expect(report.failures).toBe(0);
		return report.wrote ?? 0;
	};
	const writesOn = async (limitMs: number) => {
		const before = await wrote();
		await waitUntil("the guest to write on", limitMs, async () => (await wrote()) > before + certainlyMore, everyMs);
	};
	await writesOn(bootLimitMs);
	return {
		...{ poolId, vmId, pool, wrote, writesOn },
		vm: () => system.vm(vmId),
		async poolIsLost() {
			const begun = performance.now();
			const { health, reason } = await waitUntil(
				"the pool to be shown as lost",
				60_000,
				async () => {
					const now = await node();
					return now.health !== "healthy" && now;
				},
				everyMs,
			);
			return { health, reason: reason ?? "", ms: Math.round(performance.now() - begun) };
		},
		async poolIsBack(limitMs) {
			await waitUntil("the pool to be healthy", limitMs, async () => (await node()).health === "healthy", everyMs);
		},
		async remove() {
			await system.done(await api.call("vmStop", { path: { id: vmId } }));
			await system.done(await api.call("vmDelete", { path: { id: vmId } }));
			await system.done(await api.call("imageDelete", { path: { id: image.body.id } }));
			await system.done(await api.call("poolDelete", { path: { id: poolId } }));
		},
	};
}

/** The daemon answers, also to those who ask about what is lost. The slowest answer, in ms. */
export async function apiAnswers({ api }: LabSystem, { vmId, poolId }: WritingVm): Promise<number> {
	let slowestMs = 0;
	for (let round = 0; round < 5; round++)
		for (const ask of [
			() => api.call("healthGet"),
			() => api.call("vmList"),
			() => api.call("vmGet", { path: { id: vmId } }),
			() => api.call("poolGet", { path: { id: poolId } }),
			() => api.call("volumeList"),
		]) {
			const begun = performance.now();
			await ask();
			slowestMs = Math.max(slowestMs, performance.now() - begun);
		}
	return Math.round(slowestMs);
}
