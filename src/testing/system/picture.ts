/** Screens of VMs for comparison: the API's picture, and the live screen through ticket and WebSocket. */
import { decodePng } from "../../hypervisor/test-png.ts";
import { AppError } from "../../lib/errors.ts";
import { cursorPixels, Screenshot } from "../lab/screenshot.ts";
import { VncClient } from "../lab/vnc-client.ts";
import type { LabSystem } from "./lab-system.ts";

export async function pictureOf({ api }: LabSystem, vmId: string): Promise<Screenshot> {
	const { body } = await api.call("vmScreenshotGet", { path: { id: vmId } });
	const { width, height, pixels } = decodePng(await body.bytes());
	return new Screenshot(width, height, pixels);
}

/** As the viewer program does: a native ticket, without Origin. The caller closes it. */
export async function openVnc(
	{ api, daemon }: LabSystem,
	vmId: string,
	options: { viewOnly?: boolean } = {},
): Promise<VncClient> {
	const { body: ticket } = await api.call("vmConsoleTicketCreate", {
		path: { id: vmId },
		body: { kind: "native", type: "vnc", viewOnly: options.viewOnly ?? false },
	});
	return VncClient.connect({
		url: `${daemon.url.replace(/^http/, "ws")}${ticket.path}`,
		protocols: ticket.protocols,
		rejectUnauthorized: false,
	});
}

/** The screen once it has stopped changing, but for its cursor: two pictures at least 300 ms apart that are the same. */
export async function calmScreen(vnc: VncClient): Promise<Screenshot> {
	let last = await vnc.screenshot();
	for (let attempt = 0; attempt < 30; attempt++) {
		await vnc.waitForChange(300);
		await vnc.waitForChange(300);
		const next = await vnc.screenshot();
		if (next.countDifferingPixels(last) <= cursorPixels) return next;
		last = next;
	}
	throw new AppError("timeout", "The screen does not come to rest.");
}
