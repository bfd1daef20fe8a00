/** What the cluster has and what running VMs take of it; how full the pools are. */

import { poolUsage } from "../../../src/model/storage-rules.ts";
import { useCollection } from "../../api/use.ts";
import { Skeleton, UsageBar } from "../../components/feedback.tsx";
import { Card } from "../../components/layout.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { formatBytes } from "../../lib/format.ts";
import { overview as t } from "../../strings/overview.ts";
import { usageNote } from "../storage/choices.ts";
import { hostCapacity } from "./host-capacity.ts";

const holdsMemory = new Set(["running", "paused", "starting", "stopping", "migrating"]);

export function CapacityCard() {
	const nodes = useCollection("node");
	const vms = useCollection("vm").items.value.filter(({ status }) => holdsMemory.has(status.powerState));
	const pools = useCollection("pool");
	if (nodes.state.value !== "ready" || pools.state.value !== "ready") {
		return (
			<Card title={t.capacity}>
				<Skeleton lines={5} />
			</Card>
		);
	}
	const { cpus, memoryBytes: memory } = hostCapacity(nodes.items.value);
	const usedCpus = sum(vms.map(({ spec }) => spec.cpu.vcpus));
	const usedMemory = sum(vms.map(({ spec }) => spec.memory.sizeBytes));
	return (
		<Card title={t.capacity}>
			<ul class="capacity">
				<Line
					label={t.vcpus}
					text={t.vcpusOf(usedCpus, cpus)}
					note={usedCpus > cpus && cpus > 0 ? t.overcommitted((usedCpus / cpus).toFixed(1)) : null}
					used={usedCpus}
					total={cpus}
					overcommit
				/>
				<Line
					label={t.memory}
					text={`${formatBytes(usedMemory)} / ${formatBytes(memory)}`}
					used={usedMemory}
					total={memory}
				/>
				{pools.items.value.map((pool) => {
					const usage = poolUsage(pool);
					const note = usage && usageNote(usage);
					return (
						<li key={pool.id}>
							<div class="capacity__line">
								<ResourceLink kind="pool" id={pool.id} />
								<span>{usage ? `${formatBytes(usage.usedBytes)} / ${formatBytes(usage.totalBytes)}` : ""}</span>
							</div>
							{usage && <UsageBar used={usage.usedBytes} total={usage.totalBytes} label={t.poolLabel(pool.name)} />}
							{note !== null && <p class="capacity__note">{note}</p>}
						</li>
					);
				})}
				{pools.count.value === 0 && <li class="muted">{t.noPools}</li>}
			</ul>
		</Card>
	);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

type LineProps = {
	label: string;
	text: string;
	note?: string | null;
	used: number;
	total: number;
	overcommit?: boolean;
};

function Line({ label, text, note = null, used, total, overcommit = false }: LineProps) {
	return (
		<li>
			<div class="capacity__line">
				<span>{label}</span>
				<span>{text}</span>
			</div>
			<UsageBar
				used={used}
				total={total}
				label={label}
				overcommit={overcommit}
				text={note ? `${text}, ${note}` : text}
			/>
			{note && <p class="capacity__note">{note}</p>}
		</li>
	);
}
