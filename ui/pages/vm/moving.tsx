/** Which VM somebody is about to move; the dialog for it, over whatever page it was asked on. */
import { signal } from "@preact/signals";
import { live } from "../../api/live/live.ts";
import { lazyPage } from "../../lib/lazy-page.tsx";

const moving = signal<string | null>(null);

export const openMove = (vmId: string): void => {
	moving.value = vmId;
};

const MoveDialog = lazyPage(() => import("./move-dialog.tsx"), null);

export function MoveHost() {
	const id = moving.value;
	const vm = id === null ? undefined : live.vm.one(id).value;
	if (vm === undefined) return null;
	const close = () => {
		moving.value = null;
	};
	return <MoveDialog key={vm.id} vm={vm} onClose={close} />;
}
