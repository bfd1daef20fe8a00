/** The page of one user: who they are, their tokens, where they are signed in, and what they did. */
import { Shield, User as UserIcon } from "lucide-preact";
import { useLocation } from "preact-iso";
import { me, obstacleTo } from "../../api/session.ts";
import type { User } from "../../api/types.ts";
import { useObject } from "../../api/use.ts";
import { Copyable } from "../../components/copy.tsx";
import { EmptyState, ErrorState, PageSkeleton } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Card, Grid, Properties, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { useParams } from "../../lib/params.ts";
import { href } from "../../routes.ts";
import { access } from "../../strings/access.ts";
import { common } from "../../strings/common.ts";
import { SessionsTable } from "./sessions.tsx";
import { TokensTable } from "./tokens.tsx";
import { useUserActions } from "./user-actions.tsx";
import { UserState } from "./users.tsx";

const t = access.users;

export default function UserPage() {
	const obstacle = obstacleTo("userList");
	if (obstacle !== null) return <EmptyState icon={Shield} title={access.tabs.users} text={obstacle} />;
	return <KnownUser />;
}

function KnownUser() {
	const { userId } = useParams<"user">();
	const known = useObject("user", userId);
	if (known.state === "loading") return <PageSkeleton />;
	if (known.state === "error") return <ErrorState error={known.error} onRetry={known.retry} />;
	if (known.state === "gone") return <EmptyState icon={UserIcon} title={common.notFoundTitle} text={t.gone} />;
	return <UserView user={known.object} />;
}

function UserView({ user }: { user: User }) {
	const { route } = useLocation();
	const { actions, dialog } = useUserActions(() => route(href("administration", {})));
	return (
		<Page
			title={user.name}
			icon={resourceIcons.user}
			parent={{ label: access.tabs.users, href: href("administration", {}) }}
			badges={
				<>
					<UserState user={user} />
					{me.value?.requester.id === user.id && <span class="muted">({access.you})</span>}
				</>
			}
			menu={actions(user)}
		>
			<Stack>
				<Grid wide>
					<Card title={t.profile}>
						<Properties
							items={[
								user.displayName !== "" && [t.displayName, user.displayName],
								[access.role, access.roles[user.role]],
								[
									"",
									<span key="hint" class="muted">
										{access.roleHints[user.role]}
									</span>,
								],
								[common.created, <RelativeTime key="created" time={user.createdAt} />],
								[common.changed, <RelativeTime key="changed" time={user.updatedAt} />],
								[common.id, <Copyable key="id" text={user.id} what={common.id} />],
							]}
						/>
					</Card>
					<Card title={access.tabs.audit}>
						<p>
							<a href={href("administration", { tab: "audit" }, { who: user.name })}>{t.audit(user.name)}</a>
						</p>
					</Card>
				</Grid>
				<Card title={access.tabs.tokens} flush>
					<TokensTable of={user.id} />
				</Card>
				<Card title={access.tabs.sessions} flush>
					<SessionsTable of={user.id} />
				</Card>
			</Stack>
			{dialog}
		</Page>
	);
}
