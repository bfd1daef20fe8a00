/** The page of one image. */
import { Disc3, Pencil } from "lucide-preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { obstacleTo } from "../../api/session.ts";
import type { Image } from "../../api/types.ts";
import { uploads } from "../../api/uploads.ts";
import { useCollection, useObject } from "../../api/use.ts";
import { StateBadge, Tags } from "../../components/badge.tsx";
import { Copyable } from "../../components/copy.tsx";
import { EmptyState, ErrorState, PageSkeleton, ProgressBar } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Card, Grid, Notice, Properties, Stack, unknownValue } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { imageLook } from "../../components/states.ts";
import { formatBytes } from "../../lib/format.ts";
import { useParams } from "../../lib/params.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { images as t } from "../../strings/images.ts";
import { EditObjectPanel } from "../shared/edit-object.tsx";
import { CopyImageDialog } from "./copy-image-dialog.tsx";
import { deleteImageAction, imageActions } from "./image-actions.ts";
import { ImportCard } from "./import-card.tsx";
import { UploadButton, uploadText } from "./upload-cell.tsx";
import "./images.css";

export default function ImagePage() {
	const { imageId } = useParams<"image">();
	const known = useObject("image", imageId);
	if (known.state === "loading") return <PageSkeleton />;
	if (known.state === "error") return <ErrorState error={known.error} onRetry={known.retry} />;
	if (known.state === "gone") return <EmptyState icon={Disc3} title={common.notFoundTitle} text={t.gone} />;
	return <ImageView image={known.object} />;
}

function ImageView({ image }: { image: Image }) {
	const { route } = useLocation();
	const [open, setOpen] = useState<"edit" | "copy" | null>(null);
	const actions = imageActions(image, { route, onCopy: () => setOpen("copy") });
	return (
		<Page
			title={image.name}
			icon={resourceIcons.image}
			parent={{ label: t.title, href: href("images") }}
			badges={
				<>
					<StateBadge look={imageLook(image.phase)} />
					<Tags tags={image.tags} />
				</>
			}
			primary={actions.filter(({ id }) => id === "create-vm")}
			menu={[
				{
					id: "edit",
					label: t.edit,
					icon: Pencil,
					obstacle: obstacleTo("imageUpdate"),
					onSelect: () => setOpen("edit"),
				},
				...actions.filter(({ id }) => id === "download" || id === "copy"),
				deleteImageAction(image, () => route(href("images"))),
			]}
		>
			<Stack>
				{image.error && (
					<Notice tone="error" title={t.error}>
						{image.error.message}
					</Notice>
				)}
				<Transfer image={image} />
				<Grid wide>
					<FileCard image={image} />
					<UseCard image={image} />
				</Grid>
			</Stack>
			{open === "copy" && <CopyImageDialog image={image} onClose={() => setOpen(null)} />}
			{open === "edit" && (
				<EditObjectPanel
					title={t.editTitle(image.name)}
					failed={t.editFailed}
					operation="imageUpdate"
					object={image}
					withTags
					onClose={() => setOpen(null)}
				/>
			)}
		</Page>
	);
}

function Transfer({ image }: { image: Image }) {
	if (image.phase !== "uploading" && image.phase !== "importing") return null;
	// What a node does by itself says how far it is in its task.
	if (image.source.kind !== "upload") return <ImportCard image={image} />;
	const upload = uploads.value.get(image.id);
	const received = Math.max(image.receivedBytes, upload?.receivedBytes ?? 0);
	const total = image.fileSizeBytes;
	const percent = total ? (received / total) * 100 : null;
	return (
		<Card title={image.phase === "uploading" ? t.uploads.title : imageLook(image.phase).word}>
			<div class="transfer">
				<ProgressBar percent={percent !== null && percent < 100 ? percent : null} label={t.progress(image.name)} />
				<div class="transfer__line">
					<span>{total === null ? formatBytes(received) : t.received(formatBytes(received), formatBytes(total))}</span>
					{image.phase === "uploading" && <span class="muted">{uploadText(image, upload)}</span>}
					{image.phase === "uploading" && <UploadButton image={image} upload={upload} />}
				</div>
			</div>
		</Card>
	);
}

function FileCard({ image }: { image: Image }) {
	const { format, source, fileSizeBytes, virtualSizeBytes, sha256, expectedSha256, description } = image;
	const from = source.kind === "url" ? source.url : source.kind === "path" ? source.path : null;
	return (
		<Card title={t.details}>
			<Properties
				items={[
					description !== "" && [common.description, description],
					[t.format, format],
					[t.diskSize, virtualSizeBytes === null ? unknownValue : formatBytes(virtualSizeBytes)],
					[t.fileSize, fileSizeBytes === null ? unknownValue : formatBytes(fileSizeBytes)],
					[
						t.source,
						from ? (
							<Copyable key="source" text={from} what={t.source} mono={false} />
						) : source.kind === "image" ? (
							<ResourceLink key="source" kind="image" id={source.imageId} />
						) : source.kind === "volume" ? (
							<ResourceLink key="source" kind="volume" id={source.volumeId} />
						) : (
							t.sources[source.kind]
						),
					],
					["SHA-256", sha256 === null ? unknownValue : <Copyable key="sha" text={sha256} what="SHA-256" />],
					expectedSha256 !== null &&
						expectedSha256 !== sha256 && [
							t.expected,
							<span key="expected" class="mono">
								{expectedSha256}
							</span>,
						],
				]}
			/>
		</Card>
	);
}

function UseCard({ image }: { image: Image }) {
	const made = useCollection("volume").items.value.filter(
		({ source }) => source.kind === "image" && source.imageId === image.id,
	);
	return (
		<Card title={t.use}>
			<Properties
				items={[
					[t.pool, <ResourceLink key="pool" kind="pool" id={image.poolId} />],
					[
						t.usedBy,
						made.length === 0 ? (
							<span class="muted">{t.usedByNone}</span>
						) : (
							<ul>
								{made.slice(0, 12).map(({ id }) => (
									<li key={id}>
										<ResourceLink kind="volume" id={id} />
									</li>
								))}
								{made.length > 12 && <li class="muted">+{made.length - 12}</li>}
							</ul>
						),
					],
					[common.created, <RelativeTime key="created" time={image.createdAt} />],
					[common.id, <Copyable key="id" text={image.id} what={common.id} />],
				]}
			/>
		</Card>
	);
}
