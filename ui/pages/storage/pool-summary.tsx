/** What there is to know of a pool: how it is reached, how it is on its nodes, what it can do. */
import type { PoolConfig } from "../../../src/model/pool-config.ts";
import { poolPlace } from "../../../src/model/storage-rules.ts";
import { live } from "../../api/live/live.ts";
import type { Pool } from "../../api/types.ts";
import { Copyable } from "../../components/copy.tsx";
import { Card, Grid, Notice, Properties, type Property, Stack } from "../../components/layout.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { poolHealthLook } from "../../components/states.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { PoolCapabilities } from "./pool-capabilities.tsx";
import { HealthTable } from "./pool-health.tsx";
import { PoolUsage } from "./pools.tsx";

export function PoolSummary({ pool }: { pool: Pool }) {
	return (
		<Stack>
			{troublesOf(pool).map(({ nodeIds, reason, health }) => (
				<Notice
					key={`${health} ${reason}`}
					tone={health === "degraded" ? "warning" : "error"}
					title={t.onNodes(nodeIds.map(nodeName).sort().join(", "), poolHealthLook(health).word)}
				>
					{reason}
				</Notice>
			))}
			<Grid wide>
				<Card title={t.details}>
					<Properties
						items={[
							pool.description !== "" && [common.description, pool.description],
							[t.usage, <PoolUsage key="usage" pool={pool} />],
							[t.type, t.types[pool.type]],
							...reachProperties(pool.config),
							[common.created, <RelativeTime key="created" time={pool.createdAt} />],
							[common.id, <Copyable key="id" text={pool.id} what={common.id} />],
						]}
					/>
				</Card>
				<Card title={t.nodes}>
					<HealthTable pool={pool} />
				</Card>
				<PoolCapabilities pool={pool} nodeName={nodeName} />
			</Grid>
		</Stack>
	);
}

const nodeName = (id: string): string => live.node.one(id).value?.name ?? id.slice(0, 8);

type Trouble = { nodeIds: string[]; health: Pool["nodes"][number]["health"]; reason: string };

/** What is the same on several nodes is said once. */
function troublesOf(pool: Pool): Trouble[] {
	const found = new Map<string, Trouble>();
	for (const { nodeId, health, reason } of pool.nodes) {
		if (health === "healthy" || reason === null) continue;
		const known = found.get(`${health} ${reason}`);
		if (known) known.nodeIds.push(nodeId);
		else found.set(`${health} ${reason}`, { nodeIds: [nodeId], health, reason });
	}
	return [...found.values()];
}

function reachProperties(config: PoolConfig): Property[] {
	const copy = (label: string, text: string): Property => [label, <Copyable key={label} text={text} what={label} />];
	if ("path" in config) return [copy(t.path, config.path)];
	if ("exportPath" in config)
		return [
			copy(t.exportPath, poolPlace({ ...config, folder: null })),
			config.folder !== null && [
				t.folderBelow,
				<span key="folder" class="mono">
					{config.folder}
				</span>,
			],
			[t.nfsVersion, config.version ?? t.newest],
			config.mountOptions.length > 0 && [t.mountOptions, <Mono key="options" text={config.mountOptions.join(", ")} />],
		];
	if ("cephPool" in config)
		return [
			[t.monitors, <Mono key="monitors" text={config.monitors.join(", ")} />],
			[t.cephUser, <Mono key="user" text={config.user} />],
			copy(t.cephPool, config.cephPool),
			config.namespace !== null && [t.namespace, <Mono key="namespace" text={config.namespace} />],
			config.dataPool !== null && [t.dataPool, <Mono key="data" text={config.dataPool} />],
		];
	return [
		[t.portals, <Mono key="portals" text={config.portals.join(", ")} />],
		copy(t.target, config.target),
		copy(t.wwid, config.wwid),
		[t.chap, t.chapKinds[config.mutualChapUser !== null ? "both" : config.chapUser !== null ? "one" : "none"]],
		[t.layout, t.layouts[config.layout]],
		[t.wipe, config.wipeOnDelete ? common.yes : common.no],
	];
}

const Mono = ({ text }: { text: string }) => <span class="mono">{text}</span>;
