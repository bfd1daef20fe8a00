/** Of which VM somebody is about to take a snapshot; the panel for it, over whatever page it was asked on. */
import { signal } from "@preact/signals";
import { live } from "../../../api/live/live.ts";
import { lazyPage } from "../../../lib/lazy-page.tsx";

const taking = signal<string | null>(null);

export const openTake = (vmId: string): void => {
	taking.value = vmId;
};

const TakePanel = lazyPage(() => import("./take-panel.tsx"), null);

export function TakeHost() {
	const id = taking.value;
	const vm = id === null ? undefined : live.vm.one(id).value;
	if (vm === undefined) return null;
	const close = () => {
		taking.value = null;
	};
	return <TakePanel key={vm.id} vm={vm} onClose={close} />;
}
