/** Text, number, choice, yes/no, tags. Sizes are in size-field.tsx. */
import { X } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useState } from "preact/hooks";
import { fits, tagPattern } from "../lib/patterns.ts";
import { common as t } from "../strings/common.ts";
import { Field, type FieldProps } from "./field.tsx";

type TextProps = FieldProps & {
	value: string;
	onInput: (value: string) => void;
	onBlur?: () => void;
	type?: "text" | "password" | "url" | "date";
	placeholder?: string;
	autoComplete?: "off" | "username" | "current-password" | "new-password";
	/** No spell check, no capitals: names, addresses, keys. */
	plain?: boolean;
	mono?: boolean;
	autoFocus?: boolean;
	name?: string;
};

export function TextField(props: TextProps) {
	const { value, onInput, onBlur, type = "text", placeholder, autoComplete = "off", plain, mono } = props;
	return (
		<Field {...props}>
			{({ id, describedBy, invalid }) => (
				<input
					id={id}
					name={props.name}
					class={`input${mono ? " mono" : ""}`}
					// The types of JSX tie each input type to its roles; none is given here.
					type={type as "text"}
					value={value}
					placeholder={placeholder}
					autoComplete={autoComplete}
					autoCapitalize={plain ? "none" : undefined}
					spellcheck={plain ? false : undefined}
					aria-describedby={describedBy}
					aria-invalid={invalid || undefined}
					data-autofocus={props.autoFocus || undefined}
					onInput={(event) => onInput(event.currentTarget.value)}
					onBlur={onBlur}
				/>
			)}
		</Field>
	);
}

export function TextAreaField(props: TextProps & { rows?: number }) {
	const { value, onInput, onBlur, placeholder, plain, mono, rows = 3 } = props;
	return (
		<Field {...props}>
			{({ id, describedBy, invalid }) => (
				<textarea
					id={id}
					class={`input input--area${mono ? " mono" : ""}`}
					rows={rows}
					value={value}
					placeholder={placeholder}
					spellcheck={plain ? false : undefined}
					aria-describedby={describedBy}
					aria-invalid={invalid || undefined}
					data-autofocus={props.autoFocus || undefined}
					onInput={(event) => onInput(event.currentTarget.value)}
					onBlur={onBlur}
				/>
			)}
		</Field>
	);
}

type NumberProps = FieldProps & {
	value: number | null;
	/** Null while what is typed is no number. */
	onInput: (value: number | null) => void;
	onBlur?: () => void;
	min?: number;
	max?: number;
	step?: number;
	unit?: string;
};

export function NumberField(props: NumberProps) {
	const { value, onInput, onBlur, min, max, step, unit } = props;
	const [text, setText] = useState(value === null ? "" : String(value));
	useEffect(() => {
		if (value !== null && Number(text) !== value) setText(String(value));
	}, [value]);
	return (
		<Field {...props}>
			{({ id, describedBy, invalid }) => (
				<span class="input-group">
					<input
						id={id}
						class="input"
						type="number"
						inputMode="numeric"
						value={text}
						min={min}
						max={max}
						step={step}
						aria-describedby={describedBy}
						aria-invalid={invalid || undefined}
						onInput={(event) => {
							const typed = event.currentTarget.value;
							setText(typed);
							const number = Number(typed);
							onInput(typed.trim() === "" || !Number.isFinite(number) ? null : number);
						}}
						onBlur={onBlur}
					/>
					{unit && <span class="input-group__unit">{unit}</span>}
				</span>
			)}
		</Field>
	);
}

export type Choice<Value extends string> = { value: Value; label: string; disabled?: boolean };
type SelectProps<Value extends string> = FieldProps & {
	value: Value;
	choices: readonly Choice<Value>[];
	onChange: (value: Value) => void;
};

export function SelectField<Value extends string>(props: SelectProps<Value>) {
	const { value, choices, onChange } = props;
	return (
		<Field {...props}>
			{({ id, describedBy, invalid }) => (
				<select
					id={id}
					class="input input--select"
					value={value}
					aria-describedby={describedBy}
					aria-invalid={invalid || undefined}
					onChange={(event) => {
						const chosen = choices.find((choice) => choice.value === event.currentTarget.value);
						if (chosen) onChange(chosen.value);
					}}
				>
					{choices.map((choice) => (
						<option key={choice.value} value={choice.value} disabled={choice.disabled}>
							{choice.label}
						</option>
					))}
				</select>
			)}
		</Field>
	);
}

type CheckboxProps = {
	label: string;
	hint?: ComponentChildren;
	checked: boolean;
	onChange: (checked: boolean) => void;
	disabled?: boolean;
	error?: string | null | undefined;
};

export function CheckboxField({ label, hint, checked, onChange, disabled, error }: CheckboxProps) {
	const id = useId();
	const describedBy = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ") || undefined;
	return (
		<div class="checkbox-field">
			<input
				id={id}
				type="checkbox"
				class="checkbox"
				checked={checked}
				disabled={disabled}
				aria-describedby={describedBy}
				aria-invalid={error ? true : undefined}
				onChange={(event) => onChange(event.currentTarget.checked)}
			/>
			<div>
				<label htmlFor={id}>{label}</label>
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
		</div>
	);
}

/** A few choices next to each other, one of them taken. */
export function SegmentedField<Value extends string>(props: {
	label: string;
	hiddenLabel?: boolean;
	value: Value;
	choices: readonly (Choice<Value> & { note?: string })[];
	onChange: (value: Value) => void;
	large?: boolean;
	hint?: string;
}) {
	const name = useId();
	return (
		<fieldset class={`segmented${props.large ? " segmented--large" : ""}`}>
			<legend class={props.hiddenLabel ? "visually-hidden" : "field__label"}>{props.label}</legend>
			<div class="segmented__choices">
				{props.choices.map((choice) => (
					<label key={choice.value} class="segmented__choice">
						<input
							type="radio"
							name={name}
							value={choice.value}
							checked={choice.value === props.value}
							disabled={choice.disabled}
							onChange={() => props.onChange(choice.value)}
						/>
						<span class="segmented__label">{choice.label}</span>
						{choice.note && <span class="segmented__note">{choice.note}</span>}
					</label>
				))}
			</div>
			{props.hint && <p class="field__hint">{props.hint}</p>}
		</fieldset>
	);
}

/** Short words as chips; comma, space or Enter ends one. `pattern` and `invalidText` say what is one. */
export function WordsField(
	props: FieldProps & {
		values: readonly string[];
		onChange: (values: string[]) => void;
		pattern?: string;
		invalidText?: string;
		placeholder?: string;
	},
) {
	const { values, onChange, pattern = tagPattern, invalidText = t.tagInvalid } = props;
	const [text, setText] = useState("");
	const bad = text.trim() !== "" && !fits(pattern, text.trim()) ? invalidText : null;
	const take = () => {
		const word = text.trim();
		if (word === "" || bad) return;
		if (!values.includes(word)) onChange([...values, word]);
		setText("");
	};
	return (
		<Field {...props} error={bad ?? props.error}>
			{({ id, describedBy, invalid }) => (
				<div class="input words">
					{values.map((word) => (
						<span key={word} class="words__word">
							{word}
							<button
								type="button"
								class="words__remove"
								aria-label={t.tagRemove(word)}
								onClick={() => onChange(values.filter((other) => other !== word))}
							>
								<X size={12} aria-hidden="true" />
							</button>
						</span>
					))}
					<input
						id={id}
						class="words__input"
						value={text}
						placeholder={values.length === 0 ? props.placeholder : undefined}
						autoComplete="off"
						autoCapitalize="none"
						spellcheck={false}
						aria-describedby={describedBy}
						aria-invalid={invalid || undefined}
						onInput={(event) => {
							const input = event.currentTarget;
							// Several at once when they are pasted.
							const words = input.value.split(/[,\s]+/);
							const rest = words.pop() ?? "";
							const ended = words.filter((word) => word !== "");
							if (!ended.every((word) => fits(pattern, word))) {
								setText(input.value);
								return;
							}
							if (ended.length > 0) onChange([...new Set([...values, ...ended])]);
							input.value = rest;
							setText(rest);
						}}
						onKeyDown={(event) => {
							if (event.key === "Enter" && text.trim() !== "") {
								event.preventDefault();
								take();
							} else if (event.key === "Backspace" && text === "" && values.length > 0) {
								onChange(values.slice(0, -1));
							}
						}}
						onBlur={take}
					/>
				</div>
			)}
		</Field>
	);
}
