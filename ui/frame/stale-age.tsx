/** How old the states beside it are, while they are not kept fresh. */
import { staleness } from "../api/staleness.ts";
import { RelativeTime } from "../components/relative-time.tsx";
import { common as t } from "../strings/common.ts";

export function StaleAge() {
	const asOf = staleness.value?.asOf;
	if (!asOf) return null;
	return (
		<span class="stale-age">
			{t.asOf} <RelativeTime time={asOf} />
		</span>
	);
}
