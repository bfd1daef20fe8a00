/**
 * In-between phases whose owner is gone: a volume that was to be made with a VM and was detached from it before, an
 * image whose task was pruned. Nobody would ever end them, so this does, at each full comparison: each in-between state
 * has an owner, or it is ended here. A volume that waits to be made and belongs to a VM has one: the VM's next start.
 */

import type { ErrorInfo } from "../lib/errors.ts";
import { workerOfImage, workerOfVolume } from "../store/storage-worker.ts";
import { isBusy, unfinishedTargets } from "./busy.ts";
import type { NodeContext } from "./context.ts";
import type { Volumes } from "./volumes.ts";

const abandoned: ErrorInfo = {
	code: "canceled",
	message: "The work that it was part of has ended without it.",
};

export async function sweep(
	{ store, nodeId, propose }: NodeContext,
	volumes: Pick<Volumes, "makeDetached">,
): Promise<void> {
	// A volume that waits to be made with its VM has an owner: there may be thousands, and they are not even read.
	const sharedVolumes = [
		...store.all("volume", { phase: "pending", vmId: null, nodeId: null }),
		...store.all("volume", { phase: ["creating", "resizing"], nodeId: null }),
	].filter((volume) => workerOfVolume(store, volume) === nodeId);
	const volumesBetween = [
		...store.all("volume", { phase: "pending", vmId: null, nodeId }),
		...store.all("volume", { phase: ["creating", "resizing"], nodeId }),
		...sharedVolumes,
	];
	const imagesBetween = [
		...store.all("image", { phase: ["uploading", "importing"], nodeId }),
		...store
			.all("image", { phase: ["uploading", "importing"], nodeId: null })
			.filter((image) => workerOfImage(store, image) === nodeId),
	];
	if (volumesBetween.length + imagesBetween.length === 0) return;
	const busy = unfinishedTargets(store);
	for (const seen of volumesBetween) {
		if (busy.has(seen.id) || (seen.vmId !== null && busy.has(seen.vmId))) continue;
		// Ending the one before took its time.
		const now = store.get("volume", seen.id);
		if (now?.phase !== seen.phase || isBusy(store, now.id) || (now.vmId !== null && isBusy(store, now.vmId))) continue;
		const { id, phase, vmId } = now;
		if (phase === "resizing") await propose({ kind: "volumeStatus", id, phase: "ready" });
		else if (vmId === null) volumes.makeDetached(id);
		else if (phase === "creating") await propose({ kind: "volumeStatus", id, phase: "pending", error: null });
	}
	for (const { id, phase } of imagesBetween) {
		if (busy.has(id) || isBusy(store, id) || store.get("image", id)?.phase !== phase) continue;
		await propose({ kind: "imageStatus", id, phase: "error", error: abandoned });
	}
}
