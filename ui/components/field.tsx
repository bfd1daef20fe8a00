/** A form control with its label, hint and error, tied together for screen readers. All fields are made of it. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { common as t } from "../strings/common.ts";
import "./field.css";

export type FieldProps = {
	label: string;
	hint?: ComponentChildren;
	error?: string | null | undefined;
	/** Marks it as not needed. */
	optional?: boolean;
	/** The label is for screen readers only. */
	hiddenLabel?: boolean;
	narrow?: boolean;
};
export type FieldIds = { id: string; describedBy: string | undefined; invalid: boolean };

export function Field(props: FieldProps & { children: (ids: FieldIds) => ComponentChildren }) {
	const { label, hint, error, optional, hiddenLabel, narrow, children } = props;
	const id = useId();
	const describedBy = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ") || undefined;
	return (
		<div class={`field${error ? " field--invalid" : ""}${narrow ? " field--narrow" : ""}`}>
			<label class={hiddenLabel ? "visually-hidden" : "field__label"} htmlFor={id}>
				{label}
				{optional && <span class="field__optional"> {t.optional}</span>}
			</label>
			{children({ id, describedBy, invalid: Boolean(error) })}
			{hint && (
				<p class="field__hint" id={`${id}-hint`}>
					{hint}
				</p>
			)}
			{error && (
				<p class="field__error" id={`${id}-error`} role="alert">
					{error}
				</p>
			)}
		</div>
	);
}

/** Several fields under one heading, one topic each. */
export function FieldGroup({ title, hint, children }: { title: string; hint?: string; children: ComponentChildren }) {
	return (
		<fieldset class="field-group">
			<legend class="field-group__title">{title}</legend>
			{hint && <p class="field__hint">{hint}</p>}
			{children}
		</fieldset>
	);
}

export function FieldRow({ children }: { children: ComponentChildren }) {
	return <div class="field-row">{children}</div>;
}
