/** The console: the VM's screen with its tools, in honest states. */
import { CirclePlay, MonitorOff, PlugZap } from "lucide-preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { vmActionObstacle } from "../../../../src/model/actions.ts";
import type { Vm } from "../../../api/types.ts";
import { act } from "../../../api/write.ts";
import { Button } from "../../../components/button.tsx";
import { EmptyState, Spinner } from "../../../components/feedback.tsx";
import { readStored, writeStored } from "../../../lib/storage.ts";
import { consoleText as t } from "../../../strings/console.ts";
import { vm as vmText } from "../../../strings/vm.ts";
import { obstacleOf } from "../vm-actions.ts";
import { ConsoleConnection, type ConsoleState } from "./connection.ts";
import { HeldKeys } from "./held-keys.ts";
import type { Screen } from "./rfb.ts";
import { ConsoleToolbar } from "./toolbar.tsx";
import "./console.css";

export function ConsoleTab({ vm }: { vm: Vm }) {
	const frame = useRef<HTMLDivElement>(null);
	const target = useRef<HTMLDivElement>(null);
	const [screen, setScreen] = useState<Screen | null>(null);
	const [clipboard, setClipboard] = useState("");
	const [fit, setFit] = useState(() => readStored("local", "console.fit", true));
	const [viewOnly, setViewOnly] = useState(false);
	const [held] = useState(() => new HeldKeys());
	const wanted = useRef({ viewOnly });
	wanted.current = { viewOnly };
	// While it starts there is no screen yet.
	const starting = vm.status.powerState === "starting";
	const possible = !starting && vmActionObstacle("console", vm) === null;

	const [connection] = useState(
		() =>
			new ConsoleConnection(async () => {
				const { openScreen } = await import("./rfb.ts");
				const element = target.current;
				if (!element) throw new Error(t.lost);
				const opened = await openScreen(element, vm.id, {
					viewOnly: wanted.current.viewOnly,
					onClipboard: setClipboard,
				});
				setScreen(opened);
				void opened.ended.then(() => setScreen((now) => (now === opened ? null : now)));
				return opened;
			}),
	);
	const state = connection.state.value;

	useEffect(() => {
		if (possible) connection.start();
		else connection.stop();
	}, [possible]);
	useEffect(() => () => connection.stop(), [connection]);
	useEffect(() => {
		if (!screen) return;
		screen.rfb.scaleViewport = fit;
		screen.rfb.viewOnly = viewOnly || screen.viewOnly;
		writeStored("local", "console.fit", fit);
	}, [screen, fit, viewOnly]);
	useEffect(() => {
		screen?.rfb.focus({ preventScroll: true });
	}, [screen]);

	return (
		<div class="console" ref={frame}>
			<ConsoleToolbar
				frame={frame}
				screen={screen}
				fit={fit}
				onFit={setFit}
				viewOnly={viewOnly}
				onViewOnly={setViewOnly}
				clipboard={clipboard}
			/>
			<div
				class="console__area"
				data-captures-keys
				onKeyDownCapture={(event) => {
					if (event.key !== "Escape" || !event.ctrlKey || !event.altKey) {
						held.down(event);
						return;
					}
					event.preventDefault();
					event.stopPropagation();
					held.releaseAll();
					frame.current?.querySelector<HTMLElement>(".console__toolbar button")?.focus();
				}}
				onKeyUpCapture={(event) => held.up(event)}
				onFocusOutCapture={() => held.releaseAll()}
			>
				<div
					ref={target}
					class={`console__screen${state.name === "connected" ? "" : " console__screen--off"}`}
					role="application"
					aria-label={t.screen(vm.name)}
				/>
				{possible ? (
					<Overlay state={state} onRetry={() => connection.start()} />
				) : (
					<div class="console__overlay">{starting ? <Spinner label={t.starting} /> : <Off vm={vm} />}</div>
				)}
			</div>
		</div>
	);
}

function Overlay({ state, onRetry }: { state: ConsoleState; onRetry: () => void }) {
	switch (state.name) {
		case "connected":
			return (
				<span class="visually-hidden" role="status">
					{t.connected}
				</span>
			);
		case "connecting":
		case "closed":
			return (
				<div class="console__overlay">
					<Spinner label={t.connecting} />
				</div>
			);
		case "waiting":
			return (
				<div class="console__overlay" role="status">
					<p>{state.lost ? t.waiting(state.reason) : t.waitingFirst(state.reason)}</p>
					<Countdown untilMs={state.untilMs} />
					<Button onClick={onRetry}>{t.retryNow}</Button>
				</div>
			);
		case "failed":
			return (
				<div class="console__overlay" role="alert">
					<EmptyState icon={PlugZap} title={state.why === "refused" ? t.refusedTitle : t.failed} text={state.reason}>
						<Button kind="primary" onClick={onRetry}>
							{state.why === "refused" ? t.tryAgain : t.reconnect}
						</Button>
					</EmptyState>
				</div>
			);
	}
}

function Countdown({ untilMs }: { untilMs: number }) {
	const [left, setLeft] = useState(() => Math.ceil((untilMs - Date.now()) / 1000));
	useEffect(() => {
		const timer = setInterval(() => setLeft(Math.ceil((untilMs - Date.now()) / 1000)), 500);
		return () => clearInterval(timer);
	}, [untilMs]);
	return <p class="muted">{t.retryIn(left)}</p>;
}

function Off({ vm }: { vm: Vm }) {
	const { powerState, reason, error } = vm.status;
	if (powerState === "unknown")
		return <EmptyState icon={MonitorOff} title={t.off} text={vmActionObstacle("console", vm) ?? ""} />;
	return (
		<EmptyState
			icon={MonitorOff}
			title={powerState === "failed" ? vmText.summary.failedTitle : t.off}
			text={error?.message ?? reason ?? t.offText}
		>
			<Button
				kind="primary"
				icon={CirclePlay}
				obstacle={obstacleOf("start", "vmStart", vm)}
				onClick={() => void act(vmText.failed(t.start, vm.name), "vmStart", { id: vm.id })}
			>
				{t.start}
			</Button>
		</EmptyState>
	);
}
