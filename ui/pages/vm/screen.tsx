/** A picture of the screen, refreshed while somebody looks; a click opens the console. */
import { MonitorOff } from "lucide-preact";
import { useEffect, useState } from "preact/hooks";
import { read } from "../../api/call.ts";
import { ApiError, toApiError } from "../../api/errors.ts";
import type { Vm } from "../../api/types.ts";
import { Card } from "../../components/layout.tsx";
import { href } from "../../routes.ts";
import { vm as t } from "../../strings/vm.ts";

const everyMs = 10_000;

type Shown = {
	/** Object URL of the last picture; null while there is none. */
	picture: string | null;
	/** Why the node did not give one; null when it did. */
	failure: string | null;
};

function useScreenshot(vmId: string, running: boolean): Shown {
	const [picture, setPicture] = useState<string | null>(null);
	const [failure, setFailure] = useState<string | null>(null);
	useEffect(() => {
		if (!running) {
			setPicture(null);
			return;
		}
		const controller = new AbortController();
		let timer: ReturnType<typeof setTimeout> | null = null;
		let address: string | null = null;
		const refresh = async () => {
			if (!document.hidden) {
				// No picture yet (just started): the next one may come.
				const blob = await read("vmScreenshotGet", { id: vmId, signal: controller.signal }).catch(toApiError);
				if (controller.signal.aborted) return;
				setFailure(blob instanceof ApiError ? blob.message : null);
				if (blob instanceof Blob) {
					if (address) URL.revokeObjectURL(address);
					address = URL.createObjectURL(blob);
					setPicture(address);
				}
			}
			timer = setTimeout(refresh, everyMs);
		};
		void refresh();
		return () => {
			controller.abort();
			if (timer) clearTimeout(timer);
			if (address) URL.revokeObjectURL(address);
		};
	}, [vmId, running]);
	return { picture, failure };
}

export function ScreenCard({ vm }: { vm: Vm }) {
	const { powerState } = vm.status;
	const on = powerState === "running" || powerState === "paused";
	const { picture, failure } = useScreenshot(vm.id, on);
	const instead = failure ?? t.metrics.waiting;
	// What is seen is a part of what the link is called.
	const name = picture ? t.summary.openConsole : `${instead} ${t.summary.openConsole}`;
	return (
		<Card title={t.summary.screen} flush>
			{on ? (
				<a class="vm-screen" href={href("vm", { vmId: vm.id, tab: "console" })} aria-label={name}>
					{picture ? (
						<img src={picture} alt={t.summary.screenAlt(vm.name)} />
					) : (
						<span class="vm-screen__off">{instead}</span>
					)}
				</a>
			) : (
				<div class="vm-screen">
					<span class="vm-screen__off">
						<MonitorOff size={20} aria-hidden="true" />
						{powerState === "unknown" ? t.summary.screenUnknown : t.summary.screenOff}
					</span>
				</div>
			)}
		</Card>
	);
}
