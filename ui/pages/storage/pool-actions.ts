/** What can be done with a pool. */
import { Trash2 } from "lucide-preact";
import { h } from "preact";
import { poolContentObstacle } from "../../../src/model/storage-rules.ts";
import { live } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import { runningTasks } from "../../api/tasks.ts";
import type { Pool } from "../../api/types.ts";
import { act } from "../../api/write.ts";
import { confirm } from "../../components/confirm.tsx";
import type { Action } from "../../components/menu.tsx";
import { href } from "../../routes.ts";
import { states } from "../../strings/states.ts";
import { storage as t } from "../../strings/storage.ts";

export function poolActions(pool: Pool, route: (url: string) => void): Action[] {
	return [
		{
			id: "volumes",
			label: t.volumes,
			onSelect: () => route(href("volumes", undefined, { pool: pool.id })),
		},
		{
			id: "delete",
			label: t.deletePool,
			icon: Trash2,
			danger: true,
			divided: true,
			obstacle: deleteObstacle(pool),
			async onSelect() {
				const body = h("p", {}, t.deletePoolText);
				const title = t.deletePoolTitle(pool.name);
				if (!(await confirm({ title, body, confirmLabel: t.deletePool, danger: true }))) return;
				if (await act(title, "poolDelete", { id: pool.id })) route(href("storage"));
			},
		},
	];
}

/** As far as the lists have been read. */
function deleteObstacle(pool: Pool): string | null {
	const isHere = ({ poolId }: { poolId: string }) => poolId === pool.id;
	return (
		obstacleTo("poolDelete") ??
		(pool.phase === "deleting" ? states.pool.deleting : null) ??
		poolContentObstacle(pool, {
			comes: runningTasks.value.some(({ kind, input }) => kind === "volume.move" && input.poolId === pool.id),
			volumes: live.volume.items.value.some(isHere),
			images: live.image.items.value.some(isHere),
		})
	);
}
