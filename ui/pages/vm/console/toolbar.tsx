/** The tools of the console: keys, clipboard, scaling, full screen, view only. */
import { ClipboardList, Expand, Eye, Maximize, Shrink, Type } from "lucide-preact";
import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Label } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { Kbd } from "../../../components/layout.tsx";
import { Menu } from "../../../components/menu.tsx";
import { hasTouch } from "../../../lib/media.ts";
import { consoleText as t } from "../../../strings/console.ts";
import { ClipboardDialog } from "./clipboard-dialog.tsx";
import { combinations } from "./keys.ts";
import { PasteDialog } from "./paste-dialog.tsx";
import type { Screen } from "./rfb.ts";
import { TouchKeys } from "./touch-keys.tsx";

type Props = {
	frame: RefObject<HTMLDivElement | null>;
	screen: Screen | null;
	fit: boolean;
	onFit: (fit: boolean) => void;
	viewOnly: boolean;
	onViewOnly: (viewOnly: boolean) => void;
	clipboard: string;
};

export function ConsoleToolbar(props: Props) {
	const { frame, screen, fit, onFit, viewOnly, onViewOnly, clipboard } = props;
	const [open, setOpen] = useState<"clipboard" | "paste" | null>(null);
	const full = useFullScreen(frame);
	const obstacle = !screen ? t.disconnected : screen.viewOnly ? t.viewOnlyRole : viewOnly ? t.viewOnlyOn : null;
	const close = () => setOpen(null);
	return (
		<>
			<div class="console__toolbar" role="toolbar" aria-label={t.toolbar}>
				<Button
					small
					obstacle={obstacle}
					onClick={() => {
						screen?.rfb.sendCtrlAltDel();
						screen?.rfb.focus();
					}}
				>
					{t.ctrlAltDel}
				</Button>
				<Menu
					small
					label={t.keys}
					text={t.keys}
					actions={combinations.map(({ id, label, keys }) => ({
						id,
						label,
						obstacle: obstacle === null ? null : obstacle,
						onSelect: () => {
							screen?.press(keys);
							screen?.rfb.focus();
						},
					}))}
				/>
				<Button small icon={Type} obstacle={obstacle} onClick={() => setOpen("paste")} hasPopup="dialog">
					{t.paste}
				</Button>
				<Button small icon={ClipboardList} obstacle={obstacle} onClick={() => setOpen("clipboard")} hasPopup="dialog">
					{t.clipboard}
				</Button>
				{!obstacle && (
					<span class="console__release">
						<Kbd keys={t.releaseKeys} /> {t.release}
					</span>
				)}
				<span class="console__toolbar-end">
					{screen?.viewOnly ? (
						<span title={t.viewOnlyRole}>
							<Label tone="amber">{t.viewOnly}</Label>
						</span>
					) : (
						<Button small kind="ghost" icon={Eye} pressed={viewOnly} onClick={() => onViewOnly(!viewOnly)}>
							{t.viewOnly}
						</Button>
					)}
					<Button small kind="ghost" icon={Maximize} pressed={fit} onClick={() => onFit(!fit)}>
						{t.scale}
					</Button>
					<Button small kind="ghost" icon={full.active ? Shrink : Expand} onClick={full.toggle}>
						{full.active ? t.leaveFullScreen : t.fullScreen}
					</Button>
				</span>
				{open === "paste" && screen && <PasteDialog screen={screen} onClose={close} />}
				{open === "clipboard" && screen && <ClipboardDialog screen={screen} text={clipboard} onClose={close} />}
			</div>
			{hasTouch.value && (
				<TouchKeys
					screen={screen}
					obstacle={obstacle}
					onOpen={() => frame.current?.scrollIntoView({ block: "start" })}
				/>
			)}
		</>
	);
}

/** In full screen the browser also lets Escape and Alt-Tab through to the guest, where it can (Keyboard Lock). */
function useFullScreen(frame: RefObject<HTMLDivElement | null>) {
	const [active, setActive] = useState(false);
	useEffect(() => {
		const onChange = () => setActive(document.fullscreenElement === frame.current);
		document.addEventListener("fullscreenchange", onChange);
		return () => document.removeEventListener("fullscreenchange", onChange);
	}, []);
	const toggle = async () => {
		if (document.fullscreenElement) {
			await document.exitFullscreen();
			return;
		}
		await frame.current?.requestFullscreen().catch(() => {});
		const { keyboard } = navigator as Navigator & { keyboard?: { lock?: () => Promise<void> } };
		await keyboard?.lock?.().catch(() => {});
	};
	return { active, toggle };
}
