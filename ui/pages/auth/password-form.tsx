/** Changing one's own password: at the first sign-in, and from the account page. */
import { call } from "../../api/call.ts";
import { toastSuccess } from "../../api/notify.ts";
import { refreshMe } from "../../api/session.ts";
import { TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { minPasswordLength } from "../../lib/patterns.ts";
import { auth as t } from "../../strings/auth.ts";
import { common } from "../../strings/common.ts";

type Values = { currentPassword: string; newPassword: string; repeat: string };

export function validatePassword({ currentPassword, newPassword, repeat }: Values): FieldErrors {
	const errors: FieldErrors = {};
	if (currentPassword === "") errors["/currentPassword"] = common.required;
	if (newPassword.length < minPasswordLength) errors["/newPassword"] = t.tooShort;
	else if (newPassword === currentPassword) errors["/newPassword"] = t.same;
	if (repeat !== newPassword) errors["/repeat"] = t.mismatch;
	return errors;
}

export function PasswordForm({ onDone, autoFocus }: { onDone?: () => void; autoFocus?: boolean }) {
	const form = useForm<Values>({
		initial: { currentPassword: "", newPassword: "", repeat: "" },
		validate: validatePassword,
		async submit({ currentPassword, newPassword }) {
			await call("mePasswordChange", { body: { currentPassword, newPassword } });
			toastSuccess(t.changed);
			onDone?.();
			await refreshMe();
		},
	});
	const { currentPassword, newPassword, repeat } = form.values.value;
	return (
		<form
			class="auth-frame__form"
			noValidate
			onSubmit={(event) => {
				event.preventDefault();
				void form.submit();
			}}
		>
			<FormError form={form} title={t.changeFailed} />
			<TextField
				label={t.current}
				type="password"
				autoComplete="current-password"
				value={currentPassword}
				error={form.error("/currentPassword")}
				onInput={(value) => form.set({ currentPassword: value })}
				autoFocus={autoFocus}
			/>
			<TextField
				label={t.next}
				type="password"
				autoComplete="new-password"
				hint={t.passwordHint}
				value={newPassword}
				error={newPassword === "" ? null : form.error("/newPassword")}
				onInput={(value) => form.set({ newPassword: value })}
			/>
			<TextField
				label={t.repeat}
				type="password"
				autoComplete="new-password"
				value={repeat}
				error={repeat === "" ? null : form.error("/repeat")}
				onInput={(value) => form.set({ repeat: value })}
			/>
			<SubmitButton form={form}>{t.changeSubmit}</SubmitButton>
		</form>
	);
}
