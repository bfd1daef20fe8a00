/** A size in bytes, typed with a unit. Typing "512M" or "1.5 TiB" works too and switches the unit. */
import { useEffect, useState } from "preact/hooks";
import { GiB, KiB, MiB, parseBytes, TiB } from "../../src/lib/units.ts";
import { common as t } from "../strings/common.ts";
import { Field, type FieldProps } from "./field.tsx";

const units = { KiB, MiB, GiB, TiB } as const;
type Unit = keyof typeof units;

/** The largest unit in which the size has at most one decimal. */
export function splitSize(bytes: number): { amount: string; unit: Unit } {
	for (const unit of ["TiB", "GiB", "MiB"] as const) {
		const amount = bytes / units[unit];
		if (amount >= 1 && Number.isInteger(amount * 10)) return { amount: String(amount), unit };
	}
	return bytes === 0 ? { amount: "0", unit: "GiB" } : { amount: String(bytes / KiB), unit: "KiB" };
}

type Props = FieldProps & {
	value: number | null;
	/** Null while what is typed is no size. */
	onInput: (bytes: number | null) => void;
	onBlur?: () => void;
};

export function SizeField(props: Props) {
	const { value, onInput, onBlur } = props;
	const [typed, setTyped] = useState(() => (value === null ? { amount: "", unit: "GiB" as Unit } : splitSize(value)));
	const bytesOf = (amount: string, unit: Unit): number | null => {
		const number = Number(amount);
		return amount.trim() === "" || !Number.isFinite(number) || number < 0 ? null : Math.round(number * units[unit]);
	};
	useEffect(() => {
		if (value !== null && bytesOf(typed.amount, typed.unit) !== value) setTyped(splitSize(value));
	}, [value]);
	const change = (amount: string, unit: Unit) => {
		if (/[a-z]\s*$/i.test(amount)) {
			try {
				const bytes = parseBytes(amount);
				// Units are one letter at least: "1G" is taken when the field is left.
				setTyped({ amount, unit });
				onInput(bytes);
				return;
			} catch {
				// Not yet a size.
			}
		}
		setTyped({ amount, unit });
		onInput(bytesOf(amount, unit));
	};
	return (
		<Field {...props}>
			{({ id, describedBy, invalid }) => (
				<span class="input-group">
					<input
						id={id}
						class="input"
						inputMode="decimal"
						autoComplete="off"
						value={typed.amount}
						aria-describedby={describedBy}
						aria-invalid={invalid || undefined}
						onInput={(event) => change(event.currentTarget.value, typed.unit)}
						onBlur={() => {
							if (value !== null) setTyped(splitSize(value));
							onBlur?.();
						}}
					/>
					<select
						class="input input--select input-group__select"
						aria-label={t.sizeUnit(props.label)}
						value={typed.unit}
						onChange={(event) => {
							const unit = event.currentTarget.value as Unit;
							setTyped({ amount: typed.amount, unit });
							onInput(bytesOf(typed.amount, unit));
						}}
					>
						{(Object.keys(units) as Unit[])
							.filter((unit) => unit !== "KiB" || typed.unit === "KiB")
							.map((unit) => (
								<option key={unit} value={unit}>
									{unit}
								</option>
							))}
					</select>
				</span>
			)}
		</Field>
	);
}
