/** A state as a coloured word with a mark: never colour alone. And plain tags. */
import {
	CircleAlert,
	CircleCheck,
	CirclePause,
	CircleStop,
	LoaderCircle,
	OctagonAlert,
	TriangleAlert,
} from "lucide-preact";
import type { ComponentChildren } from "preact";
import type { Icon } from "./icons.ts";
import type { StateLook, Tone } from "./states.ts";
import "./badge.css";

const marks: Record<Tone, Icon> = {
	green: CircleCheck,
	grey: CircleStop,
	amber: CirclePause,
	red: CircleAlert,
	blue: LoaderCircle,
};

export function StateBadge({ look, note }: { look: StateLook; note?: string | null }) {
	const Mark = marks[look.tone];
	return (
		<span class={`badge badge--${look.tone}`} title={note ?? undefined}>
			<Mark size={13} class={look.moving ? "spin" : ""} aria-hidden="true" />
			{look.word}
		</span>
	);
}

/** A dot for trees and dense lists; the word is there for whoever does not see it. */
export function StateDot({ look }: { look: StateLook }) {
	return (
		<span class={`state-dot state-dot--${look.tone}${look.moving ? " state-dot--moving" : ""}`} title={look.word}>
			<span class="visually-hidden">{look.word}</span>
		</span>
	);
}

export function Label({ tone = "grey", children }: { tone?: Tone; children: ComponentChildren }) {
	return <span class={`badge badge--${tone}`}>{children}</span>;
}

/** `severe`: something is being destroyed. */
export function WarningMark({ text, severe = false }: { text: string; severe?: boolean }) {
	const Mark = severe ? OctagonAlert : TriangleAlert;
	return (
		<span class={`warning-mark${severe ? " warning-mark--severe" : ""}`} title={text}>
			<Mark size={14} aria-hidden="true" />
			<span class="visually-hidden">{text}</span>
		</span>
	);
}

export function Tags({ tags }: { tags: readonly string[] }) {
	if (tags.length === 0) return null;
	return (
		<span class="tags">
			{tags.map((tag) => (
				<span key={tag} class="tag">
					{tag}
				</span>
			))}
		</span>
	);
}
