/** The members of the cluster: their part in it, and how well they are reached. */
import { clusterStatus, clusterStatusError, refreshClusterStatus } from "../../api/cluster-status.ts";
import type { ClusterStatus } from "../../api/types.ts";
import { Label, StateBadge, WarningMark } from "../../components/badge.tsx";
import { Copyable } from "../../components/copy.tsx";
import type { Action } from "../../components/menu.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import type { StateLook, Tone } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { formatCount } from "../../lib/format.ts";
import { isSpare, mixedVersions } from "../../lib/outlook.ts";
import { cluster as clusterText } from "../../strings/cluster.ts";
import { common } from "../../strings/common.ts";
import { members as t } from "../../strings/members.ts";
import { CertificateEnd, CertificateMark } from "./certificate.tsx";
import { ClockMark, ClockOffset } from "./clock.tsx";
import type { Member } from "./member-actions.tsx";
import "./cluster.css";

const roleTones: Record<Member["role"], Tone> = { leader: "green", follower: "grey", learner: "blue" };

function linkLook({ reachable, recovering, receivesSnapshot }: Member): StateLook {
	if (!reachable) return { tone: "red", word: t.notReached };
	if (recovering) return { tone: "amber", word: t.recovering };
	if (receivesSnapshot) return { tone: "blue", word: t.receives, moving: true };
	return { tone: "green", word: t.reached };
}

const formatMs = (ms: number): string => t.milliseconds(ms < 10 ? ms.toFixed(1) : ms.toFixed(0));

const isHere = ({ nodeId }: Member): boolean => clusterStatus.value?.nodeId === nodeId;

const columns: readonly Column<Member>[] = [
	{
		id: "name",
		header: common.name,
		cell: (member) => (
			<span class="member-name">
				<ResourceLink kind="node" id={member.nodeId} name={member.name} />
				{isHere(member) && <span class="muted">{t.here}</span>}
				{/* Not beside the date, for which a narrow table has no room. */}
				<CertificateMark member={member} />
				<ClockMark member={member} />
			</span>
		),
		sort: ({ name }) => name,
		fixed: true,
		card: "title",
	},
	{
		id: "role",
		header: t.role,
		cell: (member) => <Role member={member} />,
		sort: ({ role }) => t.roles[role],
		width: "132px",
		fixed: true,
	},
	{
		id: "link",
		header: t.link,
		cell: (member) => (
			<StateBadge
				look={linkLook(member)}
				note={member.recovering ? t.recoveringTitle : member.receivesSnapshot ? t.receivesTitle : null}
			/>
		),
		sort: (member) => linkLook(member).word,
		width: "138px",
		fixed: true,
		card: "badge",
	},
	{
		id: "lag",
		header: t.lag,
		cell: ({ lagEntries }) => <span title={t.lagTitle}>{lagEntries === null ? "–" : formatCount(lagEntries)}</span>,
		sort: ({ lagEntries }) => lagEntries,
		width: "72px",
	},
	{
		id: "latency",
		header: t.latency,
		cell: ({ latencyMs }) => <span title={t.latencyTitle}>{latencyMs === null ? "–" : formatMs(latencyMs)}</span>,
		sort: ({ latencyMs }) => latencyMs,
		width: "82px",
	},
	{
		id: "version",
		header: clusterText.version,
		cell: (member) => <Version member={member} />,
		sort: ({ version }) => version,
		width: "100px",
	},
	{
		id: "addresses",
		header: t.addresses,
		cell: ({ peerAddresses }) => (
			<span class="mono" title={peerAddresses.join("\n")}>
				{peerAddresses.join(", ") || "–"}
			</span>
		),
		sort: ({ peerAddresses }) => peerAddresses[0],
		width: "150px",
	},
	{
		id: "certificate",
		header: t.certificate,
		cell: (member) => <CertificateEnd member={member} />,
		sort: ({ certificateExpiresAt }) => certificateExpiresAt,
		width: "112px",
	},
	{
		id: "clock",
		header: t.clock,
		cell: (member) => <ClockOffset member={member} />,
		sort: ({ clockOffsetMs }) => clockOffsetMs,
		width: "200px",
		hidden: true,
	},
	{
		id: "id",
		header: common.id,
		cell: ({ nodeId }) => <Copyable text={nodeId} what={common.id} />,
		width: "330px",
		hidden: true,
	},
];

function Role({ member }: { member: Member }) {
	const { role, witness } = member;
	const spare = isSpare(member, { voterCount: clusterStatus.value?.voterCount ?? 0 });
	return (
		<span title={spare ? t.spareTitle : witness ? t.witnessTitle : t.roleTitles[role]}>
			{/* Blue is for what passes. */}
			<Label tone={spare ? "grey" : roleTones[role]}>{witness ? t.witnessRoles[role] : t.roles[role]}</Label>
		</span>
	);
}

function Version({ member }: { member: Member }) {
	const mixed = mixedVersions(clusterStatus.value?.members ?? []);
	if (member.version === null) return <span class="muted">{common.unknown}</span>;
	const isOlder = mixed !== null && member.version !== mixed.versions.at(-1)?.version;
	return (
		<span>
			{member.version} {isOlder && <WarningMark text={t.older} />}
		</span>
	);
}

type Props = { status: ClusterStatus | null; actionsOf: (member: Member) => readonly Action[] };

export function MembersTable({ status, actionsOf }: Props) {
	const error = clusterStatusError.value;
	const rows: Member[] = (status?.members ?? []).map((member) => ({ ...member, id: member.nodeId }));
	return (
		<DataTable
			name="members"
			caption={t.caption}
			rows={rows}
			columns={columns}
			rowLabel={({ name }) => name}
			defaultSort="name"
			inAddress={false}
			state={status ? "ready" : error ? "error" : "loading"}
			error={error}
			onRetry={() => void refreshClusterStatus()}
			rowActions={actionsOf}
		/>
	);
}
