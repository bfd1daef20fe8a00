/** Cards, grids of properties, notices, code: the plain parts that pages are laid out with. */
import { CircleAlert, Info, TriangleAlert } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { common as t } from "../strings/common.ts";
import { CopyButton } from "./copy.tsx";
import type { Icon } from "./icons.ts";
import "./layout.css";

export function Card(props: {
	title?: string;
	actions?: ComponentChildren;
	/** The content reaches the borders (tables). */
	flush?: boolean;
	children: ComponentChildren;
	class?: string;
}) {
	const id = useId();
	return (
		<section class={`card ${props.class ?? ""}`} aria-labelledby={props.title ? id : undefined}>
			{(props.title || props.actions) && (
				<header class="card__header">
					{props.title && <h2 id={id}>{props.title}</h2>}
					{props.actions && <div class="card__actions">{props.actions}</div>}
				</header>
			)}
			<div class={props.flush ? "card__body card__body--flush" : "card__body"}>{props.children}</div>
		</section>
	);
}

/** Cards side by side, as many as fit. */
export function Grid({ children, wide }: { children: ComponentChildren; wide?: boolean }) {
	return <div class={`grid${wide ? " grid--wide" : ""}`}>{children}</div>;
}

export function Stack({ children }: { children: ComponentChildren }) {
	return <div class="stack">{children}</div>;
}

export type Property = [label: string, value: ComponentChildren] | null | false;

export function Properties({ items }: { items: readonly Property[] }) {
	return (
		<dl class="properties">
			{items.map(
				(item) =>
					item && (
						<div key={item[0]} class="properties__item">
							<dt>{item[0]}</dt>
							<dd>{item[1]}</dd>
						</div>
					),
			)}
		</dl>
	);
}

type NoticeTone = "info" | "warning" | "error";
const noticeIcons: Record<NoticeTone, Icon> = { info: Info, warning: TriangleAlert, error: CircleAlert };

export function Notice(props: {
	tone?: NoticeTone;
	title?: string;
	children?: ComponentChildren;
	actions?: ComponentChildren;
	/** Read out when it appears. */
	alert?: boolean;
}) {
	const tone = props.tone ?? "info";
	const Mark = noticeIcons[tone];
	return (
		<div class={`notice notice--${tone}`} role={props.alert ? "alert" : undefined}>
			<Mark size={16} class="notice__mark" aria-hidden="true" />
			<div class="notice__text">
				{props.title && <strong>{props.title}</strong>}
				{props.children && <div>{props.children}</div>}
			</div>
			{props.actions && <div class="notice__actions">{props.actions}</div>}
		</div>
	);
}

type CodeBlockProps = {
	text: string;
	label: string;
	tall?: boolean;
	/** Opens at its end, and stays there while one looks at the end and the text grows. */
	atEnd?: boolean;
};

export function CodeBlock({ text, label, tall, atEnd = false }: CodeBlockProps) {
	const box = useRef<HTMLElement>(null);
	const follows = useRef(true);
	useLayoutEffect(() => {
		if (atEnd && follows.current && box.current) box.current.scrollTop = box.current.scrollHeight;
	}, [text, atEnd]);
	return (
		<div class="code-block">
			<div class="code-block__bar">
				<CopyButton text={text} />
			</div>
			<section
				ref={box}
				onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
					follows.current = scrollHeight - scrollTop - clientHeight < 24;
				}}
				class={tall ? "code-block__text code-block__text--tall" : "code-block__text"}
				aria-label={label}
				// biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
				tabIndex={0}
			>
				<pre>{text}</pre>
			</section>
		</div>
	);
}

/** A section that opens and closes; the browser's own, so it works with find-in-page. */
export function Disclosure(props: { title: string; note?: string; open?: boolean; children: ComponentChildren }) {
	return (
		<details class="disclosure" open={props.open}>
			<summary>
				<span class="disclosure__title">{props.title}</span>
				{props.note && <span class="disclosure__note">{props.note}</span>}
			</summary>
			<div class="disclosure__body">{props.children}</div>
		</details>
	);
}

export function Kbd({ keys }: { keys: string }) {
	return (
		<span class="kbd">
			{keys.split(" ").map((key) => (
				<kbd key={key}>{key}</kbd>
			))}
		</span>
	);
}

export const unknownValue = <span class="muted">{t.notYetKnown}</span>;
