/** What saving would do, and when; shown as soon as something differs. */

import { useEffect } from "preact/hooks";
import type { Vm } from "../../../api/types.ts";
import { Button } from "../../../components/button.tsx";
import type { Form } from "../../../components/form.ts";
import { SubmitButton } from "../../../components/submit-button.tsx";
import { common } from "../../../strings/common.ts";
import { settings as t } from "../../../strings/settings.ts";
import { changesByTime, type SettingsValues } from "./values.ts";

const names: Record<keyof SettingsValues, string> = {
	name: common.name,
	description: common.description,
	tags: common.tags,
	vcpus: t.vcpus,
	maxVcpus: t.maxVcpus,
	cpuModel: t.cpuModel,
	memoryBytes: t.memory,
	maxMemoryBytes: t.maxMemory,
	firmware: t.firmware,
	tpm: t.tpm,
	bootOrder: t.boot,
	autostart: t.autostart,
	autostartOrder: t.order,
	autostartDelaySeconds: t.delay,
	shutdownSeconds: t.shutdownTimeout,
	cloudInit: t.cloudInit,
};

type Props = {
	vm: Vm;
	form: Form<SettingsValues>;
	before: SettingsValues;
	obstacle: string | null;
	onRevert: () => void;
};

export function SaveBar({ vm, form, before, obstacle, onRevert }: Props) {
	const shown = form.dirty.value;
	useEffect(() => {
		// It came up over what is being typed into: the field moves above it (scroll-margin in settings.css).
		const field = document.activeElement;
		if (shown && field?.closest(".settings")) field.scrollIntoView({ block: "nearest" });
	}, [shown]);
	if (!shown) return null;
	const changes = changesByTime(before, form.values.value);
	const stopped = vm.status.powerState === "stopped" || vm.status.powerState === "failed";
	const line = (label: string, keys: readonly (keyof SettingsValues)[]) =>
		keys.length > 0 && (
			<p>
				<strong>{label}:</strong> {keys.map((key) => names[key]).join(", ")}
			</p>
		);
	return (
		<section class="save-bar" aria-label={t.changesTitle}>
			<div class="save-bar__text">
				{stopped ? (
					<p>{t.changeStopped}</p>
				) : (
					<>
						{line(t.changeNow, changes.now)}
						{line(t.changeMaybe, changes.maybe)}
						{line(t.changeRestart, changes.restart)}
					</>
				)}
			</div>
			<Button onClick={onRevert}>{t.revert}</Button>
			<SubmitButton form={form} obstacle={obstacle}>
				{t.save}
			</SubmitButton>
		</section>
	);
}
