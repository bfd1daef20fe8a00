/** Deleting what is chosen, content and records, by tasks: asked first, with what goes; afterwards what stayed is said, and why. */
import { isShared } from "../../../../src/model/storage-rules.ts";
import { call } from "../../../api/call.ts";
import { toastFailure, toastSuccess } from "../../../api/notify.ts";
import { followTask } from "../../../api/tasks.ts";
import type { Pool } from "../../../api/types.ts";
import { confirm } from "../../../components/confirm.tsx";
import { formatBytes } from "../../../lib/format.ts";
import { orphans as t } from "../../../strings/orphans.ts";
import { storage } from "../../../strings/storage.ts";
import { bytesOf, type Deletion, deletionOf, type OrphanRow } from "./orphans.ts";

const mostNamed = 20;

/**
 * Null when it was not confirmed. Resolves when the tasks have begun; `ended` when all of them have ended, which may take hours. Failures,
 * and what was kept, are told as they come.
 */
export async function deleteOrphans(pool: Pool, rows: readonly OrphanRow[]): Promise<{ ended: Promise<void> } | null> {
	const title = t.deleteTitle(rows.length);
	const body = <WhatGoes rows={rows} pool={pool} />;
	if (!(await confirm({ title, body, confirmLabel: t.delete, danger: true, typedName: pool.name }))) return null;
	const { content, records } = deletionOf(rows, isShared(pool));
	const begun = await Promise.all([...content.map((part) => deleteContent(pool, part)), ...records.map(deleteRecord)]);
	return { ended: tellEnd(begun) };
}

/** How many it is about, and its task; null when it was refused. */
type Begun = { count: number; taskId: string } | null;

async function tellEnd(begun: readonly Begun[]): Promise<void> {
	const ended = await Promise.all(
		begun.map(async (one) => {
			const task = one && (await followTask(one.taskId));
			// Who follows it tells of a failure, and of what was kept.
			const isDone = task?.state === "succeeded" && (task.kind !== "pool.deleteOrphans" || task.message === null);
			return isDone ? (one?.count ?? 0) : 0;
		}),
	);
	const deleted = ended.reduce((sum, count) => sum + count, 0);
	if (deleted > 0) toastSuccess(t.deleted(deleted));
}

async function deleteContent(pool: Pool, { nodeId, ...body }: Deletion["content"][number]): Promise<Begun> {
	const query = nodeId === undefined ? {} : { nodeId };
	const count = body.volumeIds.length + body.imageIds.length;
	try {
		const { taskId } = await call("poolOrphanDelete", { id: pool.id, query, body });
		return taskId === null ? null : { count, taskId };
	} catch (error) {
		toastFailure(t.deleteFailed, error);
		return null;
	}
}

async function deleteRecord({ kind, orphanId: id, name }: OrphanRow): Promise<Begun> {
	try {
		const { taskId } = await call(kind === "volume" ? "volumeDelete" : "imageDelete", { id });
		return taskId === null ? null : { count: 1, taskId };
	} catch (error) {
		toastFailure(t.recordFailed(name ?? id), error);
		return null;
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
