/** The page of one API token: whose it is, what it may do, until when. */
import { KeyRound } from "lucide-preact";
import { useLocation } from "preact-iso";
import { me } from "../../api/session.ts";
import type { Token } from "../../api/types.ts";
import { useObject } from "../../api/use.ts";
import { Copyable } from "../../components/copy.tsx";
import { EmptyState, ErrorState, PageSkeleton } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Card, Properties, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { useParams } from "../../lib/params.ts";
import { href } from "../../routes.ts";
import { access } from "../../strings/access.ts";
import { common } from "../../strings/common.ts";
import { deleteTokenAction, TokenExpiry, TokenOwner } from "./tokens.tsx";

const t = access.tokens;

export default function TokenPage() {
	const { tokenId } = useParams<"token">();
	const known = useObject("token", tokenId);
	if (known.state === "loading") return <PageSkeleton />;
	if (known.state === "error") return <ErrorState error={known.error} onRetry={known.retry} />;
	if (known.state === "gone") return <EmptyState icon={KeyRound} title={common.notFoundTitle} text={t.gone} />;
	return <TokenView token={known.object} />;
}

function TokenView({ token }: { token: Token }) {
	const { route } = useLocation();
	// One's own are listed on one's own page, for whoever may not see everybody's.
	const list = me.value?.role === "admin" ? href("administration", { tab: "tokens" }) : href("account");
	return (
		<Page
			title={token.name}
			icon={resourceIcons.token}
			parent={{ label: access.tabs.tokens, href: list }}
			menu={[deleteTokenAction(token, () => route(list))]}
		>
			<Stack>
				<Card title={t.details}>
					<Properties
						items={[
							[t.owner, <TokenOwner key="owner" token={token} />],
							[access.role, access.roles[token.role]],
							[
								"",
								<span key="hint" class="muted">
									{access.roleHints[token.role]}
								</span>,
							],
							[t.expires, <TokenExpiry key="expires" token={token} />],
							[common.created, <RelativeTime key="created" time={token.createdAt} />],
							[common.id, <Copyable key="id" text={token.id} what={common.id} />],
						]}
					/>
				</Card>
			</Stack>
		</Page>
	);
}
