/** Types a text into the guest, key by key. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "../../../components/button.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { ProgressBar } from "../../../components/feedback.tsx";
import { TextAreaField } from "../../../components/fields.tsx";
import { Notice } from "../../../components/layout.tsx";
import { common } from "../../../strings/common.ts";
import { consoleText as t } from "../../../strings/console.ts";
import { typeText } from "./keys.ts";
import type { Screen } from "./rfb.ts";

/** Fast enough for a page of text, slow enough for firmware and boot loaders to keep up. */
const keyEveryMs = 12;

export function PasteDialog({ screen, onClose }: { screen: Screen; onClose: () => void }) {
	const [text, setText] = useState("");
	const [done, setDone] = useState<number | null>(null);
	const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
	const { strokes, untypable } = typeText(text);
	useEffect(() => () => clearTimeout(timer.current ?? undefined), []);
	const next = (at: number) => {
		const stroke = strokes[at];
		if (!stroke) {
			onClose();
			return;
		}
		screen.type(stroke);
		setDone(at + 1);
		timer.current = setTimeout(() => next(at + 1), keyEveryMs);
	};
	const start = () => {
		if (strokes.length > 0 && done === null) next(0);
	};
	return (
		<Dialog
			title={t.pasteTitle}
			onClose={onClose}
			dirty={text !== "" && done === null}
			onSubmit={start}
			footer={
				done === null ? (
					<>
						<Button onClick={onClose}>{common.cancel}</Button>
						<Button type="submit" kind="primary" obstacle={strokes.length === 0 ? common.required : null}>
							{t.pasteSend(strokes.length)}
						</Button>
					</>
				) : (
					<Button onClick={onClose}>{t.pasteStop}</Button>
				)
			}
		>
			<TextAreaField
				label={t.pasteText}
				hint={t.pasteHint}
				value={text}
				onInput={setText}
				rows={5}
				mono
				plain
				autoFocus
			/>
			{untypable.length > 0 && <Notice tone="warning">{t.pasteUntypable(untypable.join(" "))}</Notice>}
			{done !== null && (
				<div>
					<ProgressBar percent={(done / strokes.length) * 100} label={t.pasteTitle} />
					<p class="muted">{t.pasteTyping(done, strokes.length)}</p>
				</div>
			)}
		</Dialog>
	);
}
