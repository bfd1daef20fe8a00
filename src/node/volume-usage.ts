/**
 * What the volumes of a pool take up there, kept current while guests write and trim: every other change of it is told by the work that
 * made it. The node that a VM runs on looks, so that no volume is looked at twice, and says together what has changed noticeably.
 * One list of the pool answers for all of them; where that takes long, it is asked for less often.
 */
import type { Volume } from "../model/storage.ts";
import { powerStates } from "../model/vm.ts";
import { isVmOff } from "../model/vm-rules.ts";
import type { ListedVolume, StorageDriver } from "../storage/driver.ts";
import { isBusy } from "./busy.ts";
import { limited, type NodeContext } from "./context.ts";
import { bounds, intervals, limits } from "./limits.ts";

const mayWrite = powerStates.filter((state) => !isVmOff(state));

export class VolumeUsage {
	readonly #context: NodeContext;
	readonly #poolId: string;
	readonly #driver: Pick<StorageDriver, "listVolumes">;
	#notBeforeMs = 0;
	/** Open when it was looked last: what was written since is not told yet, be the VM off by now. */
	#before: readonly string[] = [];

	constructor(context: NodeContext, poolId: string, driver: Pick<StorageDriver, "listVolumes">) {
		this.#context = context;
		this.#poolId = poolId;
		this.#driver = driver;
	}

	/** Looks when it is time to. Fails when the pool cannot be listed. */
	async next(): Promise<void> {
		const { clock, everybodyHas } = this.#context;
		const beganMs = clock.monotonicMs();
		if (beganMs < this.#notBeforeMs || !everybodyHas("volume-usage-1")) return;
		this.#notBeforeMs = beganMs + intervals.volumeUsageMs;
		const open = this.#open();
		const ids = new Set([...open, ...this.#before]);
		if (ids.size === 0) return;
		try {
			const listed = await limited(this.#context, "Listing the volumes of a pool", limits.quickStorageMs, () =>
				this.#driver.listVolumes(),
			);
			await this.#report(listed.filter(({ id }) => ids.has(id)));
			this.#before = open;
		} finally {
			const endedMs = clock.monotonicMs();
			this.#notBeforeMs = Math.max(this.#notBeforeMs, endedMs + (endedMs - beganMs) * bounds.restAfterListing);
		}
	}

	#open(): string[] {
		const { store, nodeId } = this.#context;
		const vms = store.all("vm", { nodeId, powerState: mayWrite });
		return vms.flatMap(({ id }) => store.all("volume", { poolId: this.#poolId, vmId: id }).map((volume) => volume.id));
	}

	async #report(listed: readonly ListedVolume[]): Promise<void> {
		const { store, propose } = this.#context;
		const volumes = listed.flatMap(({ id, allocatedBytes }) => {
			const now = store.get("volume", id);
			if (now?.phase !== "ready" || now.poolId !== this.#poolId || isBusy(store, id)) return [];
			return isNews(now, allocatedBytes) ? [{ id, allocatedBytes }] : [];
		});
		for (let at = 0; at < volumes.length; at += bounds.volumesPerUsage)
			await propose({
				kind: "volumeUsage",
				poolId: this.#poolId,
				volumes: volumes.slice(at, at + bounds.volumesPerUsage),
			});
	}
}

/** 1 % of the disk, or 1 GiB of a large one. */
function isNews({ sizeBytes, allocatedBytes }: Volume, found: number): boolean {
	if (allocatedBytes === null) return false;
	return Math.abs(found - allocatedBytes) >= Math.min(sizeBytes / 100, 1024 ** 3);
}
