/** Shows where a dragged file would go, and takes it. */
import { FileUp } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { images as t } from "../../strings/images.ts";

type Props = { disabled: boolean; onFile: (file: File) => void; children: ComponentChildren };

export function DropArea({ disabled, onFile, children }: Props) {
	const [over, setOver] = useState(false);
	const hasFile = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
	return (
		// biome-ignore lint/a11y/noStaticElementInteractions: dropping is the pointer's way; the button does the same
		<div
			class="drop-area"
			onDragOver={(event) => {
				if (disabled || !hasFile(event)) return;
				event.preventDefault();
				setOver(true);
			}}
			onDragLeave={(event) => {
				if (!(event.relatedTarget instanceof Node) || !event.currentTarget.contains(event.relatedTarget))
					setOver(false);
			}}
			onDrop={(event) => {
				const file = event.dataTransfer?.files[0];
				if (disabled || !file) return;
				event.preventDefault();
				setOver(false);
				onFile(file);
			}}
		>
			{children}
			{over && (
				<div class="drop-area__sign" aria-hidden="true">
					<FileUp size={28} />
					{t.dropAnywhere}
				</div>
			)}
		</div>
	);
}
