/** What we use of noVNC's RFB (docs/API.md of @novnc/novnc 1.7). */
declare module "@novnc/novnc" {
	type RfbEvents = {
		connect: CustomEvent<Record<string, never>>;
		disconnect: CustomEvent<{ clean: boolean }>;
		clipboard: CustomEvent<{ text: string }>;
		desktopname: CustomEvent<{ name: string }>;
		securityfailure: CustomEvent<{ status: number; reason?: string }>;
		credentialsrequired: CustomEvent<{ types: string[] }>;
	};
	export default class RFB extends EventTarget {
		constructor(
			target: HTMLElement,
			urlOrChannel: string | WebSocket,
			options?: { shared?: boolean; wsProtocols?: string[] },
		);
		viewOnly: boolean;
		scaleViewport: boolean;
		clipViewport: boolean;
		dragViewport: boolean;
		focusOnClick: boolean;
		showDotCursor: boolean;
		background: string;
		qualityLevel: number;
		compressionLevel: number;
		disconnect(): void;
		focus(options?: FocusOptions): void;
		blur(): void;
		sendKey(keysym: number, code: string | null, down?: boolean): void;
		sendCtrlAltDel(): void;
		clipboardPasteFrom(text: string): void;
		addEventListener<Name extends keyof RfbEvents>(name: Name, listener: (event: RfbEvents[Name]) => void): void;
	}
}
