/** VMs that something else made on this node, and taking them over. */
import { Import, Monitor } from "lucide-preact";
import { read } from "../../api/call.ts";
import { obstacleTo } from "../../api/session.ts";
import type { ForeignVm } from "../../api/types.ts";
import { useQuery } from "../../api/use.ts";
import { act } from "../../api/write.ts";
import { StateBadge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { confirm } from "../../components/confirm.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { Stack } from "../../components/layout.tsx";
import { powerLook } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { cluster } from "../../strings/cluster.ts";
import { common } from "../../strings/common.ts";
import { vm as vmText } from "../../strings/vm.ts";

const t = cluster.foreign;

const columns: readonly Column<ForeignVm>[] = [
	{ id: "name", header: common.name, cell: ({ name }) => name, sort: ({ name }) => name, card: "title", fixed: true },
	{
		id: "state",
		header: common.state,
		cell: ({ powerState }) => <StateBadge look={powerLook(powerState)} />,
		width: "120px",
		card: "badge",
	},
	{ id: "vcpus", header: vmText.vcpus, cell: ({ vcpus }) => vcpus, width: "80px", align: "end" },
	{
		id: "memory",
		header: vmText.memory,
		cell: ({ memoryBytes }) => formatBytes(memoryBytes),
		width: "100px",
		align: "end",
	},
	{
		id: "obstacles",
		header: t.adopt,
		cell: ({ obstacles }) => (
			<span class={obstacles.length === 0 ? "" : "muted"} title={obstacles.join("\n")}>
				{obstacles.length === 0 ? t.ready : obstacles.join(" ")}
			</span>
		),
		width: "40%",
	},
];

function AdoptText({ changes }: { changes: readonly string[] }) {
	return (
		<Stack>
			<p>{t.adoptText}</p>
			<p>{changes.length > 0 ? t.adoptChanges : t.adoptSame}</p>
			{changes.length > 0 && (
				<ul class="bullets">
					{changes.map((change) => (
						<li key={change}>{change}</li>
					))}
				</ul>
			)}
		</Stack>
	);
}

export function ForeignVms({ nodeId }: { nodeId: string }) {
	const obstacle = obstacleTo("foreignVmList");
	const query = useQuery(nodeId, async (signal) =>
		obstacle ? [] : (await read("foreignVmList", { query: { nodeId }, signal })).items,
	);
	if (obstacle) return <EmptyState icon={Monitor} title={cluster.tabs.foreign} text={obstacle} />;
	const rows = query.data ?? [];
	const adopt = async (vm: ForeignVm) => {
		const body = <AdoptText changes={vm.changes} />;
		if (!(await confirm({ title: t.adoptTitle(vm.name), body, confirmLabel: t.adopt }))) return;
		if (await act(t.adoptFailed(vm.name), "foreignVmAdopt", { id: vm.id, query: { nodeId } })) query.reload();
	};
	return (
		<Stack>
			<p class="muted">{t.text}</p>
			<DataTable
				name="foreign-vms"
				caption={t.caption}
				rows={rows}
				columns={columns}
				rowLabel={({ name }) => name}
				inAddress={false}
				state={query.data ? "ready" : query.error ? "error" : "loading"}
				error={query.error}
				onRetry={query.reload}
				tools={
					<Button small busy={query.loading} onClick={query.reload}>
						{common.reload}
					</Button>
				}
				rowActions={(vm) => [
					{
						id: "adopt",
						label: t.adopt,
						icon: Import,
						obstacle: obstacleTo("foreignVmAdopt") ?? (vm.obstacles.length > 0 ? vm.obstacles.join("\n") : null),
						onSelect: () => void adopt(vm),
					},
				]}
				empty={<EmptyState icon={Monitor} title={t.empty} text={t.emptyText} />}
			/>
		</Stack>
	);
}
