/** How a pool is on each of its nodes: as a row of marks, and as a table. */
import { isWorking } from "../../../src/model/pool-parts.ts";
import type { Node, Pool } from "../../api/types.ts";
import { StateBadge, StateDot } from "../../components/badge.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { poolHealthLook, type StateLook, unreportedLook } from "../../components/states.ts";
import { formatBytes } from "../../lib/format.ts";
import { byName } from "../../lib/sort.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { useNodes } from "../shared/node-column.tsx";

type NodeReport = Pool["nodes"][number];
type Line = { id: string; name: string; look: StateLook; report: NodeReport | null };

/** Of all nodes that it is to be on, by name. */
function linesOf(pool: Pool, nodes: readonly Node[]): Line[] {
	return pool.nodeIds
		.map((id): Line => {
			const report = pool.nodes.find(({ nodeId }) => nodeId === id) ?? null;
			const name = nodes.find((node) => node.id === id)?.name ?? id.slice(0, 8);
			return { id, name, look: report ? poolHealthLook(report.health) : unreportedLook, report };
		})
		.sort(byName);
}

const mostMarks = 12;

export function HealthMarks({ pool }: { pool: Pool }) {
	const lines = linesOf(pool, useNodes());
	// What is wrong is never among those that are left out.
	const shown =
		lines.length <= mostMarks
			? lines
			: [...lines]
					.sort((one, other) => Number(one.look.tone === "green") - Number(other.look.tone === "green"))
					.slice(0, mostMarks);
	return (
		<ul class="health-marks" aria-label={t.healthOf(pool.name)}>
			{shown.map(({ id, name, look, report }) => (
				<li key={id}>
					<StateDot look={{ ...look, word: t.nodeHealth(name, look.word, report?.reason ?? null) }} />
				</li>
			))}
			{lines.length > shown.length && <li class="muted">{t.moreNodes(lines.length - shown.length)}</li>}
		</ul>
	);
}

export function HealthTable({ pool }: { pool: Pool }) {
	const lines = linesOf(pool, useNodes());
	return (
		<ul class="pool-health" aria-label={t.healthOf(pool.name)}>
			{lines.map(({ id, look, report }) => (
				<li key={id} class="pool-health__line">
					<ResourceLink kind="node" id={id} />
					<StateBadge look={look} />
					<span class="pool-health__about">
						{report?.reason && <span class="pool-health__reason">{report.reason}</span>}
						{report && (
							<span class="muted">
								{report.health === "healthy" ? t.reported : t.since} <RelativeTime time={report.updatedAt} />
							</span>
						)}
						{pool.type === "local" && report && report.availableBytes !== null && (
							<span class="muted">
								{isWorking(report)
									? t.freeSpace(formatBytes(report.availableBytes))
									: t.freeBefore(formatBytes(report.availableBytes))}
							</span>
						)}
					</span>
				</li>
			))}
			{lines.length === 0 && <li class="muted">{common.none}</li>}
		</ul>
	);
}
