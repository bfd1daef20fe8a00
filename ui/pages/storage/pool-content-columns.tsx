/** The columns of what lies in a pool, and whose it is. */
import { Camera, CircleHelp, Disc3, File, Folder, HardDrive } from "lucide-preact";
import type { PoolContentEntry } from "../../../src/model/pool-content.ts";
import { Label } from "../../components/badge.tsx";
import type { Icon } from "../../components/icons.ts";
import { RelativeTime } from "../../components/relative-time.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import type { Column, Filter } from "../../components/table/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { visibleName } from "../../lib/visible-name.ts";
import { common } from "../../strings/common.ts";
import { poolContent as t } from "../../strings/pool-content.ts";

export type ContentRow = PoolContentEntry & { id: string };

const icons: Record<PoolContentEntry["kind"], Icon> = {
	...{ folder: Folder, file: File, image: HardDrive, snapshot: Camera, "logical-volume": Disc3, other: CircleHelp },
};
const bytes = (count: number | null) => (count === null ? <span class="muted">–</span> : formatBytes(count));

/** Without the time of change where nothing has one. */
export function contentColumns(
	rows: readonly ContentRow[],
	folderHref: (name: string) => string,
): readonly Column<ContentRow>[] {
	const columns: Column<ContentRow>[] = [
		{
			id: "name",
			header: common.name,
			cell: (row) => <Name row={row} folderHref={folderHref} />,
			// Folders first.
			sort: ({ kind, name }) => `${kind === "folder" ? 0 : 1} ${name}`,
			fixed: true,
			card: "title",
		},
		{ id: "owner", header: t.belongsTo, cell: (row) => <Owner row={row} />, sort: ownerText, width: "32%" },
		{
			id: "kind",
			header: t.kind,
			cell: ({ kind }) => t.kinds[kind],
			sort: ({ kind }) => t.kinds[kind],
			width: "150px",
			hidden: true,
			card: "none",
		},
		{
			id: "size",
			header: t.size,
			cell: ({ sizeBytes }) => bytes(sizeBytes),
			sort: ({ sizeBytes }) => sizeBytes,
			width: "100px",
			align: "end",
		},
		{
			id: "allocated",
			header: t.allocated,
			cell: ({ allocatedBytes }) => bytes(allocatedBytes),
			sort: ({ allocatedBytes }) => allocatedBytes,
			width: "104px",
			align: "end",
		},
	];
	if (rows.some(({ modifiedAt }) => modifiedAt !== null))
		columns.push({
			id: "changed",
			header: t.changed,
			cell: ({ modifiedAt }) => <RelativeTime time={modifiedAt} />,
			sort: ({ modifiedAt }) => modifiedAt,
			width: "120px",
		});
	return columns;
}

const ownerKinds = ["volume", "image", "snapshot", "upload", "pool", "nobody"] as const;

export const contentFilters: Filter<ContentRow>[] = [
	{
		id: "owner",
		label: t.belongsTo,
		choices: [
			...ownerKinds.map((value) => ({ value, label: t.owners[value] })),
			{ value: "no-record", label: t.noRecord },
		],
		matches: ({ belongsTo }, chosen) =>
			chosen.includes(belongsTo?.kind ?? "nobody") || (belongsTo?.recorded === false && chosen.includes("no-record")),
	},
];

function Name({ row, folderHref }: { row: ContentRow; folderHref: (name: string) => string }) {
	const { kind, name, nameIsExact } = row;
	const IconOf = icons[kind];
	const shown = visibleName(name);
	return (
		<span class="resource-link" title={nameIsExact ? shown : t.nameNotExact}>
			<IconOf size={14} aria-hidden="true" class="resource-link__icon" />
			{kind === "folder" && nameIsExact ? (
				<a class="resource-link__name" href={folderHref(name)}>
					{shown}
				</a>
			) : (
				<span class="resource-link__name">{shown}</span>
			)}
			{kind !== "file" && <span class="visually-hidden">({t.kinds[kind]})</span>}
		</span>
	);
}

function ownerText({ belongsTo }: ContentRow): string | null {
	if (belongsTo === null) return null;
	return `${belongsTo.kind} ${belongsTo.name ?? belongsTo.id}`;
}

function Owner({ row: { belongsTo } }: { row: ContentRow }) {
	if (belongsTo === null)
		return (
			<span class="muted" title={t.nobodyNote}>
				{t.owners.nobody}
			</span>
		);
	if (belongsTo.kind === "pool")
		return (
			<span class="muted" title={t.poolNote}>
				{t.owners.pool}
			</span>
		);
	const { kind, id, volumeId, name, recorded } = belongsTo;
	return (
		<span class="pool-content__owner">
			<span class="muted">{t.owner[kind]}</span>
			{name === null ? (
				<span class="mono pool-content__id" title={id}>
					{id}
				</span>
			) : kind === "snapshot" ? (
				<>
					<span>{name}</span>
					<span class="muted">{t.of}</span>
					<ResourceLink kind="volume" id={volumeId} plain />
				</>
			) : (
				<ResourceLink kind={kind === "volume" ? "volume" : "image"} id={id} name={name} plain />
			)}
			{!recorded && (
				<span title={name === null ? t.noRecordNote : t.elsewhereNote}>
					<Label tone="amber">{name === null ? t.noRecord : t.elsewhere}</Label>
				</span>
			)}
		</span>
	);
}
