/** A quiet card in the middle of an empty page, for what comes before the console. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Mark } from "../../frame/header.tsx";
import { common } from "../../strings/common.ts";
import "./auth-frame.css";

export function AuthFrame({ title, children }: { title: string; children: ComponentChildren }) {
	const main = useRef<HTMLElement>(null);
	useEffect(() => {
		main.current?.querySelector<HTMLElement>("[data-autofocus]")?.focus();
	}, []);
	return (
		<main class="auth-frame" ref={main}>
			<div class="auth-frame__card">
				<div class="auth-frame__brand">
					<Mark size={32} />
					<span>{common.product}</span>
				</div>
				<h1>{title}</h1>
				{children}
			</div>
		</main>
	);
}
