/** The order in which a VM tries its devices. */
import { ArrowDown, ArrowUp, Plus, X } from "lucide-preact";
import { live } from "../../../api/live/live.ts";
import type { Vm } from "../../../api/types.ts";
import { useCollection } from "../../../api/use.ts";
import { Button, IconButton } from "../../../components/button.tsx";
import { devices } from "../../../strings/devices.ts";
import { settings as t } from "../../../strings/settings.ts";

export function BootOrder({
	vm,
	value,
	onChange,
}: {
	vm: Vm;
	value: readonly string[];
	onChange: (order: string[]) => void;
}) {
	useCollection("volume").items.value;
	useCollection("image").items.value;
	const names = new Map<string, string>([
		...vm.spec.disks.map(({ id, volumeId }): [string, string] => [id, live.volume.peek(volumeId)?.name ?? ""]),
		...vm.spec.cdroms.map(({ id, imageId }): [string, string] => [
			id,
			imageId === null ? devices.emptyDrive : (live.image.peek(imageId)?.name ?? ""),
		]),
		...vm.spec.nics.map(({ id, networkId }): [string, string] => [id, live.network.peek(networkId)?.name ?? ""]),
	]);
	const others = [...names.keys()].filter((id) => !value.includes(id));
	const swap = (a: number, b: number) => {
		const next = [...value];
		[next[a], next[b]] = [next[b] ?? "", next[a] ?? ""];
		onChange(next);
	};
	return (
		<fieldset class="boot-order">
			<legend class="field__label">{t.boot}</legend>
			<p class="field__hint">{t.bootHint}</p>
			<ol>
				{value.map((id, index) => (
					<li key={id}>
						<span class="boot-order__number">{index + 1}</span>
						<span class="boot-order__name">
							{id} <span class="muted">{names.get(id)}</span>
						</span>
						<IconButton
							small
							icon={ArrowUp}
							label={t.bootUp(id)}
							obstacle={index === 0 ? t.bootHint : null}
							onClick={() => swap(index, index - 1)}
						/>
						<IconButton
							small
							icon={ArrowDown}
							label={t.bootDown(id)}
							obstacle={index === value.length - 1 ? t.bootHint : null}
							onClick={() => swap(index, index + 1)}
						/>
						<IconButton
							small
							icon={X}
							label={t.bootRemove(id)}
							onClick={() => onChange(value.filter((other) => other !== id))}
						/>
					</li>
				))}
			</ol>
			{others.length > 0 && (
				<div class="boot-order__others">
					<span class="muted">{t.bootAdd}</span>
					{others.map((id) => (
						<Button key={id} small icon={Plus} onClick={() => onChange([...value, id])}>
							{id}
						</Button>
					))}
				</div>
			)}
		</fieldset>
	);
}
