/** The guest's clipboard, both ways. */
import { useEffect, useState } from "preact/hooks";
import { toastSuccess } from "../../../api/notify.ts";
import { Button } from "../../../components/button.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { TextAreaField } from "../../../components/fields.tsx";
import { common } from "../../../strings/common.ts";
import { consoleText as t } from "../../../strings/console.ts";
import type { Screen } from "./rfb.ts";

export function ClipboardDialog({ screen, text, onClose }: { screen: Screen; text: string; onClose: () => void }) {
	const [value, setValue] = useState(text);
	useEffect(() => setValue(text), [text]);
	const send = () => {
		screen.rfb.clipboardPasteFrom(value);
		toastSuccess(t.clipboardSent);
		onClose();
	};
	return (
		<Dialog
			title={t.clipboard}
			onClose={onClose}
			onSubmit={send}
			footer={
				<>
					<Button onClick={onClose}>{common.close}</Button>
					<Button type="submit" kind="primary">
						{t.clipboardSend}
					</Button>
				</>
			}
		>
			<TextAreaField
				label={t.clipboardText}
				hint={t.clipboardHint}
				value={value}
				onInput={setValue}
				rows={6}
				plain
				autoFocus
			/>
		</Dialog>
	);
}
