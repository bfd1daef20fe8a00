/**
 * Holds what the records of a pool's volumes claim against what the pool has: a volume that says `ready` while its file
 * is gone (removed by hand, a file system that lost it) becomes an error before a VM fails on it, and is ready again when
 * the file is back. Volumes that anything works on are left to that work.
 *
 * Each call looks at the next slice of the volumes, so that its work does not grow with the pool: a pool with fewer is
 * looked at whole each time, one with 10,000 once in some minutes. Whether anything works on a volume is asked only for
 * those whose phase would change.
 */
import { toErrorInfo } from "../lib/errors.ts";
import type { Volume } from "../model/storage.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { isBusy, unfinishedTargets } from "./busy.ts";
import { limited, type NodeContext } from "./context.ts";
import { bounds, limits } from "./limits.ts";

export class VolumeCheck {
	readonly #context: NodeContext;
	readonly #poolId: string;
	readonly #driver: Pick<StorageDriver, "damagedVolumes">;
	/** Where the next slice begins; null: at the first volume. */
	#pageToken: string | null = null;

	constructor(context: NodeContext, poolId: string, driver: Pick<StorageDriver, "damagedVolumes">) {
		this.#context = context;
		this.#poolId = poolId;
		this.#driver = driver;
	}

	async next(): Promise<void> {
		const seen = await this.#wouldChange(this.#slice());
		if (seen.length === 0) return;
		const { store } = this.#context;
		const busy = unfinishedTargets(store);
		const quiet = seen.filter(({ id, vmId }) => !busy.has(id) && (vmId === null || !busy.has(vmId)));
		if (quiet.length === 0) return;
		// What was seen may have been the doing of work that has ended since.
		const errors = await this.#errors(quiet);
		for (const { id, phase } of quiet) {
			const now = store.get("volume", id);
			// Work may have begun since.
			if (now?.phase !== phase || isBusy(store, id) || (now.vmId !== null && isBusy(store, now.vmId))) continue;
			await this.#report(now, errors.get(id));
		}
	}

	#slice(): Volume[] {
		const { store, nodeId } = this.#context;
		const { items, nextPageToken } = store.list("volume", {
			filter: { poolId: this.#poolId, phase: ["ready", "error"] },
			limit: bounds.volumesPerCheck,
			pageToken: this.#pageToken,
		});
		this.#pageToken = nextPageToken;
		return (
			items
				.filter((volume) => volume.nodeId === null || volume.nodeId === nodeId)
				// One that was never made has nothing to be compared with.
				.filter((volume) => volume.phase === "ready" || volume.allocatedBytes !== null)
		);
	}

	async #wouldChange(volumes: readonly Volume[]): Promise<Volume[]> {
		if (volumes.length === 0) return [];
		const errors = await this.#errors(volumes);
		return volumes.filter(({ id, phase }) => (phase === "ready") === errors.has(id));
	}

	async #errors(volumes: readonly Volume[]) {
		const damaged = await limited(this.#context, "Looking at the volumes of a pool", limits.poolCheckMs, () =>
			this.#driver.damagedVolumes(volumes.map((volume) => volume.id)),
		);
		return new Map(damaged.map(({ id, error }) => [id, error]));
	}

	async #report({ id, phase }: Volume, error: Error | undefined): Promise<void> {
		const { logger, propose } = this.#context;
		if (phase === "ready" && error) {
			logger.warn("a volume is not whole any more", { volumeId: id, error });
			await propose({ kind: "volumeStatus", id, phase: "error", error: toErrorInfo(error) });
		}
		if (phase === "error" && !error) {
			logger.info("a volume is whole again", { volumeId: id });
			await propose({ kind: "volumeStatus", id, phase: "ready", error: null });
		}
	}
}
