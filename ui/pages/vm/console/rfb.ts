/** noVNC, opened with a ticket. Loaded when a console is first opened. */
import RFB from "@novnc/novnc";
import { read } from "../../../api/call.ts";
import { consoleText as t } from "../../../strings/console.ts";
import type { OpenConsole } from "./connection.ts";
import { type Key, keys, type Stroke } from "./keys.ts";

export type Screen = OpenConsole & {
	rfb: RFB;
	press(combination: readonly Key[]): void;
	type(stroke: Stroke): void;
};

const connectLimitMs = 15_000;

/** Resolves when the screen is there. Rejects when the ticket or the connection is refused. */
export async function openScreen(
	target: HTMLElement,
	vmId: string,
	options: { viewOnly: boolean; onClipboard: (text: string) => void },
): Promise<Screen> {
	const ticket = await read("vmConsoleTicketCreate", { id: vmId, body: { kind: "browser", type: "vnc" } });
	const address = new URL(ticket.path, location.href);
	address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
	const rfb = new RFB(target, address.href, { wsProtocols: ticket.protocols, shared: true });
	const viewOnly = ticket.viewOnly;
	rfb.viewOnly = viewOnly || options.viewOnly;
	rfb.background = "transparent";
	rfb.addEventListener("clipboard", ({ detail }) => options.onClipboard(detail.text));

	let connected = false;
	const ended = new Promise<string>((resolve) => {
		rfb.addEventListener("disconnect", ({ detail }) =>
			resolve(connected ? (detail.clean ? t.ended : t.lost) : t.refused),
		);
	});
	const opened = new Promise<void>((resolve, reject) => {
		const timer = setTimeout(() => {
			rfb.disconnect();
			reject(new Error(t.lost));
		}, connectLimitMs);
		rfb.addEventListener("connect", () => {
			connected = true;
			clearTimeout(timer);
			resolve();
		});
		void ended.then((reason) => {
			clearTimeout(timer);
			reject(new Error(reason));
		});
	});
	await opened;

	const hold = (key: Key, down: boolean) => rfb.sendKey(key.keysym, key.code, down);
	return {
		rfb,
		viewOnly,
		ended,
		close: () => rfb.disconnect(),
		press(combination) {
			for (const key of combination) hold(key, true);
			for (const key of [...combination].reverse()) hold(key, false);
		},
		type(stroke) {
			if (stroke.shift) hold(keys.shift, true);
			hold(stroke, true);
			hold(stroke, false);
			if (stroke.shift) hold(keys.shift, false);
		},
	};
}
