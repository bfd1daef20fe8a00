/** Copies a text; says so where it was pressed. */
import { Check, Copy } from "lucide-preact";
import { useEffect, useState } from "preact/hooks";
import { common as t } from "../strings/common.ts";
import { Button, IconButton } from "./button.tsx";
import "./copy.css";

const shownForMs = 2000;

/** False when neither way of copying is allowed (plain HTTP on a foreign address). */
export async function copyText(text: string): Promise<boolean> {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = document.createElement("textarea");
		area.value = text;
		(document.querySelector("dialog[open]") ?? document.body).append(area);
		area.select();
		const done = document.execCommand("copy");
		area.remove();
		return done;
	}
}

function useCopied(text: string | (() => string)) {
	const [copied, setCopied] = useState(false);
	useEffect(() => {
		if (!copied) return;
		const timer = setTimeout(() => setCopied(false), shownForMs);
		return () => clearTimeout(timer);
	}, [copied]);
	const copy = async () => setCopied(await copyText(typeof text === "string" ? text : text()));
	return { copied, copy };
}

export function CopyButton({ text, label = t.copy }: { text: string | (() => string); label?: string }) {
	const { copied, copy } = useCopied(text);
	return (
		<Button small icon={copied ? Check : Copy} onClick={copy}>
			{copied ? t.copied : label}
		</Button>
	);
}

/** A value with a small copy button behind it. */
export function Copyable({ text, what, mono = true }: { text: string; what: string; mono?: boolean }) {
	const { copied, copy } = useCopied(text);
	return (
		<span class="copyable">
			<span class={mono ? "mono copyable__text" : "copyable__text"}>{text}</span>
			<IconButton
				small
				icon={copied ? Check : Copy}
				label={copied ? t.copied : t.copyValue(what)}
				onClick={copy}
				class="copyable__button"
			/>
		</span>
	);
}
