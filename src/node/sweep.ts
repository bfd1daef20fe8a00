/**
 * In-between phases whose owner is gone: a volume that was to be made with a VM and was detached from it before, an
 * image whose task was pruned. Nobody would ever end them, so this does, at each full comparison: each in-between state
 * has an owner, or it is an error (or what it was).
 */
import type { ErrorInfo } from "../lib/errors.ts";
import type { NodeContext } from "./context.ts";

const abandoned: ErrorInfo = {
	code: "canceled",
	message: "The work that it was part of has ended without it.",
};

export async function sweep({ store, nodeId, propose }: NodeContext): Promise<void> {
	const isBusy = (id: string) => store.count("task", { targetId: id, state: ["pending", "running"] }) > 0;
	for (const volume of store.all("volume", { phase: ["pending", "creating", "resizing"], nodeId })) {
		if (isBusy(volume.id) || (volume.vmId !== null && isBusy(volume.vmId))) continue;
		if (volume.phase === "resizing") await propose({ kind: "volumeStatus", id: volume.id, phase: "ready" });
		else await propose({ kind: "volumeStatus", id: volume.id, phase: "error", error: abandoned });
	}
	for (const image of store.all("image", { phase: ["uploading", "importing"], nodeId }))
		if (!isBusy(image.id)) await propose({ kind: "imageStatus", id: image.id, phase: "error", error: abandoned });
}
