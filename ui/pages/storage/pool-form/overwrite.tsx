/** What a test has found on the LUN: it is destroyed when its name is typed. */
import { useEffect } from "preact/hooks";
import { TextField } from "../../../components/fields.tsx";
import type { Form } from "../../../components/form.ts";
import { Notice } from "../../../components/layout.tsx";
import { common } from "../../../strings/common.ts";
import { storage as t } from "../../../strings/storage.ts";
import type { Probe } from "./probe.tsx";
import { foundOn, lunOf, overwriteOf, type PoolValues } from "./values.ts";

/** Takes over what a test says of the LUN, which stays when the test is no longer of what is in the form. */
export function useFound(form: Form<PoolValues>, { answer, keep }: Probe): void {
	useEffect(() => {
		if (!answer) return;
		const values = form.values.peek();
		const names = [...new Set(answer.nodes.flatMap(({ found }) => found ?? []))];
		if (names.length === 0) {
			// Somebody has emptied it; unless it works because what is there was confirmed.
			const isEmpty = answer.nodes.some(({ ok }) => ok) && overwriteOf(values).overwrite === undefined;
			if (isEmpty && values.found !== null) form.set({ found: null }, "/found");
			return;
		}
		keep();
		form.set({ found: { names, on: lunOf(values) }, foundConfirmed: "" }, "/found");
	}, [answer]);
}

export function Overwrite({ form }: { form: Form<PoolValues> }) {
	const found = foundOn(form.values.value);
	if (found === null) return null;
	return (
		<Notice tone="error" title={t.overwriteTitle(found)} alert>
			<p>{t.overwriteText}</p>
			<TextField
				label={common.typeToConfirm(found)}
				plain
				mono
				value={form.values.value.foundConfirmed}
				error={form.error("/overwrite")}
				onInput={(foundConfirmed) => form.set({ foundConfirmed }, "/foundConfirmed")}
			/>
		</Notice>
	);
}
