/** What everybody must know before believing the page: the stream is lost, or the cluster has no quorum. */
import { TriangleAlert, WifiOff } from "lucide-preact";
import { useEffect, useState } from "preact/hooks";
import { cluster, connection, retryConnection } from "../api/live/live.ts";
import { Button } from "../components/button.tsx";
import { nowMs, RelativeTime } from "../components/relative-time.tsx";
import { frame as t } from "../strings/frame.ts";
import "./banners.css";

/** A short break (a daemon that restarts) is not worth a banner. */
const patienceMs = 3000;

export function Banners() {
	return (
		<div class="banners" role="status">
			{useLost() && <LostBanner />}
			{cluster.value?.quorum === false && (
				<div class="banner banner--error">
					<TriangleAlert size={16} aria-hidden="true" />
					<p>
						<strong>{t.noQuorum}</strong> {t.noQuorumText}
					</p>
				</div>
			)}
		</div>
	);
}

function useLost(): boolean {
	const lost = connection.value.state === "reconnecting";
	const [shown, setShown] = useState(false);
	useEffect(() => {
		if (!lost) {
			setShown(false);
			return;
		}
		const timer = setTimeout(() => setShown(true), patienceMs);
		return () => clearTimeout(timer);
	}, [lost]);
	return shown;
}

function LostBanner() {
	nowMs.value;
	return (
		<div class="banner banner--warning">
			<WifiOff size={16} aria-hidden="true" />
			<p>
				{t.reconnecting} <RelativeTime time={new Date(connection.value.heardAtMs).toISOString()} />
			</p>
			<Button small onClick={retryConnection}>
				{t.reconnectNow}
			</Button>
		</div>
	);
}
