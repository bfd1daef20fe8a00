/** The button that sends a form: off, with the reason, while nothing can be changed. */
import type { ComponentChildren } from "preact";
import { Button } from "./button.tsx";
import type { Form } from "./form.ts";

type Props<Values> = {
	form: Form<Values>;
	children: ComponentChildren;
	/** What else is in the way, the role for example. */
	obstacle?: string | null;
	/** With what is filled in now, something is lost by it. */
	danger?: boolean;
};

export function SubmitButton<Values>({ form, children, obstacle = null, danger = false }: Props<Values>) {
	return (
		<Button
			type="submit"
			kind={danger ? "danger" : "primary"}
			busy={form.busy.value}
			obstacle={obstacle ?? form.obstacle.value}
		>
			{children}
		</Button>
	);
}
