/** Deleting what is chosen, content and records: asked first, with what goes; afterwards what stayed is said, and why. */
import { isShared } from "../../../../src/model/storage-rules.ts";
import { call } from "../../../api/call.ts";
import { toastFailure, toastFailureText, toastSuccess } from "../../../api/notify.ts";
import { followTask } from "../../../api/tasks.ts";
import type { Pool } from "../../../api/types.ts";
import { confirm } from "../../../components/confirm.tsx";
import { formatBytes } from "../../../lib/format.ts";
import { orphans as t } from "../../../strings/orphans.ts";
import { storage } from "../../../strings/storage.ts";
import { bytesOf, type Deletion, deletionOf, type OrphanRow } from "./orphans.ts";

const mostNamed = 20;
/** Large files on a slow disk; as long as the node takes for one. */
const deleteTimeoutMs = 600_000;

/** False when it was not confirmed. */
export async function deleteOrphans(pool: Pool, rows: readonly OrphanRow[]): Promise<boolean> {
	const title = t.deleteTitle(rows.length);
	const body = <WhatGoes rows={rows} pool={pool} />;
	if (!(await confirm({ title, body, confirmLabel: t.delete, danger: true, typedName: pool.name }))) return false;
	const { content, records } = deletionOf(rows, isShared(pool));
	const answers = await Promise.all([
		...content.map((part) => deleteContent(pool, part)),
		...records.map(deleteRecord),
	]);
	const deleted = answers.reduce((sum, answer) => sum + answer.deleted, 0);
	const kept = answers.flatMap((answer) => answer.kept);
	if (deleted > 0) toastSuccess(t.deleted(deleted));
	if (kept.length > 0) toastFailureText(t.kept(kept.length), kept.slice(0, 5).join("\n"), kept.join("\n"));
	return true;
}

type Outcome = { deleted: number; kept: string[] };

async function deleteContent(pool: Pool, { nodeId, ...body }: Deletion["content"][number]): Promise<Outcome> {
	const query = nodeId === undefined ? {} : { nodeId };
	try {
		const { data } = await call("poolOrphanDelete", { id: pool.id, query, body, timeoutMs: deleteTimeoutMs });
		return { deleted: data.deleted.length, kept: data.kept.map(({ id, reason }) => `${id}: ${reason}`) };
	} catch (error) {
		toastFailure(t.deleteFailed, error);
		return { deleted: 0, kept: [] };
	}
}

async function deleteRecord({ kind, orphanId: id, name }: OrphanRow): Promise<Outcome> {
	try {
		const { taskId } = await call(kind === "volume" ? "volumeDelete" : "imageDelete", { id });
		// A failed task is told by who follows it.
		const task = taskId === null ? null : await followTask(taskId);
		return { deleted: task?.state === "succeeded" ? 1 : 0, kept: [] };
	} catch (error) {
		toastFailure(t.recordFailed(name ?? id), error);
		return { deleted: 0, kept: [] };
	}
}

function WhatGoes({ rows, pool }: { rows: readonly OrphanRow[]; pool: Pool }) {
	const content = rows.filter(({ found }) => found === "no-record");
	const records = rows.filter(({ found }) => found === "no-content");
	return (
		<>
			{content.length > 0 && (
				<div>
					<p>{t.deleteContent(pool.name, formatBytes(bytesOf(content)))}</p>
					<Names rows={content} />
				</div>
			)}
			{records.length > 0 && (
				<div>
					<p>{t.deleteRecords}</p>
					<Names rows={records} />
				</div>
			)}
		</>
	);
}

function Names({ rows }: { rows: readonly OrphanRow[] }) {
	return (
		<>
			<ul class="bullets orphan-names">
				{rows.slice(0, mostNamed).map(({ id, orphanId, kind, name, sizeBytes }) => (
					<li key={id}>
						{t.kinds[kind]} <span class={name === null ? "mono" : ""}>{name ?? orphanId}</span>
						{sizeBytes !== null && <span class="muted">, {formatBytes(sizeBytes)}</span>}
					</li>
				))}
			</ul>
			{rows.length > mostNamed && <p class="muted">{storage.moreNodes(rows.length - mostNamed)}</p>}
		</>
	);
}
