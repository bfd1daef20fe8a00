/** What everybody must know before believing the page: the stream is lost, or the cluster has no quorum. */
import { LoaderCircle, TriangleAlert, WifiOff } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useClusterStatus } from "../api/cluster-status.ts";
import { cluster, live, retryConnection } from "../api/live/live.ts";
import { slowWrites } from "../api/patience.ts";
import { staleness } from "../api/staleness.ts";
import { Button } from "../components/button.tsx";
import { Prose } from "../components/prose.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { otherNodeLinks } from "../lib/other-nodes.ts";
import { missingVoters, outlookOf } from "../lib/outlook.ts";
import { href } from "../routes.ts";
import { frame as t } from "../strings/frame.ts";
import "./banners.css";

export function Banners() {
	const stale = staleness.value;
	const noQuorum = cluster.value?.quorum === false;
	return (
		<div class="banners" role="status">
			{stale?.cause === "connection" && <LostBanner asOf={stale.asOf} />}
			{noQuorum && <NoQuorumBanner />}
			{!noQuorum && stale === null && slowWrites.value > 0 && (
				<div class="banner banner--info">
					<LoaderCircle size={16} class="spin" aria-hidden="true" />
					<p>{t.slowWrite}</p>
				</div>
			)}
		</div>
	);
}

function NoQuorumBanner() {
	const status = useClusterStatus();
	const missing = status === null ? [] : missingVoters(status);
	if (status?.removed) {
		return (
			<Problem title={t.removed} text={t.removedText}>
				<OtherNodes but={status.nodeId} />
			</Problem>
		);
	}
	// Each is reached from here, and yet there is none: the node knows more about that.
	if (status?.quorum === false && status.problem !== null && missing.length === 0 && !status.recoveredElsewhere)
		return <Problem title={t.noQuorum} text={status.problem} />;
	if (status?.recoveredElsewhere) return <Problem title={t.recovered} text={t.recoveredText} />;
	return (
		<Problem
			title={t.noQuorum}
			text={status ? t.quorumMissing(outlookOf(status.members).reachable, status.quorumSize, status.voterCount) : ""}
		>
			{missing.length > 0 && t.notReached(missing.join(", "))} {t.noQuorumText}
		</Problem>
	);
}

function Problem({ title, text, children }: { title: string; text: string; children?: ComponentChildren }) {
	const stale = staleness.value;
	return (
		<div class="banner banner--error">
			<TriangleAlert size={16} aria-hidden="true" />
			<p>
				<strong>{title}</strong> <Prose text={text} /> {children}{" "}
				{stale?.asOf ? (
					<>
						{t.shownAsOf} <RelativeTime time={stale.asOf} />
					</>
				) : (
					t.shownOld
				)}
			</p>
			<a href={href("cluster")}>{t.cluster}</a>
		</div>
	);
}

function LostBanner({ asOf }: { asOf: string | null }) {
	return (
		<div class="banner banner--warning">
			<WifiOff size={16} aria-hidden="true" />
			<p>
				{t.reconnecting} <RelativeTime time={asOf} /> <OtherNodes />
			</p>
			<Button small onClick={retryConnection}>
				{t.reconnectNow}
			</Button>
		</div>
	);
}

/** Where the same cluster may be looked at meanwhile. */
function OtherNodes({ but }: { but?: string }) {
	const others = live.node.items.value.filter(({ id }) => id !== but);
	const links = otherNodeLinks(others, location);
	if (links.length === 0) return null;
	return (
		<>
			{t.otherNodes}{" "}
			{links.map(({ name, url }, index) => (
				<span key={url}>
					{index > 0 && ", "}
					<a href={url}>{name}</a>
				</span>
			))}
		</>
	);
}
