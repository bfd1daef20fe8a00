/** libvirt's states and events in the words of our model. Pure. */
import type { PowerState } from "../../model/vm.ts";
import type { DomainEvent } from "../driver.ts";
import type { LibvirtDomainEvent } from "./rpc/events.ts";
import type { LibvirtDomainState } from "./rpc/flags.ts";

const migrating = new Set(["migration", "postcopy", "postcopy-failed"]);

export function powerStateOf(state: LibvirtDomainState, reason: string): PowerState {
	switch (state) {
		case "running":
		case "blocked":
			return reason.startsWith("postcopy") ? "migrating" : "running";
		case "paused":
			if (migrating.has(reason)) return "migrating";
			if (reason === "starting-up") return "starting";
			if (reason === "shutting-down") return "stopping";
			return reason === "crashed" ? "failed" : "paused";
		case "shutdown":
			return "stopping";
		case "shutoff":
			return reason === "crashed" ? "failed" : "stopped";
		case "crashed":
			return "failed";
		case "pmsuspended":
			return "paused";
		case "nostate":
			return "unknown";
	}
}

/** Whether a QEMU process stands behind the domain. */
export const isActive = (state: LibvirtDomainState): boolean => state !== "shutoff";

/** Null for events that the node has no use for. */
export function domainEventOf(event: LibvirtDomainEvent): DomainEvent | null {
	const id = event.domain.uuid;
	switch (event.kind) {
		case "lifecycle":
			return lifecycleOf(id, event.event, event.detail);
		case "reboot":
			return { kind: "reboot", id };
		case "tray-change":
			return { kind: "tray", id, alias: event.alias, open: event.open };
		case "device-removed":
			return { kind: "device-removed", id, alias: event.alias };
		case "io-error":
			return { kind: "io-error", id, alias: event.alias, reason: event.reason === "enospc" ? "no-space" : "io-error" };
		default:
			return null;
	}
}

function lifecycleOf(id: string, event: string, detail: string): DomainEvent | null {
	const became = (powerState: PowerState | null, word = detail): DomainEvent => ({
		kind: "lifecycle",
		id,
		powerState,
		detail: word,
	});
	switch (event) {
		case "defined":
		case "undefined":
			return became(null, event);
		case "started":
		case "resumed":
			return became(detail.startsWith("postcopy") ? "migrating" : "running");
		case "suspended":
			return became(detail.startsWith("postcopy") ? "migrating" : "paused", detail === "paused" ? "user" : detail);
		case "pmsuspended":
			return became("paused", "suspended");
		case "shutdown":
			return became("stopping");
		case "stopped":
			// "failed": QEMU went without a word. As state of the domain libvirt calls the same "crashed".
			return detail === "crashed" || detail === "failed" ? became("failed", "crashed") : became("stopped");
		case "crashed":
			return became("failed");
		default:
			return null;
	}
}
