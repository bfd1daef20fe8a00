/**
 * A page whose code loads when it is first opened. Meanwhile its shape shows; when the code cannot be had (the node
 * was updated, or is away) the page says so and offers to reload.
 */
import { signal } from "@preact/signals";
import type { ComponentChildren, ComponentType } from "preact";
import { ApiError, toApiError } from "../api/errors.ts";
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
			})
			.catch((error: unknown) => {
				started = false;
				failed.value = new ApiError(t.chunk, { status: 0, code: "chunk", operation: "page", cause: toApiError(error) });
			});
	};
	function LazyPage(props: Props) {
		if (failed.value) return <ErrorState error={failed.value} onRetry={() => location.reload()} />;
		const Page = loaded.value;
		if (!Page) {
			start();
			return waiting;
		}
		return <Page {...props} />;
	}
	return Object.assign(LazyPage, { preload: start });
}
