/**
 * Snapshots, kept fresh as the other collections are, but listed VM by VM: there is one collection for each VM whose snapshots
 * somebody has looked at.
 */
import type { Page, Snapshot } from "../types.ts";
import { Collection, type CollectionOptions } from "./collection.ts";

type Load = (vmId: string, pageToken: string | null) => Promise<Page<Snapshot>>;

export class SnapshotsByVm {
	private readonly byVm = new Map<string, Collection<Snapshot>>();

	constructor(
		private readonly load: Load,
		private readonly options: Pick<CollectionOptions<Snapshot>, "schedule"> = {},
	) {}

	/** The same one each time, until it is forgotten. */
	of(vmId: string): Collection<Snapshot> {
		const known = this.byVm.get(vmId);
		if (known) return known;
		const collection = new Collection<Snapshot>({
			...this.options,
			load: (pageToken) => this.load(vmId, pageToken),
		});
		this.byVm.set(vmId, collection);
		return collection;
	}

	/** Only if somebody has asked for them before. */
	peek(vmId: string): Collection<Snapshot> | undefined {
		return this.byVm.get(vmId);
	}

	known(): Collection<Snapshot>[] {
		return [...this.byVm.values()];
	}

	/** An event; null when the snapshot is gone, and whose it was is not said any more. */
	apply(id: string, object: Snapshot | null): void {
		if (object === null) for (const collection of this.byVm.values()) collection.apply([{ id, object }]);
		else this.byVm.get(object.vmId)?.apply([{ id, object }]);
	}

	/** The VM is gone. */
	forget(vmId: string): void {
		this.byVm.get(vmId)?.clear();
		this.byVm.delete(vmId);
	}

	clear(): void {
		for (const vmId of [...this.byVm.keys()]) this.forget(vmId);
	}
}
