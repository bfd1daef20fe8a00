/** Waiting for what the next call needs: events say when it is so. */
import { live } from "../../api/live/live.ts";
import type { Volume } from "../../api/types.ts";

const limitMs = 30_000;

/** Resolves when no VM has the volume any more, or when the time is up: the API then says why it cannot be deleted. */
export const followVolumeRelease = (id: string): Promise<void> =>
	until(id, (volume) => !volume || volume.vmId === null);

/** Resolves true when the volume is ready, false when it failed or the time is up. */
export async function followVolumeReady(id: string): Promise<boolean> {
	await until(id, (volume) => volume?.phase === "ready" || volume?.phase === "error");
	return live.volume.peek(id)?.phase === "ready";
}

function until(id: string, done: (volume: Volume | undefined) => boolean): Promise<void> {
	return new Promise((resolve) => {
		let stop: (() => void) | null = null;
		const finish = () => {
			clearTimeout(timer);
			queueMicrotask(() => stop?.());
			resolve();
		};
		const timer = setTimeout(finish, limitMs);
		stop = live.volume.one(id).subscribe((volume) => {
			if (done(volume)) finish();
		});
	});
}
