/**
 * In-between phases whose owner is gone: a volume that was to be made with a VM and was detached from it before, an
 * image whose task was pruned. Nobody would ever end them, so this does, at each full comparison: each in-between state
 * has an owner, or it is ended here. A volume that waits to be made and belongs to a VM has one: the VM's next start.
 */
import type { ErrorInfo } from "../lib/errors.ts";
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
	const isBusy = (id: string) => store.count("task", { targetId: id, state: ["pending", "running"] }) > 0;
	for (const { id, phase, vmId } of store.all("volume", { phase: ["pending", "creating", "resizing"], nodeId })) {
		if (isBusy(id) || (vmId !== null && isBusy(vmId))) continue;
		if (phase === "resizing") await propose({ kind: "volumeStatus", id, phase: "ready" });
		else if (vmId === null) volumes.makeDetached(id);
		else if (phase === "creating") await propose({ kind: "volumeStatus", id, phase: "pending", error: null });
	}
	for (const image of store.all("image", { phase: ["uploading", "importing"], nodeId }))
		if (!isBusy(image.id)) await propose({ kind: "imageStatus", id: image.id, phase: "error", error: abandoned });
}
