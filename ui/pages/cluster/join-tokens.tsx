/** The join tokens that are open, and ending them. */
import { Trash2 } from "lucide-preact";
import { h } from "preact";
import { obstacleTo } from "../../api/session.ts";
import type { JoinToken } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { act } from "../../api/write.ts";
import { Label } from "../../components/badge.tsx";
import { IconButton } from "../../components/button.tsx";
import { confirm } from "../../components/confirm.tsx";
import { nowMs, RelativeTime } from "../../components/relative-time.tsx";
import { exactTime } from "../../lib/time.ts";
import { members as t } from "../../strings/members.ts";
import "./cluster.css";

/** Good for something still; `but` is left out. */
export function useOpenTokens(but?: string): JoinToken[] {
	return useCollection("joinToken")
		.items.value.filter(
			({ id, usesLeft, expiresAt }) => id !== but && usesLeft > 0 && Date.parse(expiresAt) > nowMs.value,
		)
		.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
}

export function TokenExpiry({ token: { expiresAt } }: { token: Pick<JoinToken, "expiresAt"> }) {
	if (Date.parse(expiresAt) <= nowMs.value) return <Label tone="red">{t.expired}</Label>;
	return (
		<span>
			{t.expires} <RelativeTime time={expiresAt} />
		</span>
	);
}

export function OpenTokens({ tokens }: { tokens: readonly JoinToken[] }) {
	return (
		<ul class="open-tokens" aria-label={t.openTokens}>
			{tokens.map((token) => (
				<li key={token.id} class="open-tokens__token">
					<span title={exactTime(token.createdAt)}>
						{t.tokenBy} {token.createdBy}, <RelativeTime time={token.createdAt} />
					</span>
					<span class="muted">
						{t.usesLeft}: {token.usesLeft}
					</span>
					<span class="muted">
						<TokenExpiry token={token} />
					</span>
					<IconButton
						small
						icon={Trash2}
						label={t.deleteToken}
						obstacle={obstacleTo("joinTokenDelete")}
						onClick={() => void deleteToken(token)}
					/>
				</li>
			))}
		</ul>
	);
}

async function deleteToken(token: JoinToken): Promise<void> {
	const body = h("p", {}, t.deleteTokenText);
	if (!(await confirm({ title: t.deleteToken, body, confirmLabel: t.deleteToken, danger: true }))) return;
	await act(t.deleteToken, "joinTokenDelete", { id: token.id });
}
