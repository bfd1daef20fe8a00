/** The list of images. Files can be dropped anywhere on it. */
import { Disc3, Plus } from "lucide-preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { obstacleTo } from "../../api/session.ts";
import type { Image } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { StateBadge, Tags } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink, ResourceLink } from "../../components/resource-link.tsx";
import { imageLook } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column, Filter } from "../../components/table/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { useUrlState } from "../../lib/url-state.ts";
import { common } from "../../strings/common.ts";
import { images as t } from "../../strings/images.ts";
import { states } from "../../strings/states.ts";
import { nodeColumn, nodeFilter, useNodes } from "../shared/node-column.tsx";
import { AddImagePanel } from "./add-image.tsx";
import { CopyImageDialog } from "./copy-image-dialog.tsx";
import { DropArea } from "./drop-area.tsx";
import { imageActions } from "./image-actions.ts";
import { UploadCell } from "./upload-cell.tsx";
import "./images.css";

const columns: readonly Column<Image>[] = [
	{
		id: "name",
		header: common.name,
		cell: ({ id, name }) => <RefLink kind="image" id={id} name={name} />,
		sort: ({ name }) => name,
		fixed: true,
		card: "title",
	},
	{
		id: "state",
		header: common.state,
		cell: ({ phase, error }) => <StateBadge look={imageLook(phase)} note={error?.message} />,
		sort: ({ phase }) => phase,
		width: "124px",
		fixed: true,
		card: "badge",
	},
	{ id: "progress", header: t.upload, cell: (image) => <UploadCell image={image} />, width: "190px", card: "none" },
	{ id: "format", header: t.format, cell: ({ format }) => format, sort: ({ format }) => format, width: "90px" },
	{
		id: "diskSize",
		header: t.diskSize,
		cell: ({ virtualSizeBytes }) => (virtualSizeBytes === null ? "–" : formatBytes(virtualSizeBytes)),
		sort: ({ virtualSizeBytes }) => virtualSizeBytes,
		width: "104px",
		align: "end",
	},
	{
		id: "fileSize",
		header: t.fileSize,
		cell: ({ fileSizeBytes }) => (fileSizeBytes === null ? "–" : formatBytes(fileSizeBytes)),
		sort: ({ fileSizeBytes }) => fileSizeBytes,
		width: "104px",
		align: "end",
	},
	{
		id: "pool",
		header: t.pool,
		cell: ({ poolId }) => <ResourceLink kind="pool" id={poolId} plain />,
		width: "110px",
		hidden: true,
	},
	{ id: "tags", header: common.tags, cell: ({ tags }) => <Tags tags={tags} />, width: "15%", card: "none" },
	{
		id: "createdAt",
		header: common.created,
		cell: ({ createdAt }) => <RelativeTime time={createdAt} />,
		sort: ({ createdAt }) => createdAt,
		width: "110px",
	},
];

const filters: readonly Filter<Image>[] = [
	{
		id: "format",
		label: t.filterFormat,
		choices: (["qcow2", "raw", "iso"] as const).map((value) => ({ value, label: value })),
		matches: ({ format }, chosen) => chosen.includes(format),
	},
	{
		id: "state",
		label: t.filterState,
		choices: Object.entries(states.image).map(([value, label]) => ({ value, label })),
		matches: ({ phase }, chosen) => chosen.includes(phase),
	},
];

export default function ImagesPage() {
	const { route } = useLocation();
	const images = useCollection("image");
	useCollection("pool");
	const address = useUrlState();
	const [file, setFile] = useState<File | null>(null);
	const [copied, setCopied] = useState<Image | null>(null);
	const obstacle = obstacleTo("imageCreate");
	const adding = address.get("add");
	const open = (source: string) => address.set({ add: source });
	const nodes = useNodes();
	const several = nodes.length > 1;
	const shown = several ? [...columns.slice(0, 3), nodeColumn, ...columns.slice(3)] : columns;
	const uploading = images.items.value.some(({ phase }) => phase === "uploading" || phase === "importing");
	return (
		<DropArea
			disabled={obstacle !== null || adding !== ""}
			onFile={(dropped) => {
				setFile(dropped);
				open("upload");
			}}
		>
			<Page
				title={t.title}
				icon={resourceIcons.image}
				fill
				primary={[{ id: "add", label: t.add, icon: Plus, obstacle, onSelect: () => open("upload") }]}
			>
				<DataTable
					name="images"
					caption={t.caption}
					fill
					rows={images.items.value}
					columns={uploading ? shown : shown.filter(({ id }) => id !== "progress")}
					filters={several ? [...filters, nodeFilter(nodes)] : filters}
					rowLabel={({ name }) => name}
					searchText={({ name, tags, description, format }) => `${name} ${tags.join(" ")} ${description} ${format}`}
					state={images.state.value}
					error={images.error.value}
					partial={images.partial.value}
					onRetry={() => void images.reload()}
					dimmed={({ phase }) => phase === "deleting"}
					rowActions={(image) => imageActions(image, { route, onCopy: () => setCopied(image) })}
					empty={
						<EmptyState icon={Disc3} title={t.emptyTitle} text={t.emptyText}>
							<Button kind="primary" icon={Plus} obstacle={obstacle} onClick={() => open("upload")}>
								{t.add}
							</Button>
						</EmptyState>
					}
				/>
				{copied && <CopyImageDialog image={copied} onClose={() => setCopied(null)} />}
				{adding !== "" && obstacle === null && (
					<AddImagePanel
						source={adding === "url" || adding === "path" ? adding : "upload"}
						file={file}
						poolId={address.get("into")}
						onClose={() => {
							setFile(null);
							address.set({ add: "", into: "" });
						}}
					/>
				)}
			</Page>
		</DropArea>
	);
}
