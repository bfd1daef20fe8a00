/**
 * A list that one thing is taken from, with what there is to know of each. What cannot be taken is there as well, off,
 * with the reason in its line; it stays focusable, so that the reason is found by keyboard.
 */
import { useId } from "preact/hooks";
import "./pick-list.css";

export type Pick = {
	value: string;
	name: string;
	note?: string | undefined;
	/** What to mind when it is taken. */
	warning?: string | null;
	/** Why it cannot be taken. */
	obstacle?: string | null;
};

export function PickList(props: {
	label: string;
	choices: readonly Pick[];
	value: string;
	onChoose: (value: string) => void;
	mono?: boolean;
}) {
	const name = useId();
	return (
		<fieldset class="pick-list">
			<legend class="field__label">{props.label}</legend>
			<div class="pick-list__box">
				{props.choices.map(({ value, name: shown, note, warning, obstacle }) => (
					<label key={value} class={`pick-list__choice${obstacle ? " pick-list__choice--off" : ""}`}>
						<input
							type="radio"
							name={name}
							value={value}
							checked={value === props.value}
							aria-disabled={obstacle ? true : undefined}
							onClick={(event) => {
								if (obstacle) event.preventDefault();
							}}
							onChange={() => {
								if (!obstacle) props.onChoose(value);
							}}
						/>
						<span class={`pick-list__name${props.mono ? " mono" : ""}`}>{shown}</span>
						{note && <span class="pick-list__note">{note}</span>}
						{warning && <span class="pick-list__obstacle">{warning}</span>}
						{obstacle && <span class="pick-list__obstacle">{obstacle}</span>}
					</label>
				))}
			</div>
		</fieldset>
	);
}
