/** Adding and changing users. */
import { call } from "../../api/call.ts";
import { toastSuccess } from "../../api/notify.ts";
import type { Role, User } from "../../api/types.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { CheckboxField, SelectField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { fits, minPasswordLength, userNamePattern } from "../../lib/patterns.ts";
import { access } from "../../strings/access.ts";
import { common } from "../../strings/common.ts";
import { type Captured, CapturedErrors, useCaptured } from "../shared/captured.tsx";

const t = access.users;
const roleChoices = (["viewer", "operator", "admin"] as const).map((value) => ({ value, label: access.roles[value] }));

/** 20 characters of an alphabet without look-alikes: about 115 bits. */
export function makePassword(): string {
	const alphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
	let password = "";
	while (password.length < 20) {
		for (const byte of crypto.getRandomValues(new Uint8Array(32))) {
			// Bytes beyond a whole multiple would favour the first letters.
			if (byte < 256 - (256 % alphabet.length) && password.length < 20) password += alphabet[byte % alphabet.length];
		}
	}
	return password.replace(/(.{5})(?=.)/g, "$1-");
}

type PasswordProps = { label: string; value: string; error: string | null; onInput: (value: string) => void };

function NewPasswordField({ label, value, error, onInput }: PasswordProps) {
	return (
		<>
			<TextField
				label={label}
				hint={t.passwordHint}
				value={value}
				plain
				mono
				autoComplete="new-password"
				error={error}
				onInput={onInput}
			/>
			<div>
				<Button small onClick={() => onInput(makePassword())}>
					{t.generate}
				</Button>
			</div>
		</>
	);
}

export function AddUserPanel({ onClose }: { onClose: () => void }) {
	const form = useForm({
		initial: { name: "", displayName: "", role: "operator" as Role, password: "" },
		validate({ name, password }): FieldErrors {
			const errors: FieldErrors = {};
			if (!fits(userNamePattern, name)) errors["/name"] = name === "" ? common.required : t.nameInvalid;
			if (password.length < minPasswordLength) errors["/password"] = t.passwordShort;
			return errors;
		},
		async submit({ name, displayName, role, password }) {
			const body = { name, role, password, ...(displayName === "" ? {} : { displayName }) };
			await write("userCreate", { body });
			onClose();
		},
	});
	const { name, displayName, role, password } = form.values.value;
	return (
		<Dialog
			kind="panel"
			title={t.add}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.add}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.addFailed} />
			<TextField
				label={t.name}
				hint={t.nameHint}
				plain
				value={name}
				error={form.error("/name")}
				onInput={(value) => form.set({ name: value })}
			/>
			<TextField
				label={t.displayName}
				optional
				value={displayName}
				error={form.error("/displayName")}
				onInput={(value) => form.set({ displayName: value })}
			/>
			<SelectField
				label={access.role}
				hint={access.roleHints[role]}
				value={role}
				choices={roleChoices}
				onChange={(value) => form.set({ role: value })}
			/>
			<NewPasswordField
				label={t.password}
				value={password}
				error={form.error("/password")}
				onInput={(value) => form.set({ password: value })}
			/>
		</Dialog>
	);
}

/** `user` as it is now; the form keeps to what it was when it was opened. */
export function EditUserPanel({ user, onClose }: { user: User; onClose: () => void }) {
	const captured = useCaptured(user);
	return <EditUserForm key={captured.turn} captured={captured} onClose={onClose} />;
}

function EditUserForm({ captured, onClose }: { captured: Captured<User>; onClose: () => void }) {
	const user = captured.base;
	const form = useForm({
		initial: { displayName: user.displayName, role: user.role, enabled: user.enabled },
		validate: () => ({}),
		async submit(body) {
			await write("userUpdate", { id: user.id, body, generation: user.generation });
			onClose();
		},
	});
	const { displayName, role, enabled } = form.values.value;
	return (
		<Dialog
			kind="panel"
			title={t.editTitle(user.name)}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{common.saveChanges}</SubmitButton>
				</>
			}
		>
			<CapturedErrors form={form} title={t.editFailed} captured={captured} />
			<TextField
				label={t.displayName}
				optional
				value={displayName}
				error={form.error("/displayName")}
				onInput={(value) => form.set({ displayName: value })}
			/>
			<SelectField
				label={access.role}
				hint={access.roleHints[role]}
				value={role}
				error={form.error("/role")}
				choices={roleChoices}
				onChange={(value) => form.set({ role: value })}
			/>
			<CheckboxField
				label={t.enabled}
				hint={t.mayHint}
				checked={enabled}
				onChange={(value) => form.set({ enabled: value })}
			/>
		</Dialog>
	);
}

export function ResetPasswordDialog({ user, onClose }: { user: User; onClose: () => void }) {
	const form = useForm({
		initial: { newPassword: "" },
		validate: ({ newPassword }): FieldErrors =>
			newPassword.length < minPasswordLength ? { "/newPassword": t.passwordShort } : {},
		async submit(body) {
			await call("userPasswordReset", { id: user.id, body });
			toastSuccess(t.resetDone(user.name));
			onClose();
		},
	});
	return (
		<Dialog
			title={t.resetTitle(user.name)}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.reset}</SubmitButton>
				</>
			}
		>
			<p>{t.resetText}</p>
			<FormError form={form} title={t.resetFailed} />
			<NewPasswordField
				label={t.password}
				value={form.values.value.newPassword}
				error={form.error("/newPassword")}
				onInput={(value) => form.set({ newPassword: value })}
			/>
		</Dialog>
	);
}
