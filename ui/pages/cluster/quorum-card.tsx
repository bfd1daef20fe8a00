/** The cluster in one look: is there a quorum, how many more nodes may fail, who leads, and what to do about it. */
import { CircleCheck, TriangleAlert } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { clusterStatusError } from "../../api/cluster-status.ts";
import { errorDetails } from "../../api/errors.ts";
import type { ClusterStatus } from "../../api/types.ts";
import { CopyButton } from "../../components/copy.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { Card, Notice, Stack } from "../../components/layout.tsx";
import { Prose } from "../../components/prose.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { formatCount } from "../../lib/format.ts";
import { adviceOn, missingVoters, mixedVersions, outlookOf } from "../../lib/outlook.ts";
import { cluster as clusterText } from "../../strings/cluster.ts";
import { errors } from "../../strings/errors.ts";
import { members as t } from "../../strings/members.ts";
import "./cluster.css";

export function QuorumCard({ status }: { status: ClusterStatus | null }) {
	const failed = clusterStatusError.value;
	return (
		<Card title={clusterText.quorum}>
			<Stack>
				{failed && (
					<Notice
						tone="warning"
						title={t.loadFailed}
						actions={<CopyButton text={() => errorDetails(failed)} label={errors.copy} />}
					>
						{failed.message}
					</Notice>
				)}
				{status ? <Verdict status={status} /> : !failed && <Skeleton lines={3} />}
			</Stack>
		</Card>
	);
}

function Verdict({ status }: { status: ClusterStatus }) {
	const { quorum, removed, recoveredElsewhere, leaderNodeId, commitIndex, appliedIndex, term, members } = status;
	const { reachable } = outlookOf(members);
	const { voterCount, quorumSize, failuresTolerated } = status;
	const Mark = quorum ? CircleCheck : TriangleAlert;
	const missing = missingVoters(status);
	return (
		<>
			<div class={`quorum quorum--${quorum ? "yes" : "no"}`}>
				<Mark size={28} class="quorum__mark" aria-hidden="true" />
				<div>
					<p class="quorum__word">{titleOf({ quorum, removed, recoveredElsewhere })}</p>
					<p class="muted">
						{t.reachedOf(reachable, voterCount)}, {quorum ? t.mayFail(failuresTolerated) : t.needed(quorumSize)}
					</p>
				</div>
			</div>
			<dl class="quorum__figures">
				<Figure label={t.figures.voters}>{voterCount}</Figure>
				<Figure label={t.figures.needed}>{quorumSize}</Figure>
				<Figure label={t.figures.reached}>{reachable}</Figure>
				<Figure label={t.figures.mayFail}>{quorum ? failuresTolerated : 0}</Figure>
				<Figure label={t.figures.leader}>
					{leaderNodeId === null ? (
						<span class="muted">{t.noLeader}</span>
					) : (
						<ResourceLink kind="node" id={leaderNodeId} plain />
					)}
				</Figure>
				<Figure label={t.figures.changes} title={t.changesTitle(formatCount(appliedIndex), term)}>
					{formatCount(commitIndex)}
				</Figure>
			</dl>
			<Remarks status={status} missing={missing} />
		</>
	);
}

function titleOf({
	quorum,
	removed,
	recoveredElsewhere,
}: Pick<ClusterStatus, "quorum" | "removed" | "recoveredElsewhere">) {
	if (removed) return t.removedTitle;
	if (quorum) return t.quorumYes;
	return recoveredElsewhere ? t.recoveredTitle : t.quorumNo;
}

function Figure({ label, title, children }: { label: string; title?: string; children: ComponentChildren }) {
	return (
		<div class="quorum__figure" title={title}>
			<dt>{label}</dt>
			<dd>{children}</dd>
		</div>
	);
}

function Remarks({ status, missing }: { status: ClusterStatus; missing: readonly string[] }) {
	const advice = adviceOn(status.members);
	const mixed = mixedVersions(status.members);
	return (
		<>
			{status.problem !== null && (
				<Notice tone={status.quorum ? "warning" : "error"}>
					<p>
						<Prose text={status.problem} />
					</p>
					{missing.length > 0 && <p>{t.missing(missing.join(", "))}</p>}
				</Notice>
			)}
			{advice !== null && status.quorum && <Notice>{t.advice[advice]}</Notice>}
			{mixed && (
				<Notice tone="warning" title={t.mixedTitle}>
					<ul>
						{mixed.versions.map(({ version, names }) => (
							<li key={version}>{t.mixedVersion(version, names.join(", "))}</li>
						))}
					</ul>
					{mixed.heldBack.length === 0 ? (
						<p>{t.nothingHeldBack}</p>
					) : (
						mixed.heldBack.map(({ feature, missingOn }) => (
							<p key={feature}>{t.heldBack(feature, missingOn.join(", "))}</p>
						))
					)}
				</Notice>
			)}
		</>
	);
}
