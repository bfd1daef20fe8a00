/** Users, tokens, sessions and audit. */
import { ShieldCheck } from "lucide-preact";
import { obstacleTo } from "../../api/session.ts";
import { EmptyState } from "../../components/feedback.tsx";
import { Page } from "../../components/page.tsx";
import { useParams } from "../../lib/params.ts";
import { href } from "../../routes.ts";
import { access as t } from "../../strings/access.ts";
import { AuditTab } from "./audit.tsx";
import { SessionsTable } from "./sessions.tsx";
import { TokensTable } from "./tokens.tsx";
import { UsersTab } from "./users.tsx";

const tabIds = ["users", "tokens", "sessions", "audit"] as const;

export default function AdministrationPage() {
	const asked = useParams<"administration">().tab;
	const tab = tabIds.find((id) => id === asked) ?? "users";
	const obstacle = tab === "users" ? obstacleTo("userList") : tab === "audit" ? obstacleTo("auditList") : null;
	return (
		<Page
			title={t.title}
			icon={ShieldCheck}
			fill={tab === "audit" && obstacle === null}
			tabs={tabIds.map((id) => ({
				id,
				label: t.tabs[id],
				href: href("administration", { tab: id === "users" ? undefined : id }),
			}))}
			currentTab={tab}
			tabsLabel={t.tabsLabel}
		>
			{obstacle !== null ? (
				<EmptyState icon={ShieldCheck} title={t.tabs[tab]} text={obstacle} />
			) : tab === "users" ? (
				<UsersTab />
			) : tab === "tokens" ? (
				<TokensTable />
			) : tab === "sessions" ? (
				<SessionsTable />
			) : (
				<AuditTab />
			)}
		</Page>
	);
}
