/** Empty, loading and failed states, and progress. Loading shows the shape of what comes, never a blank page. */
import { CircleAlert, LoaderCircle } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { type ApiError, errorDetails } from "../api/errors.ts";
import { common as t } from "../strings/common.ts";
import { errors } from "../strings/errors.ts";
import { Button } from "./button.tsx";
import { CopyButton } from "./copy.tsx";
import type { Icon } from "./icons.ts";
import "./feedback.css";

export function EmptyState(props: { icon: Icon; title: string; text?: string; children?: ComponentChildren }) {
	const IconOf = props.icon;
	return (
		<div class="empty-state">
			<span class="empty-state__icon">
				<IconOf size={22} aria-hidden="true" />
			</span>
			<h2>{props.title}</h2>
			{props.text && <p>{props.text}</p>}
			{props.children && <div class="empty-state__actions">{props.children}</div>}
		</div>
	);
}

type ErrorProps = { error: ApiError; title?: string; onRetry?: () => void; retryLabel?: string | undefined };

export function ErrorState(props: ErrorProps) {
	return (
		<div class="empty-state" role="alert">
			<span class="empty-state__icon empty-state__icon--error">
				<CircleAlert size={22} aria-hidden="true" />
			</span>
			<h2>{props.title ?? errors.loadFailed}</h2>
			<p>{props.error.message}</p>
			<div class="empty-state__actions">
				{props.onRetry && (
					<Button kind="primary" onClick={props.onRetry}>
						{props.retryLabel ?? errors.retry}
					</Button>
				)}
				<CopyButton text={() => errorDetails(props.error)} label={errors.copy} />
			</div>
		</div>
	);
}

const widths = ["72%", "48%", "64%", "56%", "40%", "68%"] as const;

/** Grey lines where text will be. Rendered as one thing to screen readers: "Loading". */
export function Skeleton({ lines = 3 }: { lines?: number }) {
	return (
		<div class="skeleton" role="status">
			<span class="visually-hidden">{t.loading}</span>
			{Array.from({ length: lines }, (_, index) => (
				<span key={index} class="skeleton__line" style={{ width: widths[index % widths.length] }} />
			))}
		</div>
	);
}

/** The shape of a page whose code or data are on the way. */
export function PageSkeleton() {
	return (
		<div class="page-skeleton">
			<Skeleton lines={1} />
			<div class="page-skeleton__card">
				<Skeleton lines={6} />
			</div>
		</div>
	);
}

export function Spinner({ label }: { label: string }) {
	return (
		<span class="spinner" role="status">
			<LoaderCircle class="spin" size={16} aria-hidden="true" />
			{label}
		</span>
	);
}

/** `percent` null: it is under way, and how far cannot be known. */
export function ProgressBar({ percent, label }: { percent: number | null; label: string }) {
	return (
		<div
			class={`progress${percent === null ? " progress--unknown" : ""}`}
			role="progressbar"
			aria-label={label}
			aria-valuemin={0}
			aria-valuemax={100}
			aria-valuenow={percent === null ? undefined : Math.round(percent)}
		>
			<span style={{ width: percent === null ? "30%" : `${percent}%` }} />
		</div>
	);
}

type UsageProps = {
	used: number;
	total: number;
	label: string;
	/** Being full is nothing to warn of. */
	plain?: boolean;
	/** What may be given out more than once (CPUs): beyond the total the bar shows how much of it is beyond. */
	overcommit?: boolean;
	/** What the bar says, for whoever does not see it; default: the percentage. */
	text?: string;
};

/** How full something is; turns amber at 80 and red at 92 percent unless `plain` or `overcommit`. */
export function UsageBar({ used, total, label, plain, overcommit, text }: UsageProps) {
	const ratio = total > 0 ? Math.min(1, used / total) : 0;
	const tone = plain || overcommit ? "accent" : ratio >= 0.92 ? "red" : ratio >= 0.8 ? "amber" : "accent";
	const over = overcommit && total > 0 && used > total ? 1 - total / used : 0;
	return (
		// A <meter> cannot be styled the same in all browsers.
		// biome-ignore lint/a11y/useSemanticElements: see above
		<div
			class={`usage usage--${tone}`}
			role="meter"
			aria-label={label}
			aria-valuemin={0}
			aria-valuemax={100}
			aria-valuenow={Math.round(ratio * 100)}
			aria-valuetext={text}
		>
			<span style={{ width: `${(ratio - over) * 100}%` }} />
			{over > 0 && <span class="usage__over" style={{ width: `${over * 100}%` }} />}
		</div>
	);
}
