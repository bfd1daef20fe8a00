/**
 * VMs that paused because a disk gave errors (its pool was away, or full) go on when their pools work again: QEMU repeats what the guest
 * was waiting for, so it notices nothing but the time. One that pauses again at once is tried less and less often.
 */
import { isAppError } from "../lib/errors.ts";
import { isWorking } from "../model/pool-parts.ts";
import type { Vm } from "../model/vm.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";

const firstWaitMs = 5_000;
const longestWaitMs = 300_000;

type Attempt = { atMonotonicMs: number; waitMs: number };

export class IoRecovery {
	readonly #context: NodeContext;
	readonly #settle: (vmId: string) => Promise<unknown>;
	readonly #attempts = new Map<string, Attempt>();
	/** Waiting for their VM to be left alone, which may take as long as a copy of its disk. */
	readonly #underWay = new Set<string>();

	/** `settle`: of LiveMerges. */
	constructor(context: NodeContext, settle: (vmId: string) => Promise<unknown>) {
		this.#context = context;
		this.#settle = settle;
	}

	/** After each check of the pools. `whileStill`: runs work while nothing else happens to the VM; it is not waited for. */
	run(whileStill: (vmId: string, work: () => Promise<void>) => Promise<void>): void {
		const { store, nodeId, connection, logger } = this.#context;
		if (!connection.connected) return;
		const paused = store.all("vm", { nodeId, powerState: "paused" });
		for (const id of this.#attempts.keys()) if (!paused.some((vm) => vm.id === id)) this.#attempts.delete(id);
		for (const vm of paused) {
			const { id, desiredPower } = vm;
			if (desiredPower !== "running" || this.#underWay.has(id) || !this.#isDue(id) || !this.#poolsWork(vm)) continue;
			this.#underWay.add(id);
			whileStill(id, () => this.#resume(id))
				.catch((error) => logger.info("a VM that paused for an error of a disk does not go on", { vmId: id, error }))
				.finally(() => this.#underWay.delete(id));
		}
	}

	#isDue(vmId: string): boolean {
		const known = this.#attempts.get(vmId);
		return !known || this.#context.clock.monotonicMs() - known.atMonotonicMs >= known.waitMs;
	}

	#poolsWork({ spec }: Vm): boolean {
		const { store, nodeId } = this.#context;
		return spec.disks.every(({ volumeId }) => {
			const volume = store.get("volume", volumeId);
			const pool = volume && store.get("pool", volume.poolId);
			const part = pool?.nodes.find((one) => one.nodeId === nodeId);
			return part !== undefined && isWorking(part) && (part.availableBytes ?? 1) > 0;
		});
	}

	async #resume(vmId: string): Promise<void> {
		const { hypervisor, clock, logger } = this.#context;
		const domain = await limited(this.#context, "Reading the VM's state", limits.readMs, () =>
			hypervisor.getDomain(vmId),
		);
		if (domain?.powerState !== "paused" || domain.reason !== "io-error") return;
		const before = this.#attempts.get(vmId);
		const waitMs = before ? Math.min(longestWaitMs, before.waitMs * 2) : firstWaitMs;
		this.#attempts.set(vmId, { atMonotonicMs: clock.monotonicMs(), waitMs });
		await this.#settle(vmId);
		logger.info("a VM that paused for an error of a disk goes on: its pools work again", { vmId });
		try {
			await limited(this.#context, "Resuming the VM", limits.controlMs, () => hypervisor.resume(vmId));
		} catch (error) {
			if (!isAppError(error, "wrong-state")) throw error;
		}
	}
}
