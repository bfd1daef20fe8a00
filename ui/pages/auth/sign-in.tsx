/** The sign-in page. After it, the page that was asked for opens. */
import { useState } from "preact/hooks";
import { toApiError } from "../../api/errors.ts";
import { session, signIn } from "../../api/session.ts";
import { Button } from "../../components/button.tsx";
import { TextField } from "../../components/fields.tsx";
import { Notice } from "../../components/layout.tsx";
import { usePageTitle } from "../../components/page.tsx";
import { formatDuration } from "../../lib/format.ts";
import { auth as t } from "../../strings/auth.ts";
import { common } from "../../strings/common.ts";
import { AuthFrame } from "./auth-frame.tsx";

export function SignInPage() {
	usePageTitle(t.title);
	const [username, setUsername] = useState("");
	const [password, setPassword] = useState("");
	const [busy, setBusy] = useState(false);
	const [failure, setFailure] = useState<string | null>(null);
	const [tried, setTried] = useState(false);
	const state = session.value;
	const reason = state.status === "signed-out" ? state.reason : "none";

	const submit = async () => {
		setTried(true);
		if (username.trim() === "" || password === "" || busy) return;
		setBusy(true);
		setFailure(null);
		try {
			await signIn(username.trim(), password);
		} catch (error) {
			const known = toApiError(error);
			const wait = known.retryAfterMs === null ? "" : ` ${t.tryAgainIn(formatDuration(known.retryAfterMs))}`;
			setFailure(known.message + wait);
			setPassword("");
			setTried(false);
		} finally {
			setBusy(false);
		}
	};
	return (
		<AuthFrame title={t.title}>
			{reason === "expired" && !failure && <Notice>{t.expired}</Notice>}
			{reason === "signed-out" && !failure && <Notice>{t.signedOut}</Notice>}
			{failure && (
				<Notice tone="error" title={t.failed} alert>
					{failure}
				</Notice>
			)}
			<form
				class="auth-frame__form"
				noValidate
				onSubmit={(event) => {
					event.preventDefault();
					void submit();
				}}
			>
				<TextField
					label={t.user}
					name="username"
					value={username}
					onInput={setUsername}
					autoComplete="username"
					plain
					autoFocus
					error={tried && username.trim() === "" ? common.required : null}
				/>
				<TextField
					label={t.password}
					name="password"
					type="password"
					value={password}
					onInput={setPassword}
					autoComplete="current-password"
					error={tried && password === "" ? common.required : null}
				/>
				<Button kind="primary" type="submit" busy={busy}>
					{t.submit}
				</Button>
			</form>
		</AuthFrame>
	);
}
