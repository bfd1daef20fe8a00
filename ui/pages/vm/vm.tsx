/** The page of one VM. */

import { Monitor } from "lucide-preact";
import { useLocation } from "preact-iso";
import type { Vm } from "../../api/types.ts";
import { useObject, useSnapshots } from "../../api/use.ts";
import { Label, Tags } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { EmptyState, ErrorState, PageSkeleton } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Page, type TabLink } from "../../components/page.tsx";
import { useParams } from "../../lib/params.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { vm as t } from "../../strings/vm.ts";
import { VmState } from "../vms/vms.tsx";
import { ConsoleTab } from "./console/console-tab.tsx";
import { DisksTab } from "./disks.tsx";
import { LogTab, XmlTab } from "./inspect.tsx";
import { NetworkTab } from "./network.tsx";
import { SettingsTab } from "./settings/settings-tab.tsx";
import { SnapshotsTab } from "./snapshots/snapshots-tab.tsx";
import { SummaryTab } from "./summary.tsx";
import { VmTasksTab } from "./tasks-tab.tsx";
import { consoleAction, deleteAction, moveAction, powerAction, snapshotAction } from "./vm-actions.ts";

const tabs = {
	summary: SummaryTab,
	console: ConsoleTab,
	disks: DisksTab,
	snapshots: SnapshotsTab,
	network: NetworkTab,
	settings: SettingsTab,
	tasks: VmTasksTab,
	log: LogTab,
	xml: XmlTab,
};
type TabId = keyof typeof tabs;
const tabIds = Object.keys(tabs) as TabId[];

export default function VmPage() {
	const { vmId } = useParams<"vm">();
	const known = useObject("vm", vmId);
	switch (known.state) {
		case "loading":
			return <PageSkeleton />;
		case "error":
			return <ErrorState error={known.error} onRetry={known.retry} />;
		case "gone":
			return (
				<EmptyState icon={Monitor} title={common.notFoundTitle} text={t.gone}>
					<Button kind="primary" href={href("vms")}>
						{t.backToList}
					</Button>
				</EmptyState>
			);
		case "ready":
			return <VmView vm={known.object} />;
	}
}

function VmView({ vm }: { vm: Vm }) {
	const { route } = useLocation();
	const asked = useParams<"vm">().tab;
	const tab = tabIds.find((id) => id === asked) ?? "summary";
	const Content = tabs[tab];
	const snapshots = useSnapshots(vm.id).count.value;
	const links: TabLink[] = tabIds.map((id) => ({
		id,
		label: t.tabs[id],
		...(id === "snapshots" ? { count: snapshots } : {}),
		href: href("vm", { vmId: vm.id, tab: id === "summary" ? undefined : id }),
	}));
	const stopped = vm.status.powerState === "stopped" || vm.status.powerState === "failed";
	const console = consoleAction(vm, route);
	return (
		<Page
			title={vm.name}
			icon={resourceIcons.vm}
			parent={{ label: t.title, href: href("vms") }}
			fill={tab === "console"}
			badges={
				<>
					<VmState vm={vm} />
					{vm.status.pendingRestart && <Label tone="amber">{t.restartPending}</Label>}
					<Tags tags={vm.tags} />
				</>
			}
			primary={[
				{ ...powerAction("start", vm), quiet: !stopped },
				{ ...powerAction("shutdown", vm), quiet: true },
				{ ...console, quiet: true },
			]}
			menu={[
				...(["stop", "reset", "pause", "resume"] as const).map((verb) => powerAction(verb, vm)),
				{ ...snapshotAction(vm), divided: true },
				moveAction(vm),
				deleteAction(vm, () => route(href("vms"))),
			]}
			tabs={links}
			currentTab={tab}
			tabsLabel={t.tabsLabel}
		>
			<Content key={`${vm.id}-${tab}`} vm={vm} />
		</Page>
	);
}
