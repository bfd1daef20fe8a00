/** One's own account: password, sessions, tokens. */
import { User } from "lucide-preact";
import { me } from "../../api/session.ts";
import { Card, Grid, Properties, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { access } from "../../strings/access.ts";
import { auth } from "../../strings/auth.ts";
import { SessionsTable } from "../administration/sessions.tsx";
import { TokensTable } from "../administration/tokens.tsx";
import { PasswordForm } from "../auth/password-form.tsx";

const t = auth.account;

export default function AccountPage() {
	const who = me.value;
	if (!who) return null;
	return (
		<Page title={t.title} icon={User}>
			<Stack>
				<Grid>
					<Card title={t.profile}>
						<Properties
							items={[
								[auth.user, who.requester.name],
								who.user !== null && who.user.displayName !== "" && [access.users.displayName, who.user.displayName],
								[t.role, access.roles[who.role]],
								[
									"",
									<span key="hint" class="muted">
										{access.roleHints[who.role]}
									</span>,
								],
							]}
						/>
					</Card>
					<Card title={t.password}>
						<Stack>
							<p class="muted">{t.passwordText}</p>
							<PasswordForm />
						</Stack>
					</Card>
				</Grid>
				<Card title={t.sessions} flush>
					<SessionsTable of={who.requester.id} />
				</Card>
				<Card title={t.tokens} flush>
					<TokensTable of={who.requester.id} />
				</Card>
			</Stack>
		</Page>
	);
}
