/** Domain events: what we register for (virDomainEventID), and how each message is decoded. */
import type { DomainRef } from "./types.ts";
import { readDomain } from "./values.ts";
import type { XdrReader } from "./xdr-reader.ts";

export type LibvirtDomainEvent = { domain: DomainRef } & (
	| { kind: "lifecycle"; event: LifecycleEvent; detail: string }
	| { kind: "reboot" }
	| { kind: "watchdog"; action: number }
	/** A disk's error. `action`: "pause" when the guest was paused for it. `reason` is "enospc" or empty. */
	| { kind: "io-error"; path: string; alias: string; action: "none" | "pause" | "report"; reason: string }
	| { kind: "control-error" }
	/** `disk` is the target ("vda"). */
	| { kind: "block-job"; disk: string; type: BlockJobType; status: BlockJobStatus }
	| { kind: "disk-change"; alias: string; oldPath: string | null; newPath: string | null }
	| { kind: "tray-change"; alias: string; open: boolean }
	| { kind: "balloon-change"; actualBytes: number }
	| { kind: "device-added"; alias: string }
	| { kind: "device-removed"; alias: string }
	| { kind: "device-removal-failed"; alias: string }
	| { kind: "agent-lifecycle"; connected: boolean; reason: "unknown" | "domain-started" | "channel" }
	| { kind: "metadata-change"; uri: string | null }
	| { kind: "memory-device-size-change"; alias: string; sizeBytes: number }
);

export type LifecycleEvent =
	| "defined"
	| "undefined"
	| "started"
	| "suspended"
	| "resumed"
	| "stopped"
	| "shutdown"
	| "pmsuspended"
	| "crashed"
	| "unknown";
export type BlockJobType = "unknown" | "pull" | "copy" | "commit" | "active-commit" | "backup";
export type BlockJobStatus = "completed" | "failed" | "canceled" | "ready" | "unknown";

/** Details by lifecycle event; the index is libvirt's number in both dimensions. */
const lifecycle: readonly (readonly [LifecycleEvent, readonly string[]])[] = [
	["defined", ["added", "updated", "renamed", "from-snapshot"]],
	["undefined", ["removed", "renamed"]],
	["started", ["booted", "migrated", "restored", "from-snapshot", "wakeup", "recreated"]],
	[
		"suspended",
		[
			...["paused", "migrated", "io-error", "watchdog", "restored", "from-snapshot", "api-error", "postcopy"],
			"postcopy-failed",
		],
	],
	["resumed", ["unpaused", "migrated", "from-snapshot", "postcopy", "postcopy-failed"]],
	["stopped", ["shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot", "recreated"]],
	["shutdown", ["finished", "guest", "host"]],
	["pmsuspended", ["memory", "disk"]],
	["crashed", ["panicked", "crashloaded"]],
];
const blockJobTypes: readonly BlockJobType[] = ["unknown", "pull", "copy", "commit", "active-commit", "backup"];
/** virDomainBlockJobType. */
export const blockJobType = (number: number): BlockJobType => blockJobTypes[number] ?? "unknown";
const blockJobStatuses: readonly BlockJobStatus[] = ["completed", "failed", "canceled", "ready"];
const ioErrorActions = ["none", "pause", "report"] as const;
const agentReasons = ["unknown", "domain-started", "channel"] as const;

type Decoder = { eventId: number; read: (reader: XdrReader) => LibvirtDomainEvent };

/** By procedure number of the message. Every message but `block-job` 2 and the newest ones wraps an older structure. */
const decoders = new Map<number, Decoder>([
	[318, { eventId: 0, read: readLifecycle }],
	[319, { eventId: 1, read: (r) => ({ domain: readDomain(r), kind: "reboot" }) }],
	[321, { eventId: 3, read: (r) => ({ domain: readDomain(r), kind: "watchdog", action: r.int() }) }],
	[324, { eventId: 6, read: readIoError }],
	[325, { eventId: 7, read: (r) => ({ domain: readDomain(r), kind: "control-error" }) }],
	[327, { eventId: 9, read: readDiskChange }],
	[328, { eventId: 10, read: readTray }],
	[
		331,
		{ eventId: 13, read: (r) => ({ domain: readDomain(r), kind: "balloon-change", actualBytes: r.uhyper() * 1024 }) },
	],
	[333, { eventId: 15, read: (r) => ({ domain: readDomain(r), kind: "device-removed", alias: r.string() }) }],
	[339, { eventId: 16, read: readBlockJob }],
	[348, { eventId: 18, read: readAgent }],
	[354, { eventId: 19, read: (r) => ({ domain: readDomain(r), kind: "device-added", alias: r.string() }) }],
	[367, { eventId: 22, read: (r) => ({ domain: readDomain(r), kind: "device-removal-failed", alias: r.string() }) }],
	[379, { eventId: 23, read: readMetadataChange }],
	[438, { eventId: 26, read: readMemorySize }],
]);

/** Numbers to register for with connectDomainEventCallbackRegisterAny. */
export const domainEventIds: readonly number[] = [...decoders.values()].map((decoder) => decoder.eventId);

/** The event in a message of that procedure, or null for a message that is none of ours. */
export function readDomainEvent(procedure: number, reader: XdrReader): LibvirtDomainEvent | null {
	const decoder = decoders.get(procedure);
	if (!decoder) return null;
	reader.int(); // the callback's number; one listener takes all
	const event = decoder.read(reader);
	reader.end();
	return event;
}

function readLifecycle(r: XdrReader): LibvirtDomainEvent {
	const domain = readDomain(r);
	const [event, details] = lifecycle[r.int()] ?? (["unknown", []] as const);
	const detail = r.int();
	return { domain, kind: "lifecycle", event, detail: details[detail] ?? `detail-${detail}` };
}

function readIoError(r: XdrReader): LibvirtDomainEvent {
	const domain = readDomain(r);
	const path = r.string();
	const alias = r.string();
	return { domain, kind: "io-error", path, alias, action: ioErrorActions[r.int()] ?? "none", reason: r.string() };
}

function readDiskChange(r: XdrReader): LibvirtDomainEvent {
	const domain = readDomain(r);
	const oldPath = r.optionalString();
	const newPath = r.optionalString();
	const alias = r.string();
	r.int();
	return { domain, kind: "disk-change", alias, oldPath, newPath };
}

function readTray(r: XdrReader): LibvirtDomainEvent {
	const domain = readDomain(r);
	return { domain, kind: "tray-change", alias: r.string(), open: r.int() === 0 };
}

function readBlockJob(r: XdrReader): LibvirtDomainEvent {
	const domain = readDomain(r);
	const disk = r.string();
	const type = blockJobType(r.int());
	return { domain, kind: "block-job", disk, type, status: blockJobStatuses[r.int()] ?? "unknown" };
}

function readAgent(r: XdrReader): LibvirtDomainEvent {
	const domain = readDomain(r);
	const connected = r.int() === 1;
	return { domain, kind: "agent-lifecycle", connected, reason: agentReasons[r.int()] ?? "unknown" };
}

function readMetadataChange(r: XdrReader): LibvirtDomainEvent {
	const domain = readDomain(r);
	r.int();
	return { domain, kind: "metadata-change", uri: r.optionalString() };
}

function readMemorySize(r: XdrReader): LibvirtDomainEvent {
	const domain = readDomain(r);
	return { domain, kind: "memory-device-size-change", alias: r.string(), sizeBytes: r.uhyper() };
}
