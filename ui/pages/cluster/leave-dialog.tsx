/** A working node goes out of the cluster, by itself, once nothing is on it any more. */
import { useState } from "preact/hooks";
import { call } from "../../api/call.ts";
import { type ApiError, errorDetails, toApiError } from "../../api/errors.ts";
import { toastSuccess } from "../../api/notify.ts";
import { obstacleTo } from "../../api/session.ts";
import type { ClusterStatus, Node } from "../../api/types.ts";
import { Button } from "../../components/button.tsx";
import { CopyButton } from "../../components/copy.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { Notice } from "../../components/layout.tsx";
import { formatBytes } from "../../lib/format.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { errors } from "../../strings/errors.ts";
import { members as t } from "../../strings/members.ts";
import { type Belongings, bytesOf, namesOf, useBelongings } from "./belongings.ts";
import { AfterThis } from "./consequences.tsx";

/** Its state is handed over, and the others agree. */
const limitMs = 120_000;

type Props = { node: Node; status: ClusterStatus | null; onClose: () => void; onGone: () => void };

export function LeaveDialog({ node, status, onClose, onGone }: Props) {
	const belongings = useBelongings(node.id);
	const [busy, setBusy] = useState(false);
	const [failure, setFailure] = useState<ApiError | null>(null);
	const held = blocks(belongings);
	const obstacle =
		obstacleTo("nodeLeave") ??
		(!belongings.known ? common.loading : held.length > 0 ? t.leaveBlocked(node.name) : null);
	const leave = async () => {
		if (busy || obstacle !== null) return;
		setBusy(true);
		setFailure(null);
		try {
			await call("nodeLeave", { id: node.id, timeoutMs: limitMs });
			toastSuccess(t.left(node.name));
			onGone();
		} catch (error) {
			setFailure(toApiError(error));
			setBusy(false);
		}
	};
	return (
		<Dialog
			title={t.leaveTitle(node.name)}
			onClose={onClose}
			onSubmit={() => void leave()}
			footer={
				<>
					<Button onClick={onClose} autoFocus>
						{common.cancel}
					</Button>
					<Button type="submit" kind="danger" busy={busy} obstacle={obstacle}>
						{t.leave}
					</Button>
				</>
			}
		>
			{failure && (
				<Notice
					tone="error"
					alert
					title={t.leaveFailed(node.name)}
					actions={<CopyButton text={() => errorDetails(failure)} label={errors.copy} />}
				>
					{failure.message}
				</Notice>
			)}
			{!belongings.known ? (
				<Skeleton lines={2} />
			) : held.length > 0 ? (
				<Notice tone="warning">
					<p>{t.leaveBlocked(node.name)}</p>
					<ul>
						{held.map((text) => (
							<li key={text}>{text}</li>
						))}
					</ul>
					<p>
						<a href={href("node", { nodeId: node.id, tab: "vms" })} onClick={onClose}>
							{t.showWhatIsOnIt}
						</a>
					</p>
				</Notice>
			) : null}
			<div>
				<p>{t.leaveIntro}</p>
				<ul class="bullets">
					{Object.values(t.leaveLoses).map((text) => (
						<li key={text}>{text}</li>
					))}
				</ul>
			</div>
			{status?.nodeId === node.id && <Notice tone="warning">{t.leaveHere}</Notice>}
			{status && <AfterThis status={status} nodeId={node.id} />}
		</Dialog>
	);
}

function blocks({ vms, volumes, images }: Belongings): string[] {
	const named = (objects: readonly { name: string }[]): string => {
		const { names, more } = namesOf(objects);
		return t.andMore(names, more);
	};
	return [
		...(vms.length > 0 ? [t.vmsPlain(vms.length, named(vms))] : []),
		...(volumes.length > 0 ? [t.volumesPlain(volumes.length, formatBytes(bytesOf(volumes)))] : []),
		...(images.length > 0 ? [t.imagesPlain(images.length, named(images))] : []),
	];
}
