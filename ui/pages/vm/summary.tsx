/** What the VM is and how it is doing. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { live } from "../../api/live/live.ts";
import type { Vm } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Button } from "../../components/button.tsx";
import { Copyable } from "../../components/copy.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { Card, Grid, Notice, Properties, Stack } from "../../components/layout.tsx";
import { Prose } from "../../components/prose.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { formatBytes } from "../../lib/format.ts";
import { lazyPage } from "../../lib/lazy-page.tsx";
import { common } from "../../strings/common.ts";
import { devices } from "../../strings/devices.ts";
import { move } from "../../strings/move.ts";
import { cloudInit } from "../../strings/settings.ts";
import { vm as t } from "../../strings/vm.ts";
import { nodeNames } from "../shared/node-names.ts";
import { ScreenCard } from "./screen.tsx";
import { moveAction } from "./vm-actions.ts";
import "./vm.css";

const VmMetrics = lazyPage(
	() => import("./metrics.tsx"),
	<Card title={t.metrics.title}>
		<Skeleton lines={4} />
	</Card>,
);

export function SummaryTab({ vm }: { vm: Vm }) {
	return (
		<Stack>
			<VmNotices vm={vm} />
			<div class="vm-summary">
				<Stack>
					<ScreenCard vm={vm} />
					<GuestCard vm={vm} />
				</Stack>
				<Stack>
					<VmMetrics vm={vm} />
					<Grid>
						<HardwareCard vm={vm} />
						<IdentityCard vm={vm} />
					</Grid>
				</Stack>
			</div>
		</Stack>
	);
}

/** What somebody should read before anything else. */
function VmNotices({ vm }: { vm: Vm }) {
	const { powerState, reason, error, pendingRestart, differences } = vm.status;
	const s = t.summary;
	const node = live.node.one(vm.nodeId).value;
	// That it is unknown says already that the node is not heard of.
	const saysOfNode = powerState === "unknown" && node?.status.lost === true;
	return (
		<>
			{vm.alsoRunsOn !== undefined && (
				<Notice tone="error" title={t.alsoRunsOn(nodeNames(vm.alsoRunsOn))}>
					<Prose text={t.alsoRunsText(vm.name, nodeNames(vm.alsoRunsOn), vm.id)} />
				</Notice>
			)}
			{node?.status.phase === "not-ready" && !saysOfNode && (
				<Notice tone="warning" title={t.nodeAway(node.name)}>
					{s.shownAsOf} <RelativeTime time={vm.status.updatedAt} />. {node.status.reason}
				</Notice>
			)}
			{powerState === "failed" && (
				<Notice tone="error" title={s.failedTitle}>
					{reason && <p>{reason}</p>}
					{error && <p>{error.message}</p>}
				</Notice>
			)}
			{powerState !== "failed" && error && (
				<Notice tone="error" title={s.error}>
					{error.message}
				</Notice>
			)}
			{powerState === "unknown" && <UnknownNotice vm={vm} reason={reason} />}
			{pendingRestart && (
				<Notice tone="warning" title={s.pending}>
					{s.pendingText}
				</Notice>
			)}
			{differences.length > 0 && (
				<Notice tone="warning" title={s.differences}>
					<ul>
						{differences.map(({ field, wanted, found, repair }) => (
							<li key={field}>
								{s.difference(field, wanted, found)} <span class="muted">({s.repair[repair]})</span>
							</li>
						))}
					</ul>
				</Notice>
			)}
		</>
	);
}

/** Nobody knows whether it runs: what its node is like, and what can be done without it. */
function UnknownNotice({ vm, reason }: { vm: Vm; reason: string | null }) {
	const { label, obstacle, onSelect } = { ...moveAction(vm), label: move.moveElsewhere };
	return (
		<Notice
			tone="warning"
			title={t.summary.unknownTitle}
			actions={
				<Button small obstacle={obstacle} onClick={onSelect}>
					{label}
				</Button>
			}
		>
			{reason} {t.summary.shownAsOf} <RelativeTime time={vm.status.updatedAt} />.
		</Notice>
	);
}

function HardwareCard({ vm }: { vm: Vm }) {
	const { cpu, memory, disks, firmware, tpm } = vm.spec;
	const volumes = useCollection("volume");
	const s = t.summary;
	const maxMemory = formatBytes(memory.maxSizeBytes);
	return (
		<Card title={s.hardware}>
			<Properties
				items={[
					[t.vcpus, s.cpu(cpu.vcpus, cpu.maxVcpus)],
					[
						t.memory,
						memory.maxSizeBytes > memory.sizeBytes
							? s.memoryUpTo(formatBytes(memory.sizeBytes), maxMemory)
							: formatBytes(memory.sizeBytes),
					],
					...disks.map(({ id, volumeId }): [string, ComponentChildren] => {
						const size = volumes.one(volumeId).value?.sizeBytes;
						return [
							id,
							<>
								<ResourceLink kind="volume" id={volumeId} plain />{" "}
								{size !== undefined && <span class="muted">{formatBytes(size)}</span>}
							</>,
						];
					}),
					[t.firmware, t.firmwares[firmware]],
					tpm && [s.tpm, common.yes],
					vm.status.accelerator !== null && [s.accelerator, t.accelerator[vm.status.accelerator]],
				]}
			/>
		</Card>
	);
}

function GuestCard({ vm }: { vm: Vm }) {
	const { addresses, startedAt } = vm.status;
	const s = t.summary;
	return (
		<Card title={s.guest}>
			<Properties
				items={[
					[
						t.addresses,
						addresses.length === 0 ? (
							<span class="muted">{s.noAddresses}</span>
						) : (
							<ul>
								{addresses.map(({ address }) => (
									<li key={address}>
										<Copyable text={address} what={address} />
									</li>
								))}
							</ul>
						),
					],
					...vm.spec.nics.map(({ id, networkId }): [string, ComponentChildren] => [
						`${devices.network} (${id})`,
						<ResourceLink key={id} kind="network" id={networkId} plain />,
					]),
					startedAt !== null && [t.started, <RelativeTime key="started" time={startedAt} />],
				]}
			/>
		</Card>
	);
}

const longText = 240;

function IdentityCard({ vm }: { vm: Vm }) {
	const [whole, setWhole] = useState(false);
	const { description } = vm;
	const cut = description.length > longText && !whole;
	const init = vm.spec.cloudInit;
	return (
		<Card title={t.summary.identity}>
			<Properties
				items={[
					description !== "" && [
						common.description,
						<span key="text" class="vm-summary__text">
							{cut ? `${description.slice(0, longText)}… ` : description}
							{cut && (
								<button type="button" class="link-button" onClick={() => setWhole(true)}>
									{common.show}
								</button>
							)}
						</span>,
					],
					[t.node, <ResourceLink key="node" kind="node" id={vm.nodeId} />],
					[t.summary.autostart, vm.spec.autostart.enabled ? common.yes : common.no],
					init !== null && [
						t.summary.cloudInit,
						init.kind === "form" ? cloudInit.summaryForm(init.users.length) : cloudInit.summaryRaw,
					],
					[common.created, <RelativeTime key="created" time={vm.createdAt} />],
					[common.id, <Copyable key="id" text={vm.id} what={common.id} />],
				]}
			/>
		</Card>
	);
}
