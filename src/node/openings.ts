/**
 * Disks that are open on this node: before QEMU gets them they are made openable here (openVolume) and their pools' keys are given to
 * libvirt; when their VM has stopped, or they were unplugged, they are closed, so that another node can have them. What a daemon before
 * this one left open is found by asking the drivers.
 *
 * A volume is opened and closed under its own lock, and what is closed was looked up under it: whoever opens it next has said so in the
 * state before.
 */
import { isAppError } from "../lib/errors.ts";
import type { Volume } from "../model/storage.ts";
import type { Vm } from "../model/vm.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { poolsOf } from "./pool-wait.ts";
import type { Pools } from "./pools.ts";

export class Openings {
	readonly #context: NodeContext;
	readonly #pools: Pick<Pools, "driver" | "activeDrivers">;
	/** Opened by this process, with the id of their pool. */
	readonly #open = new Map<string, string>();

	constructor(context: NodeContext, pools: Pick<Pools, "driver" | "activeDrivers">) {
		this.#context = context;
		this.#pools = pools;
	}

	/** All disks of the VM, before it starts or gets one plugged in. What was opened stays so when a later one fails. */
	async openOf(vm: Vm): Promise<void> {
		const { store } = this.#context;
		const volumes = vm.spec.disks.flatMap(({ volumeId }) => store.get("volume", volumeId) ?? []);
		for (const poolId of poolsOf(store, vm.spec)) await this.#putSecrets(await this.#pools.driver(poolId));
		for (const volume of volumes) await this.#openHere(volume);
	}

	async #openHere({ id, name, poolId }: Volume): Promise<void> {
		let driver = await this.#pools.driver(poolId);
		for (;;) {
			const by = driver;
			await this.#locked(id, async () => {
				this.#open.set(id, poolId);
				await limited(this.#context, `Opening volume "${name}"`, limits.quickStorageMs, () => by.openVolume(id));
			});
			driver = await this.#pools.driver(poolId);
			if (driver === by) return;
			// The pool was let go of before it was said that this is open in it.
			await this.#putSecrets(driver);
		}
	}

	/** Name of a VM for which something of the pool was opened that QEMU may be about to open as well. Null for none. */
	userOf(poolId: string, mayGetDisks: (vmId: string) => boolean): string | null {
		const { store } = this.#context;
		for (const [volumeId, openIn] of this.#open) {
			const vmId = openIn === poolId ? store.get("volume", volumeId)?.vmId : null;
			const vm = vmId ? store.get("vm", vmId) : null;
			if (vm && mayGetDisks(vm.id)) return vm.name;
		}
		return null;
	}

	/** In another pool than the state says: a disk that is being copied there. */
	async openIn(volumeId: string, poolId: string): Promise<void> {
		const driver = await this.#pools.driver(poolId);
		await this.#putSecrets(driver);
		await this.#locked(volumeId, () =>
			limited(this.#context, "Opening a volume", limits.quickStorageMs, () => driver.openVolume(volumeId)),
		);
	}

	/** The disk of a VM that runs is in another pool now. Never fails: what stays open in the old one is closed by the next sweep. */
	async wentTo(volumeId: string, fromPoolId: string, toPoolId: string): Promise<void> {
		await this.#close(volumeId, fromPoolId, () => true);
		this.#open.set(volumeId, toPoolId);
	}

	/** libvirt has forgotten them when it was restarted; a pool that does not work now has its own put when it does. Never fails. */
	async putAllSecrets(): Promise<void> {
		for (const { poolId } of this.#pools.activeDrivers()) await this.putSecretsOf(poolId);
	}

	/** Of a pool that works now. Never fails. */
	async putSecretsOf(poolId: string): Promise<void> {
		const found = this.#pools.activeDrivers().find((one) => one.poolId === poolId);
		if (!found || !this.#context.connection.connected) return;
		await this.#putSecrets(found.driver).catch((error) =>
			this.#context.logger.warn("libvirt did not take the key of a pool", { poolId, error }),
		);
	}

	async #putSecrets(driver: StorageDriver): Promise<void> {
		for (const secret of driver.hostSecrets)
			await limited(this.#context, "Giving libvirt the pool's key", limits.controlMs, () =>
				this.#context.hypervisor.putSecret(secret),
			);
	}

	/** The VM does not run, and nothing else happens to it. Never fails: what stays open is closed by the next sweep. */
	async closeOf(vm: Vm): Promise<void> {
		for (const { volumeId } of vm.spec.disks) {
			const poolId = this.#open.get(volumeId);
			if (poolId !== undefined) await this.#close(volumeId, poolId, () => true);
		}
	}

	/**
	 * Whatever is open here and is no disk of a VM that may run here. `mayRun`: whether a VM of this node does, or is about to;
	 * a task that is accepted after that waits for the lock before it opens its disks. `isMoving`: whether what is in that pool is
	 * open for a move. Never fails.
	 */
	async sweep(
		mayRun: (vmId: string) => Promise<boolean>,
		isMoving: (volumeId: string, poolId: string) => Promise<boolean>,
	): Promise<void> {
		for (const { driver, poolId } of this.#pools.activeDrivers()) {
			const ids = await limited(this.#context, "Listing open volumes", limits.quickStorageMs, () =>
				driver.openVolumes(),
			).catch((error) => {
				this.#context.logger.debug("open volumes were not listed", { poolId, error });
				return [];
			});
			for (const id of ids)
				await this.#close(id, poolId, async () => !(await isMoving(id, poolId)) && this.#isUnused(id, poolId, mayRun));
		}
	}

	async #isUnused(volumeId: string, poolId: string, mayRun: (vmId: string) => Promise<boolean>): Promise<boolean> {
		const { store, nodeId } = this.#context;
		const volume = store.get("volume", volumeId);
		if (volume?.poolId !== poolId) return true;
		const vm = volume?.vmId ? store.get("vm", volume.vmId) : null;
		return vm?.nodeId !== nodeId || !(await mayRun(vm.id));
	}

	async #close(volumeId: string, poolId: string, isUnused: () => boolean | Promise<boolean>): Promise<void> {
		const { logger } = this.#context;
		try {
			const driver = await this.#pools.driver(poolId);
			await this.#locked(volumeId, async () => {
				if (!(await isUnused())) return;
				await limited(this.#context, "Closing a volume", limits.quickStorageMs, () => driver.closeVolume(volumeId));
				if (this.#open.get(volumeId) === poolId) this.#open.delete(volumeId);
			});
		} catch (error) {
			// A process has it open still: of a VM that was unplugged from it and has not let go yet.
			if (!isAppError(error, "in-use")) logger.warn("a volume stays open for now", { volumeId, error });
		}
	}

	#locked<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
		return this.#context.locks.run(`open:${volumeId}`, work, this.#context.stopping);
	}
}
