/** A search box that narrows as one types; Escape empties it, "/" leads to it. */
import { signal } from "@preact/signals";
import { Search, X } from "lucide-preact";
import { useEffect } from "preact/hooks";
import { common as t } from "../../strings/common.ts";
import { Kbd } from "../layout.tsx";

/** How many are on the page: with one, "/" is taken. */
export const searchBoxes = signal(0);

export function SearchBox({
	value,
	onInput,
	label,
}: {
	value: string;
	onInput: (text: string) => void;
	label: string;
}) {
	useEffect(() => {
		searchBoxes.value += 1;
		return () => {
			searchBoxes.value -= 1;
		};
	}, []);
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
			{value === "" && (
				<span class="search-box__key" aria-hidden="true">
					<Kbd keys="/" />
				</span>
			)}
			{value !== "" && (
				<button type="button" class="search-box__clear" aria-label={t.clear} onClick={() => onInput("")}>
					<X size={14} aria-hidden="true" />
				</button>
			)}
		</span>
	);
}
