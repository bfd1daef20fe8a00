/** A file input the size of a place to drop a file on: browsers take drops on it by themselves. */
import { FileUp } from "lucide-preact";
import { Field } from "../../components/field.tsx";
import { formatBytes } from "../../lib/format.ts";
import { images as t } from "../../strings/images.ts";

type Props = { file: File | null; error: string | null; onFile: (file: File) => void };

export function FileInput({ file, error, onFile }: Props) {
	return (
		<Field label={t.file} error={error}>
			{({ id, describedBy, invalid }) => (
				<div class="file-input">
					<FileUp size={20} aria-hidden="true" />
					<span>{file ? t.fileChosen(file.name, formatBytes(file.size)) : t.drop}</span>
					<input
						id={id}
						type="file"
						class="file-input__input"
						aria-describedby={describedBy}
						aria-invalid={invalid || undefined}
						onChange={(event) => {
							const chosen = event.currentTarget.files?.[0];
							if (chosen) onFile(chosen);
						}}
					/>
				</div>
			)}
		</Field>
	);
}
