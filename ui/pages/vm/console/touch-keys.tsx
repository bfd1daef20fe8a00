/**
 * For screens without keys: opens the on-screen keyboard and types what it writes, and has the keys that it lacks. Ctrl
 * and Alt wait for the key that comes next.
 */
import { ArrowDown, ArrowLeft, ArrowRight, ArrowUp, Keyboard } from "lucide-preact";
import { useRef, useState } from "preact/hooks";
import { Button, IconButton } from "../../../components/button.tsx";
import { consoleText as t } from "../../../strings/console.ts";
import { type Key, keys } from "./keys.ts";
import type { Screen } from "./rfb.ts";
import { filler, keysOfChange, textChange } from "./touch-typing.ts";

const modifiers = ["control", "alt"] as const;
type Modifier = (typeof modifiers)[number];
const single = ["tab", "escape"] as const;
const arrows = [
	["left", ArrowLeft],
	["down", ArrowDown],
	["up", ArrowUp],
	["right", ArrowRight],
] as const;

type Props = { screen: Screen | null; obstacle: string | null; onOpen: () => void };

export function TouchKeys({ screen, obstacle, onOpen }: Props) {
	const area = useRef<HTMLTextAreaElement>(null);
	const written = useRef(filler);
	const composing = useRef(false);
	const [open, setOpen] = useState(false);
	const [waiting, setWaiting] = useState<ReadonlySet<Modifier>>(new Set());

	const press = (stroke: readonly Key[]) => {
		screen?.press([...modifiers.filter((one) => waiting.has(one)).map((one) => keys[one]), ...stroke]);
		if (waiting.size > 0) setWaiting(new Set());
	};
	const begin = () => {
		written.current = filler;
		if (area.current) area.current.value = filler;
	};
	const onInput = () => {
		const text = area.current?.value ?? "";
		const change = textChange(written.current, text);
		written.current = text;
		if (obstacle === null) for (const stroke of keysOfChange(change)) press(stroke);
		// Not in the middle of a word that the keyboard is still making.
		if (!composing.current && Math.abs(text.length - filler.length) > filler.length / 2) begin();
	};
	/** While the keyboard is open, a touch of the screen is a click and does not close it. */
	const setKeyboard = (shown: boolean) => {
		setOpen(shown);
		if (screen) screen.rfb.focusOnClick = !shown;
		if (shown) onOpen();
	};
	return (
		<div
			class="console__touch"
			role="toolbar"
			aria-label={t.touchKeys}
			// The keyboard stays while one of these is pressed.
			onPointerDown={(event) => event.preventDefault()}
			onMouseDown={(event) => event.preventDefault()}
		>
			<textarea
				ref={area}
				class="console__typing"
				aria-label={t.keyboardText}
				tabIndex={-1}
				autoCapitalize="none"
				autoComplete="off"
				autoCorrect="off"
				spellcheck={false}
				onFocus={() => {
					begin();
					setKeyboard(true);
				}}
				onBlur={() => setKeyboard(false)}
				onCompositionStart={() => {
					composing.current = true;
				}}
				onCompositionEnd={() => {
					composing.current = false;
				}}
				onInput={onInput}
				onKeyDown={(event) => {
					const key = namedKeys[event.key];
					if (!key || obstacle !== null) return;
					event.preventDefault();
					press([key]);
				}}
			/>
			<Button
				small
				icon={Keyboard}
				label={t.keyboard}
				pressed={open}
				obstacle={obstacle}
				onClick={() => (open ? area.current?.blur() : area.current?.focus())}
			/>
			{modifiers.map((one) => (
				<Button
					key={one}
					small
					pressed={waiting.has(one)}
					obstacle={obstacle}
					onClick={() => {
						const next = new Set(waiting);
						if (!next.delete(one)) next.add(one);
						setWaiting(next);
					}}
				>
					{t.keyNames[one]}
				</Button>
			))}
			{single.map((one) => (
				<Button key={one} small obstacle={obstacle} onClick={() => press([keys[one]])}>
					{t.keyNames[one]}
				</Button>
			))}
			<span class="console__arrows">
				{arrows.map(([one, icon]) => (
					<IconButton
						key={one}
						small
						icon={icon}
						label={t.keyNames[one]}
						obstacle={obstacle}
						onClick={() => press([keys[one]])}
					/>
				))}
			</span>
		</div>
	);
}

/** Keys that change no text, by the names that browsers give them. Enter does, but only some keyboards. */
const namedKeys: Readonly<Record<string, Key>> = {
	Enter: keys.enter,
	Tab: keys.tab,
	Escape: keys.escape,
	ArrowLeft: keys.left,
	ArrowDown: keys.down,
	ArrowUp: keys.up,
	ArrowRight: keys.right,
};
