/**
 * The object that an edit form was opened with. Its values and its generation stay as they were then, however the live
 * object changes, so that a save after somebody else's is refused (412) rather than taking theirs back; the notice says
 * so before it is tried. What was typed stays until `reload`.
 */
import { useState } from "preact/hooks";
import { Button } from "../../components/button.tsx";
import type { Form } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { Notice } from "../../components/layout.tsx";
import { common } from "../../strings/common.ts";

export type Captured<T> = {
	base: T;
	/** Key of the form: another one starts anew from `base`. */
	turn: number;
	/** Somebody else has saved since. */
	changed: boolean;
	reload: () => void;
};

export function useCaptured<T extends { generation: number }>(object: T): Captured<T> {
	const [{ base, turn }, setBase] = useState({ base: object, turn: 0 });
	return {
		base,
		turn,
		changed: object.generation > base.generation,
		reload: () => setBase({ base: object, turn: turn + 1 }),
	};
}

type ErrorsProps<Values> = { form: Form<Values>; title: string; captured: Captured<unknown> };

/** Above the fields: what failed, and that the values are old. */
export function CapturedErrors<Values>({ form, title, captured }: ErrorsProps<Values>) {
	// One's own save changes the object as well.
	const changed = captured.changed && !form.busy.value;
	const said = changed && form.failure.value?.code === "stale-etag";
	return (
		<>
			{changed && (
				<Notice
					tone="warning"
					alert
					actions={
						<Button small onClick={captured.reload}>
							{common.reload}
						</Button>
					}
				>
					{common.staleEdit}
				</Notice>
			)}
			{!said && <FormError form={form} title={title} />}
		</>
	);
}
