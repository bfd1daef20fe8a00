/** The name of an object, with its icon, linked to its page: the same everywhere. */
import type { ResourceKind } from "../../src/model/schema.ts";
import { live } from "../api/live/live.ts";
import type { LiveKind, LiveObjects, ResourceRef } from "../api/types.ts";
import { useCollection } from "../api/use.ts";
import { href } from "../routes.ts";
import { common as t } from "../strings/common.ts";
import { resourceIcons } from "./icons.ts";
import "./resource-link.css";

/** Null for kinds without a page. */
export function resourceHref(kind: ResourceKind, id: string): string | null {
	switch (kind) {
		case "vm":
			return href("vm", { vmId: id });
		case "volume":
			return href("volume", { volumeId: id });
		case "pool":
			return href("pool", { poolId: id });
		case "image":
			return href("image", { imageId: id });
		case "network":
			return href("network", { networkId: id });
		case "node":
			return href("node", { nodeId: id });
		case "cluster":
			return href("cluster");
		case "user":
			return href("user", { userId: id });
		case "token":
			return href("token", { tokenId: id });
		default:
			return null;
	}
}

type NamedKind = { [Kind in LiveKind]: LiveObjects[Kind] extends { name: string } ? Kind : never }[LiveKind];

/** By id, from the live store: the name follows a rename. Plain text when the object is gone. */
export function ResourceLink(props: { kind: NamedKind; id: string | null; name?: string | null; plain?: boolean }) {
	const { kind, id, plain } = props;
	useCollection(kind);
	if (id === null) return <span class="muted">{t.none}</span>;
	const object = live[kind].one(id).value;
	const name = object?.name ?? props.name ?? null;
	const gone = object === undefined && live[kind].state.value === "ready";
	return <RefLink kind={kind} id={id} name={name} gone={gone} plain={plain} />;
}

/** From a reference that carries the name, as tasks and audit records do. */
export function RefLink(props: Omit<ResourceRef, "kind"> & { kind: ResourceKind; gone?: boolean; plain?: boolean }) {
	const { kind, id, name, gone, plain } = props;
	const IconOf = resourceIcons[kind];
	const text = name ?? `${id.slice(0, 8)}…`;
	const address = gone ? null : resourceHref(kind, id);
	const content = (
		<>
			{!plain && <IconOf size={14} aria-hidden="true" class="resource-link__icon" />}
			<span class="resource-link__name">{text}</span>
		</>
	);
	return address === null ? (
		<span class="resource-link" title={gone ? t.deletedSince : undefined}>
			{content}
		</span>
	) : (
		<a class="resource-link" href={address}>
			{content}
		</a>
	);
}
