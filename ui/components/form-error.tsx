/** What stopped a form, above its buttons: the message, fields that are not on the screen, details to copy. */
import { errorDetails } from "../api/errors.ts";
import { errors } from "../strings/errors.ts";
import { CopyButton } from "./copy.tsx";
import type { Form } from "./form.ts";
import { Notice } from "./layout.tsx";
import { Prose } from "./prose.tsx";

export function FormError<Values>({ form, title }: { form: Form<Values>; title: string }) {
	const failure = form.failure.value;
	const others = Object.entries(form.otherErrors);
	const obstacle = form.obstacle.value;
	if (!failure && others.length === 0) {
		return obstacle && <Notice tone="warning">{errors.typedIsKept(obstacle)}</Notice>;
	}
	return (
		<Notice
			tone="error"
			alert
			title={title}
			actions={failure && <CopyButton text={() => errorDetails(failure)} label={errors.copy} />}
		>
			{failure && (
				<p>
					<Prose text={failure.message} />
				</p>
			)}
			{others.length > 0 && (
				<ul>
					{others.map(([path, message]) => (
						<li key={path}>
							<code>{path}</code> {message}
						</li>
					))}
				</ul>
			)}
		</Notice>
	);
}
