/** How an NFS pool is reached. */
import { FieldRow } from "../../../components/field.tsx";
import { SelectField, TextField, WordsField } from "../../../components/fields.tsx";
import { Disclosure } from "../../../components/layout.tsx";
import { mountOptionPattern } from "../../../lib/patterns.ts";
import { storage as t } from "../../../strings/storage.ts";
import { Discovery } from "./discovery.tsx";
import type { PoolFieldsProps } from "./fields.tsx";
import { nfsVersions, questionOf } from "./values.ts";

export function NfsFields({ form, known }: PoolFieldsProps) {
	const values = form.values.value;
	return (
		<>
			<TextField
				label={t.server}
				hint={t.serverHint}
				plain
				mono
				value={values.server}
				error={form.error("/config/server")}
				onInput={(server) => form.set({ server: server.trim() }, "/config/server")}
			/>
			{!known && (
				<>
					<Discovery
						action={t.lookExports}
						label={t.exports}
						question={questionOf(values)}
						missing={t.serverFirst}
						nodeId={values.nodeIds[0]}
						choices={({ exports }) =>
							exports.map(({ path, clients }) => ({ value: path, name: path, note: t.clients(clients.join(", ")) }))
						}
						nothing={t.noExports}
						value={values.exportPath}
						onChoose={(exportPath) => form.set({ exportPath }, "/config/exportPath")}
					/>
					<FieldRow>
						<TextField
							label={t.exportPath}
							plain
							mono
							placeholder={t.exportExample}
							value={values.exportPath}
							error={form.error("/config/exportPath")}
							onInput={(exportPath) => form.set({ exportPath: exportPath.trim() }, "/config/exportPath")}
						/>
						<TextField
							label={t.folderBelow}
							optional
							plain
							mono
							value={values.folder}
							error={form.error("/config/folder")}
							onInput={(folder) => form.set({ folder: folder.trim() }, "/config/folder")}
						/>
					</FieldRow>
				</>
			)}
			<Disclosure title={t.nfsOptions} note={t.nfsOptionsNote} open={values.mountOptions.length > 0}>
				<SelectField
					label={t.nfsVersion}
					narrow
					value={values.version}
					error={form.error("/config/version")}
					choices={nfsVersions.map((value) => ({ value, label: value === "" ? t.newest : value }))}
					onChange={(version) => form.set({ version }, "/config/version")}
				/>
				<WordsField
					label={t.mountOptions}
					optional
					hint={t.mountOptionsHint}
					pattern={mountOptionPattern}
					invalidText={t.mountOptionInvalid}
					values={values.mountOptions}
					error={form.error("/config/mountOptions")}
					onChange={(mountOptions) => form.set({ mountOptions }, "/config/mountOptions")}
				/>
			</Disclosure>
		</>
	);
}
