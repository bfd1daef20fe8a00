/** The tree of a VM's snapshots: lists within lists, with what there is to know of each, and where the VM is now. */
import { Camera, Ellipsis, MapPin } from "lucide-preact";
import { Fragment } from "preact";
import type { Snapshot, Vm } from "../../../api/types.ts";
import { StateBadge } from "../../../components/badge.tsx";
import { type Action, Menu } from "../../../components/menu.tsx";
import { RelativeTime } from "../../../components/relative-time.tsx";
import { ResourceLink } from "../../../components/resource-link.tsx";
import { snapshotLook, vmLook } from "../../../components/states.ts";
import { formatBytes } from "../../../lib/format.ts";
import { common } from "../../../strings/common.ts";
import { snapshots as t } from "../../../strings/snapshots.ts";
import { stateOf } from "./obstacles.ts";
import { type SnapshotNode, sizeOfSnapshot, treeOf } from "./tree.ts";
import "./snapshots.css";

type Props = { vm: Vm; snapshots: readonly Snapshot[]; actionsOf: (snapshot: Snapshot) => readonly Action[] };

/** From here on lists are not indented any more, and each says what it comes after: on a phone, and anywhere. */
const deepOnPhone = 6;
const deep = 16;

export function SnapshotTree({ vm, snapshots, actionsOf }: Props) {
	const isSomewhere = snapshots.some(({ current }) => current);
	const listOf = (nodes: readonly SnapshotNode[], depth: number, parent: Snapshot | null, here: boolean) => (
		<ul
			class={`snapshot-tree__list${depth >= deep ? " snapshot-tree__list--deep" : depth >= deepOnPhone ? " snapshot-tree__list--deep-on-phone" : ""}`}
			aria-label={depth === 0 ? t.tree(vm.name) : undefined}
		>
			{nodes.map(({ snapshot, children }) => (
				<li key={snapshot.id} class="snapshot-tree__item">
					<SnapshotEntry snapshot={snapshot} parent={parent} actions={actionsOf(snapshot)} />
					{(children.length > 0 || snapshot.current) && listOf(children, depth + 1, snapshot, snapshot.current)}
				</li>
			))}
			{here && (
				<li class="snapshot-tree__item snapshot-tree__here" aria-current="true">
					<MapPin size={15} aria-hidden="true" />
					<strong>{t.here}</strong>
					<span class="muted">{t.hereNote(vmLook(vm).word)}</span>
				</li>
			)}
		</ul>
	);
	return <div class="snapshot-tree">{listOf(treeOf(snapshots), 0, null, !isSomewhere)}</div>;
}

type EntryProps = { snapshot: Snapshot; parent: Snapshot | null; actions: readonly Action[] };

function SnapshotEntry({ snapshot, parent, actions }: EntryProps) {
	const { name, description, createdAt, powerState, consistency, error } = snapshot;
	const state = stateOf(snapshot);
	const was =
		powerState === null
			? null
			: powerState === "stopped"
				? t.whileState.stopped
				: `${t.whileState[powerState]}, ${t.consistencies[consistency]}`;
	return (
		<article class="snapshot" aria-label={name}>
			<Camera size={15} class="snapshot__icon" aria-hidden="true" />
			<header class="snapshot__head">
				<h3>{name}</h3>
				{state !== "ready" && <StateBadge look={snapshotLook(state)} />}
			</header>
			<Menu label={`${common.actions}: ${name}`} icon={Ellipsis} kind="ghost" small actions={actions} />
			<div class="snapshot__facts">
				{parent && <span class="snapshot__parent">{t.after(parent.name)}</span>}
				<RelativeTime time={createdAt} />
				{was && <span>{was}</span>}
				{snapshot.phase !== "error" && <HeldDisks snapshot={snapshot} />}
			</div>
			{description && <p class="snapshot__description">{description}</p>}
			{error && <p class="snapshot__error">{error.message}</p>}
		</article>
	);
}

function HeldDisks({ snapshot }: { snapshot: Snapshot }) {
	const { disks } = snapshot;
	return (
		<details class="snapshot__disks">
			<summary>{t.holds(disks.length, formatBytes(sizeOfSnapshot(snapshot)))}</summary>
			<dl>
				{disks.map(({ diskId, volumeId, sizeBytes }) => (
					<Fragment key={volumeId}>
						<dt>{t.heldDisk(diskId, formatBytes(sizeBytes))}</dt>
						<dd>
							<ResourceLink kind="volume" id={volumeId} />
						</dd>
					</Fragment>
				))}
			</dl>
		</details>
	);
}
