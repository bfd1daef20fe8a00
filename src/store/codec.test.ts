/** Commands survive the way to bytes and back, and their bytes stay what released logs hold. */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { bodyArbitraries, commandArbitrary } from "../testing/command-arbitrary.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { commandKinds, decodeCommand, encodeCommand } from "./codec.ts";
import type { Command, CommandBody } from "./command.ts";

const envelope = (body: CommandBody): Command => ({
	id: fixtureId(1),
	timeMs: 1_767_323_045_000,
	requester: { kind: "user", id: fixtureId(5), name: "admin" },
	remoteAddress: "192.0.2.1",
	operation: "vmCreate",
	idempotencyKey: "key",
	credential: { kind: "session", id: fixtureId(6) },
	body,
});

test("any command comes back as it was", () => {
	fc.assert(
		fc.property(commandArbitrary, (command) => {
			expect(decodeCommand(encodeCommand(command))).toEqual(command);
		}),
		{ numRuns: 500 },
	);
});

test.each(commandKinds)("%s comes back as it was", (kind) => {
	fc.assert(
		fc.property(bodyArbitraries[kind] as fc.Arbitrary<CommandBody>, (body) => {
			expect(decodeCommand(encodeCommand(envelope(body))).body).toEqual(body);
		}),
		{ numRuns: 20 },
	);
});

describe("bytes of each kind", () => {
	// One fixed command of each kind, as hex. `GOLDEN=write bun test` rewrites the file: then old logs are not readable.
	const path = join(import.meta.dir, "codec.golden.json");
	const samples = Object.fromEntries(
		commandKinds.map((kind) => {
			const [body] = fc.sample(bodyArbitraries[kind] as fc.Arbitrary<CommandBody>, { numRuns: 1, seed: 7 });
			return [kind, envelope(body as CommandBody)];
		}),
	);
	const hex = (command: Command) => Buffer.from(encodeCommand(command)).toString("hex");
	if (process.env.GOLDEN === "write") {
		const golden = Object.entries(samples).map(([kind, command]) => [kind, { command, hex: hex(command) }]);
		writeFileSync(path, `${JSON.stringify(Object.fromEntries(golden), null, "\t")}\n`);
	}
	const golden = JSON.parse(readFileSync(path, "utf8")) as Record<string, { command: Command; hex: string }>;

	test("there is a sample of every kind", () => {
		expect(Object.keys(golden).sort()).toEqual([...commandKinds].sort());
	});
	test.each(commandKinds)("%s", (kind) => {
		const { command, hex: bytes } = golden[kind] as { command: Command; hex: string };
		expect(hex(command)).toBe(bytes);
		expect(decodeCommand(Buffer.from(bytes, "hex"))).toEqual(command);
	});
});

test("bytes that are no command are malformed", () => {
	for (const bytes of [new Uint8Array([1, 2, 3]), Buffer.from("hello"), new Uint8Array([0x0a, 1, 65])])
		expect(() => decodeCommand(bytes)).toThrow(expect.objectContaining({ code: "malformed" }));
});

test("a document that is not JSON is malformed", () => {
	const bytes = Buffer.from(encodeCommand(envelope({ kind: "nodeStatus", id: "x", status: null as never })));
	const position = bytes.indexOf("null");
	bytes.write("nul!", position);
	expect(() => decodeCommand(bytes)).toThrow(expect.objectContaining({ code: "malformed" }));
});

test("a kind of command of a newer version is not skipped", () => {
	const bytes = encodeCommand(envelope({ kind: "volumeGone", id: "x" }));
	// Field 500, length-delimited, empty: what a later version's body would look like to this one.
	const field = (500 << 3) | 2;
	const withoutBody = bytes.subarray(0, bytes.length - 6);
	const newer = Buffer.concat([withoutBody, Buffer.from([(field & 0x7f) | 0x80, field >> 7, 0])]);
	expect(() => decodeCommand(newer)).toThrow(expect.objectContaining({ code: "unsupported" }));
});

test("a field of a newer version is not dropped in silence, however deep", () => {
	// Field 500, length-delimited, empty.
	const unknown = Buffer.from([(((500 << 3) | 2) & 0x7f) | 0x80, (500 << 3) >> 7, 0]);
	const bytes = Buffer.from(encodeCommand(envelope({ kind: "volumeGone", id: "x" })));
	const decoded = () => decodeCommand(Buffer.concat([bytes, unknown]));
	expect(decoded).toThrow(expect.objectContaining({ code: "unsupported" }));

	// The body is the last field: its length is the byte before its three bytes (id: tag, length, "x").
	const inBody = Buffer.concat([bytes, unknown]);
	inBody[bytes.length - 4] = 3 + unknown.length;
	expect(() => decodeCommand(inBody)).toThrow(expect.objectContaining({ code: "unsupported" }));

	const withList = Buffer.from(encodeCommand(envelope({ kind: "nodeUpdate", id: "x", peerAddresses: ["y"] })));
	// The list is the last field of the last field.
	const inList = Buffer.concat([withList, unknown]);
	inList[withList.length - 4] = 3 + unknown.length;
	inList[withList.length - 9] = (inList[withList.length - 9] ?? 0) + unknown.length;
	expect(() => decodeCommand(inList)).toThrow(expect.objectContaining({ code: "unsupported" }));
});
