/**
 * Modal dialogs and side panels, on the browser's own <dialog>: focus stays inside, the rest is inert, Escape closes,
 * focus goes back to where it came from. With `dirty`, closing asks first, so that nothing typed is lost by accident.
 */
import { X } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { common as t } from "../strings/common.ts";
import { Button, IconButton } from "./button.tsx";
import "./dialog.css";

export type DialogProps = {
	title: string;
	onClose: () => void;
	children: ComponentChildren;
	/** Buttons, the main one last. */
	footer?: ComponentChildren;
	kind?: "modal" | "panel";
	wide?: boolean;
	/** True while something was typed that closing would lose. */
	dirty?: boolean;
	/** Makes the content a form: Enter submits it. */
	onSubmit?: () => void;
};

/** Of radio buttons the Tab key goes to the one that is chosen, and so does the focus at the beginning. */
const chosenOf = (first: HTMLElement | null, within: HTMLElement): HTMLElement | null =>
	first instanceof HTMLInputElement && first.type === "radio"
		? within.querySelector<HTMLElement>(`input[type=radio][name="${CSS.escape(first.name)}"]:checked`)
		: null;

export function Dialog(props: DialogProps) {
	const { title, onClose, children, footer, kind = "modal", wide = false, dirty = false, onSubmit } = props;
	const dialog = useRef<HTMLDialogElement>(null);
	const titleId = useId();
	const [asking, setAsking] = useState(false);

	useEffect(() => {
		const before = document.activeElement;
		const element = dialog.current;
		if (!element) return;
		element.showModal();
		const first = element.querySelector<HTMLElement>(
			"[data-autofocus], .dialog__body input:not([type=hidden]), .dialog__body select, .dialog__body textarea",
		);
		(chosenOf(first, element) ?? first)?.focus();
		return () => {
			element.close();
			if (before instanceof HTMLElement && before.isConnected) before.focus();
		};
	}, []);

	const close = () => {
		if (dirty && !asking) setAsking(true);
		else onClose();
	};
	const body = (
		<>
			<header class="dialog__header">
				<h2 id={titleId}>{title}</h2>
				<IconButton icon={X} label={t.close} small onClick={close} />
			</header>
			<div class="dialog__body">{children}</div>
			{asking ? (
				<footer class="dialog__footer dialog__footer--asking">
					<span role="alert">{t.discardQuestion}</span>
					<Button onClick={() => setAsking(false)} autoFocus>
						{t.keepEditing}
					</Button>
					<Button kind="danger" onClick={onClose}>
						{t.discard}
					</Button>
				</footer>
			) : (
				footer && <footer class="dialog__footer">{footer}</footer>
			)}
		</>
	);
	return (
		<dialog
			ref={dialog}
			class={`dialog dialog--${kind}${wide ? " dialog--wide" : ""}`}
			aria-labelledby={titleId}
			onCancel={(event) => {
				event.preventDefault();
				close();
			}}
			onKeyDown={(event) => {
				if (event.key !== "Escape" || event.defaultPrevented) return;
				// Before the browser does it: a second Escape would close without asking.
				event.preventDefault();
				event.stopPropagation();
				if (asking) setAsking(false);
				else close();
			}}
		>
			{onSubmit ? (
				<form
					class="dialog__content"
					noValidate
					onSubmit={(event) => {
						event.preventDefault();
						onSubmit();
					}}
				>
					{body}
				</form>
			) : (
				<div class="dialog__content">{body}</div>
			)}
		</dialog>
	);
}
