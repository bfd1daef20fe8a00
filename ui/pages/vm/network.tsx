/** The NICs of a VM. */
import { EthernetPort, Plus } from "lucide-preact";
import { h } from "preact";
import { useState } from "preact/hooks";
import { toastFailure } from "../../api/notify.ts";
import type { Vm } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Label } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { confirm } from "../../components/confirm.tsx";
import { Copyable } from "../../components/copy.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { Card, Notice, Stack } from "../../components/layout.tsx";
import type { Action } from "../../components/menu.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { devices as t } from "../../strings/devices.ts";
import { NicPanel } from "./nic-panel.tsx";
import { updateVm } from "./update.ts";
import { obstacleOf } from "./vm-actions.ts";

export type Nic = Vm["spec"]["nics"][number];
type NicRow = Nic & { addresses: string[] };

const columns: readonly Column<NicRow>[] = [
	{ id: "id", header: t.device, cell: ({ id }) => id, width: "100px", fixed: true, card: "title" },
	{ id: "network", header: t.network, cell: ({ networkId }) => <ResourceLink kind="network" id={networkId} /> },
	{
		id: "addresses",
		header: t.addresses,
		cell: ({ addresses }) =>
			addresses[0] === undefined ? (
				<span class="muted">–</span>
			) : (
				<span title={addresses.join("\n")}>
					<Copyable text={addresses[0]} what={addresses[0]} />
					{addresses.length > 1 && ` +${addresses.length - 1}`}
				</span>
			),
		width: "210px",
	},
	{ id: "mac", header: t.mac, cell: ({ mac }) => <span class="mono">{mac}</span>, width: "170px" },
	{ id: "model", header: t.model, cell: ({ model }) => t.models[model], width: "120px", card: "none" },
	{
		id: "link",
		header: t.link,
		cell: ({ linkUp }) => <Label tone={linkUp ? "green" : "grey"}>{linkUp ? t.linkUp : t.linkDown}</Label>,
		width: "110px",
		card: "badge",
	},
];

export function NetworkTab({ vm }: { vm: Vm }) {
	const [editing, setEditing] = useState<Nic | "new" | null>(null);
	const networks = useCollection("network");
	const obstacle = obstacleOf("update-hardware", "vmUpdate", vm);
	const rows = vm.spec.nics.map((nic) => ({
		...nic,
		addresses: vm.status.addresses.filter(({ mac }) => mac === nic.mac).map(({ address }) => address),
	}));
	const update = (nics: Nic[]) =>
		void updateVm(vm, { nics }).catch((error: unknown) => toastFailure(t.nicFailed, error));
	const actions = (row: NicRow): Action[] => [
		{
			id: "edit",
			label: t.editNic,
			obstacle,
			onSelect: () => setEditing(vm.spec.nics.find(({ id }) => id === row.id) ?? null),
		},
		{
			id: "link",
			label: row.linkUp ? t.disconnect : t.connect,
			obstacle,
			onSelect: () => update(vm.spec.nics.map((nic) => (nic.id === row.id ? { ...nic, linkUp: !nic.linkUp } : nic))),
		},
		{
			id: "remove",
			label: t.removeNic,
			danger: true,
			divided: true,
			obstacle,
			onSelect: async () => {
				const body = h("p", {}, t.removeNicText);
				if (await confirm({ title: t.removeNicTitle(row.id), body, confirmLabel: t.removeNic, danger: true })) {
					update(vm.spec.nics.filter(({ id }) => id !== row.id));
				}
			},
		},
	];
	return (
		<Stack>
			{vm.status.powerState === "running" && <Notice>{t.nextStart}</Notice>}
			<Card
				title={t.nics}
				flush
				actions={
					<Button
						small
						icon={Plus}
						obstacle={obstacle ?? (networks.count.value === 0 ? t.noNetworks : null)}
						onClick={() => setEditing("new")}
					>
						{t.addNic}
					</Button>
				}
			>
				<DataTable
					name="vm-nics"
					caption={t.nicsCaption}
					rows={rows}
					columns={columns}
					rowLabel={({ id }) => id}
					rowActions={actions}
					inAddress={false}
					empty={<EmptyState icon={EthernetPort} title={t.noNics} text={t.noNicsText} />}
				/>
			</Card>
			{editing && <NicPanel vm={vm} nic={editing === "new" ? null : editing} onClose={() => setEditing(null)} />}
		</Stack>
	);
}
