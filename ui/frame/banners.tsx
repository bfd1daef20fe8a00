/** What everybody must know before believing the page: the stream is lost, or the cluster has no quorum. */
import { TriangleAlert, WifiOff } from "lucide-preact";
import { cluster, retryConnection } from "../api/live/live.ts";
import { staleness } from "../api/staleness.ts";
import { Button } from "../components/button.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { frame as t } from "../strings/frame.ts";
import "./banners.css";

export function Banners() {
	const stale = staleness.value;
	return (
		<div class="banners" role="status">
			{stale?.cause === "connection" && <LostBanner asOf={stale.asOf} />}
			{cluster.value?.quorum === false && (
				<div class="banner banner--error">
					<TriangleAlert size={16} aria-hidden="true" />
					<p>
						<strong>{t.noQuorum}</strong> {t.noQuorumText}{" "}
						{stale?.asOf ? (
							<>
								{t.shownAsOf} <RelativeTime time={stale.asOf} />
							</>
						) : (
							t.shownOld
						)}
					</p>
				</div>
			)}
		</div>
	);
}

function LostBanner({ asOf }: { asOf: string | null }) {
	return (
		<div class="banner banner--warning">
			<WifiOff size={16} aria-hidden="true" />
			<p>
				{t.reconnecting} <RelativeTime time={asOf} />
			</p>
			<Button small onClick={retryConnection}>
				{t.reconnectNow}
			</Button>
		</div>
	);
}
