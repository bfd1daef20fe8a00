/** Until when a member's certificate is good, and a mark when it should have been renewed by now. */
import { endsSoon } from "../../../src/model/certificate-rules.ts";
import type { ClusterMember } from "../../api/types.ts";
import { WarningMark } from "../../components/badge.tsx";
import { Notice } from "../../components/layout.tsx";
import { nowMs, RelativeTime } from "../../components/relative-time.tsx";
import { members as t } from "../../strings/members.ts";

type Props = { member: Pick<ClusterMember, "certificateExpiresAt"> };

export function CertificateEnd({ member: { certificateExpiresAt } }: Props) {
	if (certificateExpiresAt === null)
		return (
			<span class="muted" title={t.certificateElsewhere}>
				–
			</span>
		);
	return (
		<span title={t.certificateTitle}>
			<RelativeTime time={certificateExpiresAt} />
		</span>
	);
}

const isLate = ({ certificateExpiresAt }: Props["member"]): boolean =>
	certificateExpiresAt !== null && endsSoon(Date.parse(certificateExpiresAt), Math.max(nowMs.value, Date.now()));

export const CertificateMark = ({ member }: Props) => isLate(member) && <WarningMark text={t.certificateEnds} />;

export const CertificateNotice = ({ member }: Props) =>
	isLate(member) && <Notice tone="warning">{t.certificateEnds}</Notice>;
