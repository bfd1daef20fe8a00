/** Moving volumes to another pool: which can take them, and what happens; their VMs may run. */
import { useState } from "preact/hooks";
import { isVmOff } from "../../../src/model/actions.ts";
import { formatsOf } from "../../../src/model/storage-rules.ts";
import { live } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Pool, Vm, Volume } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { SegmentedField } from "../../components/fields.tsx";
import { useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { PickList } from "../../components/pick-list.tsx";
import { formatBytes } from "../../lib/format.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { formatChoices, formatIn } from "./choices.ts";
import { type MoveTarget, moveTargets } from "./move-targets.ts";

type Values = { poolId: string; format: Volume["format"] | null };
type Props = { volumes: readonly Volume[]; onClose: () => void };

export function MoveVolumeDialog({ volumes, onClose }: Props) {
	const lists = [useCollection("pool"), useCollection("vm"), useCollection("node")] as const;
	const [pools, vms] = lists;
	const known = lists.every(({ state }) => state.value === "ready");
	const nameOf = (id: string) => live.node.one(id).value?.name ?? common.unknown;
	const targets = moveTargets(volumes, { pools: pools.items.value, vms: vms.items.value, nameOf });
	// Those of several that have begun do not begin again when another one fails.
	const [begun, setBegun] = useState<readonly string[]>([]);
	const [only, ...others] = volumes;
	const title = only && others.length === 0 ? t.moveTitle(only.name) : t.moveManyTitle(volumes.length);
	const form = useForm<Values>({
		initial: { poolId: "", format: null },
		validate: () => ({}),
		async submit() {
			for (const volume of volumes.filter(({ id }) => !begun.includes(id))) {
				const body = { poolId: chosen?.pool.id ?? "", format: formatOf(volume) };
				await write("volumeMove", { id: volume.id, body });
				setBegun((ids) => [...ids, volume.id]);
			}
			onClose();
		},
	});
	const { poolId, format } = form.values.value;
	const chosen = targets.find(({ pool, obstacle }) => pool.id === poolId && obstacle === null);
	const formatOf = (volume: Volume) => formatIn(chosen?.pool, format ?? volume.format);
	const obstacle =
		obstacleTo("volumeMove") ??
		(!known ? common.loading : targets.every((one) => one.obstacle !== null) ? t.moveNowhere : null) ??
		(chosen ? null : t.moveChoose);
	return (
		<Dialog
			title={title}
			onClose={onClose}
			onSubmit={() => {
				if (obstacle === null) void form.submit();
			}}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<Button type="submit" kind="primary" busy={form.busy.value} obstacle={obstacle}>
						{t.move}
					</Button>
				</>
			}
		>
			<FormError form={form} title={t.moveFailed} />
			{known ? (
				<PickList
					label={t.moveTo}
					choices={targets.map(choiceOf)}
					value={chosen?.pool.id ?? ""}
					onChoose={(id) => form.set({ poolId: id, format: null })}
				/>
			) : (
				<Skeleton lines={4} />
			)}
			{chosen && formatsOf(chosen.pool).length > 1 && only && others.length === 0 && (
				<SegmentedField
					label={t.format}
					value={formatOf(only)}
					choices={formatChoices(chosen.pool)}
					onChange={(value) => form.set({ format: value })}
				/>
			)}
			{chosen && <WhatHappens volumes={volumes} vms={vms.items.value} pool={chosen.pool} formatOf={formatOf} />}
		</Dialog>
	);
}

const choiceOf = ({ pool, obstacle, availableBytes }: MoveTarget) => ({
	value: pool.id,
	name: pool.name,
	note: [t.types[pool.type], availableBytes === null ? null : t.freeSpace(formatBytes(availableBytes))]
		.filter((part) => part !== null)
		.join(", "),
	obstacle,
});

type WhatProps = {
	volumes: readonly Volume[];
	vms: readonly Vm[];
	pool: Pool;
	formatOf: (volume: Volume) => Volume["format"];
};

function WhatHappens({ volumes, vms, pool, formatOf }: WhatProps) {
	const bytes = volumes.reduce((sum, { allocatedBytes, sizeBytes }) => sum + (allocatedBytes ?? sizeBytes), 0);
	const others = [...new Set(volumes.filter((one) => formatOf(one) !== one.format).map(formatOf))];
	const running = vms.filter(
		({ id, status }) => volumes.some(({ vmId }) => vmId === id) && !isVmOff(status.powerState),
	);
	const rests = volumes.some(({ source }) => source.kind !== "empty" && !source.fullCopy);
	return (
		<section aria-label={t.whatHappens}>
			<ul class="bullets">
				<li>{t.moveCopies(formatBytes(bytes), pool.name)}</li>
				{others.length > 0 && <li>{t.moveFormat(others.join(", "))}</li>}
				{rests && <li>{t.moveWhole}</li>}
				{running.length > 0 && <li>{t.moveRuns(running.map(({ name }) => name).join(", "))}</li>}
				<li>{t.moveEnds}</li>
			</ul>
		</section>
	);
}
