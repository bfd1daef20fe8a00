/** The first sign-in with a password that somebody else chose: nothing else until it is changed. */

import { Button } from "../../components/button.tsx";
import { usePageTitle } from "../../components/page.tsx";
import { signOutNow } from "../../frame/commands.ts";
import { auth as t } from "../../strings/auth.ts";
import { AuthFrame } from "./auth-frame.tsx";
import { PasswordForm } from "./password-form.tsx";

export function MustChangePasswordPage() {
	usePageTitle(t.changeTitle);
	return (
		<AuthFrame title={t.changeTitle}>
			<p class="muted">{t.changeText}</p>
			<PasswordForm autoFocus />
			<Button kind="ghost" onClick={signOutNow}>
				{t.signOut}
			</Button>
		</AuthFrame>
	);
}
