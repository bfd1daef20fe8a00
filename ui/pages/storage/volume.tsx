/** The page of one volume. */
import { HardDrive, Pencil } from "lucide-preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { provisioningOf } from "../../../src/model/storage-rules.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Volume } from "../../api/types.ts";
import { useCollection, useObject } from "../../api/use.ts";
import { Copyable } from "../../components/copy.tsx";
import { EmptyState, ErrorState, PageSkeleton, UsageBar } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Card, Grid, Notice, Properties, Stack, unknownValue } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { formatBytes } from "../../lib/format.ts";
import { useParams } from "../../lib/params.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { EditObjectPanel } from "../shared/edit-object.tsx";
import { useHolders } from "./around-volume.ts";
import { CheckVolumeDialog } from "./check-volume-dialog.tsx";
import { CloneDialog } from "./clone-dialog.tsx";
import { MakeImageDialog } from "./make-image-dialog.tsx";
import { MoveVolumeDialog } from "./move-volume-dialog.tsx";
import { ResizeDialog } from "./resize-dialog.tsx";
import { volumeActions } from "./volume-actions.ts";
import { VolumeBadge } from "./volume-badge.tsx";
import { volumeState } from "./volume-state.ts";
import { WorkCard } from "./work-card.tsx";
import "./storage.css";

export default function VolumePage() {
	const { volumeId } = useParams<"volume">();
	const known = useObject("volume", volumeId);
	if (known.state === "loading") return <PageSkeleton />;
	if (known.state === "error") return <ErrorState error={known.error} onRetry={known.retry} />;
	if (known.state === "gone") return <EmptyState icon={HardDrive} title={common.notFoundTitle} text={t.volumeGone} />;
	return <VolumeView volume={known.object} />;
}

function VolumeView({ volume }: { volume: Volume }) {
	const { route } = useLocation();
	const [open, setOpen] = useState<"rename" | "clone" | "resize" | "image" | "move" | "check" | "repair" | null>(null);
	const close = () => setOpen(null);
	// The state of the VM decides what may be done with its disk.
	const vm = useCollection("vm").one(volume.vmId ?? "").value;
	useCollection("task");
	useCollection("pool");
	useCollection("volume");
	useCollection("image");
	useHolders(volume);
	const actions = volumeActions(volume, {
		onClone: () => setOpen("clone"),
		onResize: () => setOpen("resize"),
		onMakeImage: () => setOpen("image"),
		onMove: () => setOpen("move"),
		onCheck: () => setOpen("check"),
		route,
		after: () => route(href("volumes")),
	});
	return (
		<Page
			key={vm?.status.powerState}
			title={volume.name}
			icon={resourceIcons.volume}
			parent={{ label: t.volumes, href: href("volumes") }}
			badges={<VolumeBadge volume={volume} />}
			primary={actions.filter(({ id }) => id === "resize").map((action) => ({ ...action, quiet: true }))}
			menu={[
				{
					id: "rename",
					label: t.rename,
					icon: Pencil,
					obstacle: obstacleTo("volumeUpdate"),
					onSelect: () => setOpen("rename"),
				},
				...actions.filter(({ id }) => id !== "resize"),
			]}
		>
			<Stack>
				{volume.error && (
					<Notice tone="error" title={t.error}>
						{volume.error.message}
					</Notice>
				)}
				<WorkCard volume={volume} onRepair={() => setOpen("repair")} />
				{volumeState(volume) === "unmade" && <Notice title={t.unmade}>{t.unmadeText}</Notice>}
				<Grid wide>
					<SizeCard volume={volume} />
					<DetailsCard volume={volume} />
				</Grid>
			</Stack>
			{open === "rename" && (
				<EditObjectPanel
					title={t.renameTitle(volume.name)}
					failed={t.editFailed}
					operation="volumeUpdate"
					object={volume}
					onClose={close}
				/>
			)}
			{open === "clone" && <CloneDialog volume={volume} onClose={close} />}
			{open === "image" && <MakeImageDialog volume={volume} onClose={close} />}
			{open === "move" && <MoveVolumeDialog volumes={[volume]} onClose={close} />}
			{(open === "check" || open === "repair") && (
				<CheckVolumeDialog volumes={[volume]} repair={open === "repair"} onClose={close} />
			)}
			{open === "resize" && <ResizeDialog volume={volume} onClose={close} />}
		</Page>
	);
}

function SizeCard({ volume }: { volume: Volume }) {
	const { sizeBytes, allocatedBytes, format, poolId, vmId } = volume;
	const pool = useObject("pool", poolId);
	const provisioning = volume.provisioning ?? (pool.state === "ready" ? provisioningOf(pool.object)[0] : undefined);
	return (
		<Card title={t.usage}>
			<Properties
				items={[
					[t.size, formatBytes(sizeBytes)],
					[
						t.allocated,
						allocatedBytes === null ? (
							unknownValue
						) : (
							<span key="allocated" class="pool-usage">
								<UsageBar used={allocatedBytes} total={sizeBytes} label={t.allocated} plain />
								<span>{formatBytes(allocatedBytes)}</span>
							</span>
						),
					],
					[t.format, format],
					provisioning !== undefined && [t.provisioning, t.provisionings[provisioning]],
					[t.filterPool, <ResourceLink key="pool" kind="pool" id={poolId} />],
					[
						t.vm,
						vmId === null ? <span class="muted">{t.notAttached}</span> : <ResourceLink key="vm" kind="vm" id={vmId} />,
					],
				]}
			/>
		</Card>
	);
}

function DetailsCard({ volume }: { volume: Volume }) {
	const { source } = volume;
	const copy = "fullCopy" in source ? ` (${source.fullCopy ? t.fullCopy.toLowerCase() : t.copyOnWrite})` : "";
	return (
		<Card title={t.details}>
			<Properties
				items={[
					[
						t.source,
						<>
							{source.kind === "image" ? (
								<ResourceLink kind="image" id={source.imageId} />
							) : source.kind === "clone" ? (
								<ResourceLink kind="volume" id={source.volumeId} />
							) : (
								t.sources[source.kind]
							)}
							{copy}
						</>,
					],
					volume.nodeId !== null && [t.node, <ResourceLink key="node" kind="node" id={volume.nodeId} />],
					[common.created, <RelativeTime key="created" time={volume.createdAt} />],
					[common.id, <Copyable key="id" text={volume.id} what={common.id} />],
				]}
			/>
		</Card>
	);
}
