import { expect, test } from "bun:test";
import { silentLogger } from "../../../lib/log.ts";
import { ProtocolError } from "./errors.ts";
import { EventPump } from "./event-pump.ts";
import { domainEventIds, readDomainEvent } from "./events.ts";
import { XdrReader } from "./xdr-reader.ts";
import { XdrWriter } from "./xdr-writer.ts";

const uuid = "0193c2a0-0000-7000-8000-000000000001";
const domain = { uuid, name: "vm", id: 3 };

/** An event message as libvirt sends it: callback number, domain, the rest. */
function message(write: (w: XdrWriter) => void): XdrReader {
	const writer = new XdrWriter();
	writer.int(17);
	writer.string("vm");
	writer.fixedOpaque(Buffer.from(uuid.replaceAll("-", ""), "hex"));
	writer.int(3);
	write(writer);
	return new XdrReader(writer.bytes);
}

const cases: [number, (w: XdrWriter) => void, object][] = [
	[318, (w) => [w.int(2), w.int(0)], { kind: "lifecycle", event: "started", detail: "booted" }],
	[318, (w) => [w.int(5), w.int(5)], { kind: "lifecycle", event: "stopped", detail: "failed" }],
	[318, (w) => [w.int(8), w.int(0)], { kind: "lifecycle", event: "crashed", detail: "panicked" }],
	[318, (w) => [w.int(99), w.int(4)], { kind: "lifecycle", event: "unknown", detail: "detail-4" }],
	[319, () => {}, { kind: "reboot" }],
	[321, (w) => w.int(2), { kind: "watchdog", action: 2 }],
	[
		324,
		(w) => [w.string("/d.qcow2"), w.string("virtio-disk0"), w.int(1), w.string("enospc")],
		{ kind: "io-error", path: "/d.qcow2", alias: "virtio-disk0", action: "pause", reason: "enospc" },
	],
	[325, () => {}, { kind: "control-error" }],
	[
		327,
		(w) => [w.optionalString("/a"), w.optionalString(null), w.string("ide0"), w.int(1)],
		{ kind: "disk-change", alias: "ide0", oldPath: "/a", newPath: null },
	],
	[328, (w) => [w.string("sata0"), w.int(0)], { kind: "tray-change", alias: "sata0", open: true }],
	[328, (w) => [w.string("sata0"), w.int(1)], { kind: "tray-change", alias: "sata0", open: false }],
	[331, (w) => w.uhyper(4096), { kind: "balloon-change", actualBytes: 4_194_304 }],
	[333, (w) => w.string("net1"), { kind: "device-removed", alias: "net1" }],
	[
		339,
		(w) => [w.string("vda"), w.int(4), w.int(3)],
		{ kind: "block-job", disk: "vda", type: "active-commit", status: "ready" },
	],
	[348, (w) => [w.int(1), w.int(2)], { kind: "agent-lifecycle", connected: true, reason: "channel" }],
	[348, (w) => [w.int(2), w.int(1)], { kind: "agent-lifecycle", connected: false, reason: "domain-started" }],
	[354, (w) => w.string("net1"), { kind: "device-added", alias: "net1" }],
	[367, (w) => w.string("net1"), { kind: "device-removal-failed", alias: "net1" }],
	[379, (w) => [w.int(2), w.optionalString("urn:x")], { kind: "metadata-change", uri: "urn:x" }],
	[
		438,
		(w) => [w.string("mem0"), w.uhyper(2 ** 30)],
		{ kind: "memory-device-size-change", alias: "mem0", sizeBytes: 2 ** 30 },
	],
];

for (const [procedure, write, expected] of cases)
	test(`message ${procedure}: ${JSON.stringify(expected)}`, () => {
		expect(readDomainEvent(procedure, message(write))).toEqual({ domain, ...expected } as never);
	});

test("every event that we register for is decoded here", () => {
	expect(new Set(cases.map(([procedure]) => procedure)).size).toBe(domainEventIds.length);
	expect(new Set(domainEventIds).size).toBe(domainEventIds.length);
});

test("a message that is none of ours is no event; one of ours that is too long or too short is an error", () => {
	expect(
		readDomainEvent(
			315,
			message(() => {}),
		),
	).toBeNull();
	expect(() =>
		readDomainEvent(
			319,
			message((w) => w.int(1)),
		),
	).toThrow(ProtocolError);
	expect(() =>
		readDomainEvent(
			318,
			message((w) => w.int(1)),
		),
	).toThrow(ProtocolError);
});

test("the pump delivers in order, later, and one listener's failure is no other's", async () => {
	const pump = new EventPump<number>(silentLogger);
	const seen: string[] = [];
	pump.listen(() => {
		throw new Error("listener");
	});
	const stop = pump.listen((event) => {
		seen.push(`a${event}`);
		if (event === 1) pump.push(3);
	});
	pump.listen((event) => seen.push(`b${event}`));
	pump.push(1);
	pump.push(2);
	expect(seen).toEqual([]);
	await Promise.resolve();
	await Promise.resolve();
	expect(seen).toEqual(["a1", "b1", "a2", "b2", "a3", "b3"]);
	stop();
	pump.push(4);
	await Promise.resolve();
	expect(seen.slice(6)).toEqual(["b4"]);
});

test("a flood of events is an error", () => {
	const pump = new EventPump<number>(silentLogger);
	expect(() => {
		for (let i = 0; i < 10_001; i++) pump.push(i);
	}).toThrow(ProtocolError);
});
