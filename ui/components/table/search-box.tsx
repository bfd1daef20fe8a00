/** A search box that narrows as one types; Escape empties it. */
import { Search, X } from "lucide-preact";
import { common as t } from "../../strings/common.ts";

export function SearchBox({
	value,
	onInput,
	label,
}: {
	value: string;
	onInput: (text: string) => void;
	label: string;
}) {
	return (
		<span class="search-box">
			<Search size={14} class="search-box__icon" aria-hidden="true" />
			<input
				type="search"
				class="input search-box__input"
				aria-label={label}
				placeholder={t.search}
				value={value}
				autoComplete="off"
				spellcheck={false}
				data-search
				onInput={(event) => onInput(event.currentTarget.value)}
				onKeyDown={(event) => {
					if (event.key !== "Escape") return;
					if (value === "") event.currentTarget.blur();
					else onInput("");
				}}
			/>
			{value !== "" && (
				<button type="button" class="search-box__clear" aria-label={t.clear} onClick={() => onInput("")}>
					<X size={14} aria-hidden="true" />
				</button>
			)}
		</span>
	);
}
