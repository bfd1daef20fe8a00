/** What can be done with a network. */
import { Trash2 } from "lucide-preact";
import { h } from "preact";
import { live } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Network } from "../../api/types.ts";
import { act } from "../../api/write.ts";
import { confirm } from "../../components/confirm.tsx";
import type { Action } from "../../components/menu.tsx";
import { href } from "../../routes.ts";
import { networks as t } from "../../strings/networks.ts";
import { states } from "../../strings/states.ts";

/** NICs of all VMs on this network. */
export const nicsOn = (networkId: string): number =>
	live.vm.items
		.peek()
		.reduce((sum, { spec }) => sum + spec.nics.filter((nic) => nic.networkId === networkId).length, 0);

export function networkActions(network: Network, route: (url: string) => void): Action[] {
	return [
		{
			id: "leases",
			label: t.tabs.leases,
			obstacle: network.config.kind === "bridge" ? t.bridgeNoLeases : null,
			onSelect: () => route(href("network", { networkId: network.id, tab: "leases" })),
		},
		{
			id: "delete",
			label: t.delete,
			icon: Trash2,
			danger: true,
			divided: true,
			obstacle:
				obstacleTo("networkDelete") ?? (network.deleting ? states.deleting : nicsOn(network.id) > 0 ? t.inUse : null),
			async onSelect() {
				const title = t.deleteTitle(network.name);
				const body = h("p", {}, t.deleteText);
				if (!(await confirm({ title, body, confirmLabel: t.delete, danger: true }))) return;
				if (await act(title, "networkDelete", { id: network.id })) route(href("networks"));
			},
		},
	];
}
