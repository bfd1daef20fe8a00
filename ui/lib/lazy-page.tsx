/**
 * A page whose code loads when it is first opened. Meanwhile its shape shows. When the code cannot be had, the state of
 * the connection says why: without it the page comes by itself once the node is back; with it the node has another
 * version by now, which a reload brings.
 */
import { signal } from "@preact/signals";
import type { ComponentChildren, ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { ApiError, toApiError } from "../api/errors.ts";
import { connection } from "../api/live/live.ts";
import { ErrorState, PageSkeleton } from "../components/feedback.tsx";
import { errors as t } from "../strings/errors.ts";

export function lazyPage<Props extends object>(
	load: () => Promise<{ default: ComponentType<Props> }>,
	waiting: ComponentChildren = <PageSkeleton />,
): ComponentType<Props> & { preload: () => void } {
	const loaded = signal<ComponentType<Props> | null>(null);
	const failed = signal<ApiError | null>(null);
	let started = false;
	const start = () => {
		if (started) return;
		started = true;
		load()
			.then((module) => {
				loaded.value = module.default;
				failed.value = null;
			})
			.catch((error: unknown) => {
				started = false;
				failed.value = toApiError(error);
			});
	};
	function LazyPage(props: Props) {
		const Page = loaded.value;
		if (Page) return <Page {...props} />;
		if (failed.value) return <Missing cause={failed.value} onRetry={start} />;
		start();
		return waiting;
	}
	return Object.assign(LazyPage, { preload: start });
}

function Missing({ cause, onRetry }: { cause: ApiError; onRetry: () => void }) {
	const live = connection.value.state === "live";
	useEffect(() => {
		// When the connection comes back, and once if it was there all the time.
		if (live) onRetry();
	}, [live]);
	const details = { status: 0, code: live ? "chunk" : "offline", operation: "page", cause };
	return (
		<ErrorState
			error={new ApiError(live ? t.chunk : t.chunkOffline, details)}
			onRetry={live ? () => location.reload() : onRetry}
			retryLabel={live ? t.reload : undefined}
		/>
	);
}
