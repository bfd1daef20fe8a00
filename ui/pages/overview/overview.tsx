/** The overview: how the cluster is, what needs somebody, what it has, what was done last. */

import { CircleCheck, LayoutDashboard, Plus } from "lucide-preact";
import { useEffect } from "preact/hooks";
import { useLocation } from "preact-iso";
import { useClusterStatus } from "../../api/cluster-status.ts";
import { cluster } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import { useCollection } from "../../api/use.ts";
import { Skeleton } from "../../components/feedback.tsx";
import { Card, Grid, Notice, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { problems } from "../../frame/attention.ts";
import { readStored, writeStored } from "../../lib/storage.ts";
import { href } from "../../routes.ts";
import { attention, overview as t } from "../../strings/overview.ts";
import { CapacityCard } from "./capacity.tsx";
import { NodesCard } from "./nodes.tsx";
import { RecentTasks } from "./recent-tasks.tsx";
import { VmsCard } from "./vm-states.tsx";
import "./overview.css";

export default function OverviewPage() {
	const { route } = useLocation();
	const info = cluster.value;
	useEffect(() => {
		// Once: whoever leaves the welcome page does not get it again.
		if (info?.firstRun !== true || readStored("local", "welcomed", "") === info.id) return;
		writeStored("local", "welcomed", info.id);
		route(href("welcome"), true);
	}, [info?.firstRun]);
	return (
		<Page
			title={info?.name ?? t.title}
			icon={LayoutDashboard}
			badges={info && <span class="muted overview__version">{t.clusterLine(info.version)}</span>}
			primary={[
				{ id: "create", label: t.createVm, icon: Plus, href: href("vmCreate"), obstacle: obstacleTo("vmCreate") },
			]}
		>
			<Stack>
				<AcceleratorNotice />
				<Grid>
					<VmsCard />
					<CapacityCard />
					<AttentionCard />
				</Grid>
				<NodesCard />
				<RecentTasks />
			</Stack>
		</Page>
	);
}

const namesOf = (nodes: readonly { name: string }[]): string =>
	nodes
		.map(({ name }) => name)
		.sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
		.join(", ");

/** Slow VMs without a word about it would look like a fault. */
function AcceleratorNotice() {
	const slow = useCollection("node").items.value.filter(({ status }) => status.accelerator === "tcg");
	if (slow.length === 0) return null;
	// Where the hosts are alike it is the same for all: said once.
	const reasons = [...new Set(slow.map(({ status }) => status.acceleratorReason))].filter((reason) => reason !== null);
	const nodesWith = (reason: string) => slow.filter(({ status }) => status.acceleratorReason === reason);
	return (
		<Notice tone="warning" title={t.tcgTitle}>
			<p>{t.tcgText(namesOf(slow))}</p>
			{reasons.map((reason) => (
				<p key={reason}>{reasons.length > 1 ? t.reasonOf(namesOf(nodesWith(reason)), reason) : reason}</p>
			))}
		</Notice>
	);
}

const mostShown = 6;

function AttentionCard() {
	// What is wrong with members is in their status, which is read while somebody looks.
	useClusterStatus();
	const found = problems.value;
	const loading = useCollection("vm").state.value === "loading";
	return (
		<Card title={attention.title} actions={found.length > 0 && <span class="muted">{found.length}</span>}>
			{loading ? (
				<Skeleton />
			) : found.length === 0 ? (
				<p class="attention__none">
					<CircleCheck size={16} aria-hidden="true" />
					{attention.nothing}
				</p>
			) : (
				<ul class="attention">
					{found.slice(0, mostShown).map((problem) => (
						<li key={problem.id} class={`attention__item attention__item--${problem.severity}`}>
							<RefLink kind={problem.kind} id={problem.objectId} name={problem.name} />
							<span class="attention__text">{problem.text}</span>
						</li>
					))}
					{found.length > mostShown && <li class="muted">{attention.more(found.length - mostShown)}</li>}
				</ul>
			)}
		</Card>
	);
}
