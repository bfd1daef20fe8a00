/** What can be done with a member, the same on the cluster's page and on the node's own, and the dialogs for it. */
import { BadgeCheck, Crown, LogOut, Pencil, Route as RouteIcon, Trash2 } from "lucide-preact";
import { useState } from "preact/hooks";
import { call } from "../../api/call.ts";
import { refreshClusterStatus } from "../../api/cluster-status.ts";
import { live, refreshCluster } from "../../api/live/live.ts";
import { toastFailure, toastSuccess } from "../../api/notify.ts";
import { obstacleTo } from "../../api/session.ts";
import type { ClusterMember, ClusterStatus } from "../../api/types.ts";
import { act } from "../../api/write.ts";
import type { Action } from "../../components/menu.tsx";
import { relativeTime } from "../../lib/time.ts";
import { cluster as clusterText } from "../../strings/cluster.ts";
import { members as t } from "../../strings/members.ts";
import { EditObjectPanel } from "../shared/edit-object.tsx";
import { AddressesPanel } from "./addresses-panel.tsx";
import { LeaveDialog } from "./leave-dialog.tsx";
import { leaderObstacle, leaveObstacle, removeObstacle } from "./member-obstacles.ts";
import { RemoveDialog } from "./remove-dialog.tsx";

/** With the id that tables want. */
export type Member = ClusterMember & { id: string };

/** `nodeId`: to this one; without it to the one best suited. */
export async function transferLeadership(nodeId?: string): Promise<void> {
	try {
		const { data } = await call("clusterLeaderTransfer", { body: nodeId === undefined ? {} : { nodeId } });
		toastSuccess(t.transferred(live.node.peek(data.leaderNodeId)?.name ?? data.leaderNodeId));
	} catch (error) {
		toastFailure(t.transferFailed, error);
	}
	void refreshClusterStatus();
	void refreshCluster();
}

/** On behalf of the whole cluster: to the member best suited. */
export function transferAction(status: ClusterStatus | null): Action {
	const others = status?.members.some((member) => leaderObstacle(member, status) === null);
	return {
		id: "transfer",
		label: t.transfer,
		icon: Crown,
		note: t.transferNote,
		obstacle: obstacleTo("clusterLeaderTransfer") ?? (others ? null : t.obstacles.noOther),
		onSelect: () => void transferLeadership(),
	};
}

/** The node itself does it; nothing pauses. */
async function renewCertificate({ nodeId, name }: ClusterMember): Promise<void> {
	if (await act(t.renewFailed(name), "nodeCertificateRenew", { id: nodeId }, t.renewed(name)))
		void refreshClusterStatus();
}

/** Also for whoever has no room for the column: words, null when it is not known. */
const certificateEnd = ({ certificateExpiresAt }: Pick<ClusterMember, "certificateExpiresAt">): string | null =>
	certificateExpiresAt === null ? null : relativeTime(certificateExpiresAt, Date.now());

type Dialog = { kind: "rename" | "addresses" | "leave" | "remove"; nodeId: string };
export type MemberDialogs = {
	actionsOf: (member: Omit<Member, "id">) => Action[];
	dialog: preact.ComponentChildren;
};

export function useMemberDialogs(status: ClusterStatus | null, onGone?: () => void): MemberDialogs {
	const [open, setOpen] = useState<Dialog | null>(null);
	return {
		actionsOf: (member) => (status ? actionsOf(member, status, setOpen) : []),
		dialog: open && <OpenDialog open={open} status={status} onClose={() => setOpen(null)} onGone={onGone} />,
	};
}

function actionsOf(member: Omit<Member, "id">, status: ClusterStatus, open: (dialog: Dialog) => void): Action[] {
	const { nodeId } = member;
	return [
		{
			id: "leader",
			label: t.makeLeader,
			icon: Crown,
			obstacle: obstacleTo("clusterLeaderTransfer") ?? leaderObstacle(member, status),
			onSelect: () => void transferLeadership(nodeId),
		},
		{
			id: "rename",
			label: clusterText.renameNode,
			icon: Pencil,
			obstacle: obstacleTo("nodeUpdate"),
			onSelect: () => open({ kind: "rename", nodeId }),
		},
		{
			id: "addresses",
			label: t.changeAddresses,
			icon: RouteIcon,
			obstacle: obstacleTo("nodeUpdate"),
			onSelect: () => open({ kind: "addresses", nodeId }),
		},
		{
			id: "certificate",
			label: t.renewCertificate,
			icon: BadgeCheck,
			note: t.renewNote(certificateEnd(member)),
			obstacle: obstacleTo("nodeCertificateRenew") ?? (member.reachable ? null : t.obstacles.away),
			onSelect: () => void renewCertificate(member),
		},
		{
			id: "leave",
			label: t.leave,
			icon: LogOut,
			divided: true,
			danger: true,
			obstacle: obstacleTo("nodeLeave") ?? leaveObstacle(member, status),
			onSelect: () => open({ kind: "leave", nodeId }),
		},
		{
			id: "remove",
			label: t.remove,
			icon: Trash2,
			danger: true,
			obstacle: obstacleTo("nodeRemove") ?? removeObstacle(member, status, live.node.one(nodeId).value?.status.phase),
			onSelect: () => open({ kind: "remove", nodeId }),
		},
	];
}

type OpenProps = { open: Dialog; status: ClusterStatus | null; onClose: () => void; onGone: (() => void) | undefined };

function OpenDialog({ open, status, onClose, onGone }: OpenProps) {
	const node = live.node.one(open.nodeId).value;
	// It has gone meanwhile.
	if (!node) return null;
	const gone = () => {
		onClose();
		void refreshClusterStatus();
		onGone?.();
	};
	switch (open.kind) {
		case "rename":
			return (
				<EditObjectPanel
					title={clusterText.renameNode}
					failed={clusterText.renameFailed}
					operation="nodeUpdate"
					object={node}
					onSaved={() => void refreshClusterStatus()}
					onClose={onClose}
				/>
			);
		case "addresses":
			return <AddressesPanel node={node} onClose={onClose} />;
		case "leave":
			return <LeaveDialog node={node} status={status} onClose={onClose} onGone={gone} />;
		case "remove":
			return <RemoveDialog node={node} status={status} onClose={onClose} onGone={gone} />;
	}
}
