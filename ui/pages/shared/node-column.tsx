/** On which node something lies, as a column and as a filter: where there is more than one node. */
import { live } from "../../api/live/live.ts";
import type { Node } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { ResourceLink } from "../../components/resource-link.tsx";
import type { Column, Filter } from "../../components/table/types.ts";
import { byName } from "../../lib/sort.ts";
import { move as t } from "../../strings/move.ts";

type OnNode = { id: string; nodeId: string | null };

export const nodeColumn: Column<OnNode> = {
	id: "node",
	header: t.node,
	cell: ({ nodeId }) =>
		nodeId === null ? <span class="muted">{t.everyNode}</span> : <ResourceLink kind="node" id={nodeId} plain />,
	sort: ({ nodeId }) => (nodeId === null ? null : live.node.peek(nodeId)?.name),
	width: "110px",
};

/** All that there are, by name; those that left as well, since something may be on them. */
export const useNodes = (): readonly Node[] => [...useCollection("node").items.value].sort(byName);

export const nodeFilter = (nodes: readonly Node[]): Filter<OnNode> => ({
	id: "node",
	label: t.node,
	choices: nodes.map(({ id, name }) => ({ value: id, label: name })),
	matches: ({ nodeId }, chosen) => nodeId !== null && chosen.includes(nodeId),
});
