/**
 * Buttons. One that is not allowed now is shown, off, and says why: give `obstacle`. It stays focusable, so that the
 * reason can be found by keyboard and screen reader.
 */
import { LoaderCircle } from "lucide-preact";
import type { ComponentChildren, Ref } from "preact";
import type { Icon } from "./icons.ts";
import { Described, tooltipProps } from "./tooltip.tsx";
import "./button.css";

export type ButtonKind = "primary" | "secondary" | "ghost" | "danger";

export type ButtonProps = {
	children?: ComponentChildren;
	kind?: ButtonKind;
	small?: boolean;
	icon?: Icon;
	/** Why it cannot be used now, as a sentence. */
	obstacle?: string | null | undefined;
	busy?: boolean;
	type?: "button" | "submit";
	onClick?: (event: MouseEvent) => void;
	/** Makes it a link that looks like a button. */
	href?: string;
	download?: boolean | string;
	label?: string;
	pressed?: boolean;
	expanded?: boolean;
	hasPopup?: "menu" | "dialog";
	class?: string;
	elementRef?: Ref<HTMLButtonElement>;
	autoFocus?: boolean;
};

export function Button(props: ButtonProps) {
	const { children, kind = "secondary", small, icon: IconOf, obstacle = null, busy = false, href, label } = props;
	const off = obstacle !== null || busy;
	const classes = `button button--${kind}${small ? " button--small" : ""}${children ? "" : " button--icon"}${props.class ? ` ${props.class}` : ""}`;
	const content = (
		<>
			{busy ? (
				<LoaderCircle class="spin" size={small ? 14 : 16} aria-hidden="true" />
			) : (
				IconOf && <IconOf size={small ? 14 : 16} aria-hidden="true" />
			)}
			{children && <span class="button__text">{children}</span>}
		</>
	);
	const tip = tooltipProps(obstacle ?? (children ? null : label), obstacle !== null);
	if (href !== undefined && !off) {
		return (
			<a class={classes} href={href} download={props.download} aria-label={label} {...tip}>
				{content}
			</a>
		);
	}
	return (
		<Described text={obstacle}>
			{(id) => (
				<button
					ref={props.elementRef ?? null}
					type={props.type ?? "button"}
					class={classes}
					aria-label={label}
					aria-disabled={off || undefined}
					aria-busy={busy || undefined}
					aria-describedby={id}
					aria-pressed={props.pressed}
					aria-expanded={props.expanded}
					aria-haspopup={props.hasPopup}
					data-autofocus={props.autoFocus || undefined}
					onClick={(event) => {
						if (off) event.preventDefault();
						else props.onClick?.(event);
					}}
					{...tip}
				>
					{content}
				</button>
			)}
		</Described>
	);
}

/** A button with an icon only; its label is its tooltip. */
export function IconButton(props: Omit<ButtonProps, "children" | "icon" | "label"> & { icon: Icon; label: string }) {
	return <Button kind="ghost" {...props} />;
}
