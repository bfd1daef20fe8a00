/** Disks by name and size, each with what stands in its way. */
import { HardDrive } from "lucide-preact";
import { formatBytes } from "../../../lib/format.ts";
import "./snapshots.css";

export type ListedDisk = { id: string; name: string; sizeBytes: number | null; obstacle?: string | null };

export const DiskList = ({ disks }: { disks: readonly ListedDisk[] }) => (
	<ul class="snapshot-disks">
		{disks.map(({ id, name, sizeBytes, obstacle }) => (
			<li key={id}>
				<HardDrive size={14} aria-hidden="true" />
				<span>{name}</span>
				<span class="muted">{sizeBytes === null ? "" : formatBytes(sizeBytes)}</span>
				{obstacle && <span class="snapshot-disks__obstacle">{obstacle}</span>}
			</li>
		))}
	</ul>
);
