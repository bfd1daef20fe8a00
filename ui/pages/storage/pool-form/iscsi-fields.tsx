/** How a LUN is reached, and which one it is: targets behind the portals, then LUNs behind the target. */
import { FieldRow } from "../../../components/field.tsx";
import { CheckboxField, SegmentedField, TextField, WordsField } from "../../../components/fields.tsx";
import type { Form } from "../../../components/form.ts";
import { formatBytes } from "../../../lib/format.ts";
import { hostPortPattern } from "../../../lib/patterns.ts";
import { storage as t } from "../../../strings/storage.ts";
import { Discovery } from "./discovery.tsx";
import type { PoolFieldsProps } from "./fields.tsx";
import { chapKinds, giveAgain, type PoolValues, questionOf } from "./values.ts";

export function IscsiFields({ form, known }: PoolFieldsProps) {
	const values = form.values.value;
	return (
		<>
			<WordsField
				label={t.portals}
				hint={t.portalsHint}
				pattern={hostPortPattern}
				invalidText={t.hostPortInvalid}
				values={values.portals}
				error={form.error("/config/portals")}
				onChange={(portals) => form.set({ portals }, "/config/portals")}
			/>
			<Chap form={form} known={known} />
			<Discovery
				action={t.lookTargets}
				label={t.targets}
				question={questionOf(values, { known })}
				missing={t.portalsFirst}
				nodeId={values.nodeIds[0]}
				choices={({ targets }) =>
					targets.map(({ name, portals }) => ({ value: name, name, note: t.at(portals.join(", ")) }))
				}
				nothing={t.noTargets}
				value={values.target}
				onChoose={(target, { targets }) => {
					// All ways to it: several make a multipath device.
					const ways = targets.find(({ name }) => name === target)?.portals ?? [];
					const portals = ways.length > 0 ? ways : values.portals;
					form.set({ target, portals }, "/config/target", "/config/portals");
				}}
			/>
			<TextField
				label={t.target}
				plain
				mono
				placeholder={t.targetExample}
				value={values.target}
				error={form.error("/config/target")}
				onInput={(target) => form.set({ target: target.trim() }, "/config/target")}
			/>
			{!known && <Lun form={form} />}
			<CheckboxField
				label={t.wipe}
				hint={values.layout === "thin" ? t.wipeThin : t.wipeHint}
				checked={values.wipeOnDelete && values.layout !== "thin"}
				disabled={values.layout === "thin"}
				error={form.error("/config/wipeOnDelete")}
				onChange={(wipeOnDelete) => form.set({ wipeOnDelete }, "/config/wipeOnDelete")}
			/>
		</>
	);
}

function Chap({ form, known }: PoolFieldsProps) {
	const values = form.values.value;
	const passwordHint = giveAgain(values, known) ?? (known ? t.keepEmpty : t.secretHint);
	return (
		<>
			<SegmentedField
				label={t.chap}
				value={values.chap}
				choices={chapKinds.map((value) => ({ value, label: t.chapKinds[value] }))}
				onChange={(chap) => form.set({ chap }, "/chap")}
			/>
			{values.chap !== "none" && (
				<FieldRow>
					<TextField
						label={t.chapUser}
						plain
						mono
						value={values.chapUser}
						error={form.error("/config/chapUser")}
						onInput={(chapUser) => form.set({ chapUser: chapUser.trim() }, "/config/chapUser")}
					/>
					<TextField
						label={t.chapPassword}
						hint={passwordHint}
						type="password"
						autoComplete="off"
						value={values.chapPassword}
						error={form.error("/credentials/chapPassword")}
						onInput={(chapPassword) => form.set({ chapPassword }, "/credentials/chapPassword")}
					/>
				</FieldRow>
			)}
			{values.chap === "both" && (
				<FieldRow>
					<TextField
						label={t.mutualChapUser}
						plain
						mono
						value={values.mutualChapUser}
						error={form.error("/config/mutualChapUser")}
						onInput={(mutualChapUser) => form.set({ mutualChapUser: mutualChapUser.trim() }, "/config/mutualChapUser")}
					/>
					<TextField
						label={t.mutualChapPassword}
						hint={passwordHint}
						type="password"
						autoComplete="off"
						value={values.mutualChapPassword}
						error={form.error("/credentials/mutualChapPassword")}
						onInput={(mutualChapPassword) => form.set({ mutualChapPassword }, "/credentials/mutualChapPassword")}
					/>
				</FieldRow>
			)}
		</>
	);
}

function Lun({ form }: { form: Form<PoolValues> }) {
	const values = form.values.value;
	return (
		<>
			<Discovery
				action={t.lookLuns}
				label={t.luns}
				question={questionOf(values, { step: "luns" })}
				missing={t.targetFirst}
				nodeId={values.nodeIds[0]}
				choices={({ luns }) =>
					luns.map(({ wwid, lun, sizeBytes, vendor, model, content }) => ({
						value: wwid,
						name: t.lun(lun, formatBytes(sizeBytes)),
						note: t.lunNote(`${vendor} ${model}`.trim(), wwid),
						warning: content === null ? null : t.lunHolds(content),
					}))
				}
				nothing={t.noLuns}
				value={values.wwid}
				onChoose={(wwid) => form.set({ wwid }, "/config/wwid")}
			/>
			<TextField
				label={t.wwid}
				hint={t.wwidHint}
				plain
				mono
				value={values.wwid}
				error={form.error("/config/wwid")}
				onInput={(wwid) => form.set({ wwid: wwid.trim() }, "/config/wwid")}
			/>
			<SegmentedField
				label={t.layout}
				large
				value={values.layout}
				choices={(["thick", "thin"] as const).map((value) => ({
					value,
					label: t.layouts[value],
					note: t.layoutNotes[value],
				}))}
				onChange={(layout) => form.set({ layout }, "/config/layout", "/nodeIds")}
			/>
		</>
	);
}
