/** Ends consoles whose VM was deleted or is on another node now: the next VM must never appear in one. */
import type { Store } from "../store/store.ts";
import type { Consoles } from "./console.ts";

/** Returns how to stop. */
export function watchConsoleVms(
	store: Store,
	consoles: Pick<Consoles, "closeVm" | "checkVm" | "openCount">,
): () => void {
	return store.subscribe((events) => {
		if (consoles.openCount() === 0) return;
		for (const { target, type } of events) {
			if (target.kind !== "vm") continue;
			if (type === "deleted") consoles.closeVm(target.id, "The VM was deleted.");
			else consoles.checkVm(target.id);
		}
	});
}
