/**
 * Asking before something that cannot be taken back. `confirm` resolves true or false; what will be lost is said in
 * the body; `typedName` asks for the name when data go for good.
 */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { writeObstacle } from "../api/staleness.ts";
import { common as t } from "../strings/common.ts";
import { Button } from "./button.tsx";
import { Dialog } from "./dialog.tsx";
import { CheckboxField, TextField } from "./fields.tsx";

export type ConfirmRequest = {
	title: string;
	/** May depend on the option. */
	body: ComponentChildren | ((option: boolean) => ComponentChildren);
	/** The verb, on the button: "Delete VM". */
	confirmLabel: string;
	danger?: boolean;
	typedName?: string;
	/** A choice to make on the way, for example whether the disks go too. */
	option?: { label: string; hint?: string; initial: boolean };
};
export type ConfirmAnswer = { confirmed: false } | { confirmed: true; option: boolean };

const current = signal<{ request: ConfirmRequest; resolve: (answer: ConfirmAnswer) => void } | null>(null);

export async function confirm(request: ConfirmRequest): Promise<boolean> {
	return (await confirmWithOption(request)).confirmed;
}

export function confirmWithOption(request: ConfirmRequest): Promise<ConfirmAnswer> {
	current.peek()?.resolve({ confirmed: false });
	return new Promise((resolve) => {
		current.value = { request, resolve };
	});
}

export function ConfirmHost() {
	const asked = current.value;
	if (!asked) return null;
	const answer = (value: ConfirmAnswer) => {
		current.value = null;
		asked.resolve(value);
	};
	return <ConfirmDialog key={asked.request.title} request={asked.request} onAnswer={answer} />;
}

function ConfirmDialog({ request, onAnswer }: { request: ConfirmRequest; onAnswer: (answer: ConfirmAnswer) => void }) {
	const { title, body, confirmLabel, danger = false, typedName, option } = request;
	const [typed, setTyped] = useState("");
	const [chosen, setChosen] = useState(option?.initial ?? false);
	const matches = typedName === undefined || typed.trim() === typedName;
	// What is asked about writes: the connection or the quorum may have gone meanwhile.
	const obstacle = matches ? writeObstacle() : t.typeToConfirm(typedName ?? "");
	const submit = () => {
		if (obstacle === null) onAnswer({ confirmed: true, option: chosen });
	};
	return (
		<Dialog
			title={title}
			onClose={() => onAnswer({ confirmed: false })}
			onSubmit={submit}
			footer={
				<>
					<Button onClick={() => onAnswer({ confirmed: false })} autoFocus={typedName === undefined}>
						{t.cancel}
					</Button>
					<Button type="submit" kind={danger ? "danger" : "primary"} obstacle={obstacle}>
						{confirmLabel}
					</Button>
				</>
			}
		>
			{typeof body === "function" ? body(chosen) : body}
			{option && <CheckboxField label={option.label} hint={option.hint} checked={chosen} onChange={setChosen} />}
			{typedName !== undefined && (
				<TextField label={t.typeToConfirm(typedName)} value={typed} onInput={setTyped} plain autoFocus />
			)}
		</Dialog>
	);
}
