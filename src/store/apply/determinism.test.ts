/** The same log gives the same state: on another node, after a snapshot, however the entries are grouped. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { silentLogger } from "../../lib/log.ts";
import type { Volume } from "../../model/storage.ts";
import type { Vm } from "../../model/vm.ts";
import { commandArbitrary } from "../../testing/command-arbitrary.ts";
import { dumpState } from "../../testing/dump-state.ts";
import { fixtureCluster, fixtureId, fixtureMember, fixtureSession } from "../../testing/fixtures.ts";
import { encodeCommand } from "../codec.ts";
import type { Command, CommandBody } from "../command.ts";
import { openMemoryState, openStateFile } from "../sqlite/database.ts";
import type { StateDatabase } from "../sqlite/state-database.ts";
import { stateDigest } from "../sqlite/state-digest.ts";
import { StateMachine } from "../state-machine.ts";
import type { LogEntry } from "./apply.ts";

const startMs = Date.UTC(2026, 0, 1);
/** With a second node that is ready, and a third that was admitted. */
const setUp: Command[] = [
	fixtureCluster(),
	...fixtureMember({ id: fixtureId(0x998), name: "node-2" }, startMs),
	...fixtureMember({ id: fixtureId(0x997), name: "node-3" }, startMs).slice(0, 2),
	...[0, 1].map(
		(number): CommandBody => ({
			kind: "sessionCreate",
			session: fixtureSession({ id: fixtureId(0x600 + number) }),
			secretHash: `sha256:${String(number + 7).repeat(32)}`,
		}),
	),
].map((body, number) => ({
	id: fixtureId(0x40000000 + number),
	timeMs: startMs,
	requester: { kind: "system", id: null, name: "system" },
	remoteAddress: null,
	operation: "system",
	idempotencyKey: null,
	credential: null,
	body,
}));

const toLog = (commands: readonly Command[]): LogEntry[] =>
	[...setUp, ...commands].map((command, position) => ({ index: position + 1, term: 1, data: encodeCommand(command) }));

function applyAll(state: StateDatabase, log: readonly LogEntry[], batch: number): string[] {
	const machine = new StateMachine(state, silentLogger);
	const results: string[] = [];
	let position = machine.appliedIndex;
	while (position < log.length) {
		const { outcomes, appliedCount } = machine.apply(log.slice(position, position + batch));
		position += appliedCount;
		for (const outcome of outcomes) {
			// A rule that breaks down instead of refusing is a bug, whatever the command was.
			if (outcome.bug !== undefined) throw outcome.bug;
			results.push(JSON.stringify(outcome.result), JSON.stringify(outcome.events));
		}
	}
	return results;
}

const sequences = fc.array(commandArbitrary, { minLength: 1, maxLength: 120 });

test("two copies that apply the same log are the same, however it is grouped", () => {
	fc.assert(
		fc.property(sequences, fc.integer({ min: 1, max: 50 }), (commands, batch) => {
			const log = toLog(commands);
			const [one, two] = [openMemoryState(), openMemoryState()];
			expect(applyAll(one, log, 1)).toEqual(applyAll(two, log, batch));
			expect(dumpState(one.database)).toBe(dumpState(two.database));
			one.close();
			two.close();
		}),
		{ numRuns: 40 },
	);
});

test("a snapshot and the rest of the log give what the whole log gives", () => {
	const folder = mkdtempSync(join(tmpdir(), "limiquantix-determinism-"));
	let number = 0;
	try {
		fc.assert(
			fc.property(sequences, fc.nat({ max: 120 }), (commands, cut) => {
				const log = toLog(commands);
				const straight = openMemoryState();
				applyAll(straight, log, 16);
				const first = openMemoryState();
				applyAll(first, log.slice(0, Math.min(cut, log.length)), 16);
				const path = join(folder, `${number++}.db`);
				first.database.run("VACUUM INTO ?", [path]);
				const restored = openStateFile(path);
				applyAll(restored, log, 16);
				expect(dumpState(restored.database)).toBe(dumpState(straight.database));
				for (const state of [straight, first, restored]) state.close();
			}),
			{ numRuns: 15 },
		);
	} finally {
		rmSync(folder, { recursive: true });
	}
});

describe("after any sequence of commands", () => {
	const statesAfter = (check: (state: StateDatabase) => void) =>
		fc.assert(
			fc.property(sequences, (commands) => {
				const state = openMemoryState();
				applyAll(state, toLog(commands), 32);
				check(state);
				state.close();
			}),
			{ numRuns: 60 },
		);

	test("the digest is that of the rows, also of refused commands, which are undone", () => {
		statesAfter(({ database }) => expect(stateDigest.storedDigest(database)).toBe(stateDigest.digestOf(database)));
	});

	test("disks and attachments agree, and nothing refers to nothing", () => {
		statesAfter((state) => {
			const vms = state.all("vm");
			const volumes = new Map(state.all("volume").map((volume): [string, Volume] => [volume.id, volume]));
			const byId = new Map(vms.map((vm): [string, Vm] => [vm.id, vm]));
			for (const vm of vms) {
				for (const disk of vm.spec.disks) expect(volumes.get(disk.volumeId)?.vmId).toBe(vm.id);
				for (const nic of vm.spec.nics) expect(state.get("network", nic.networkId)).not.toBeNull();
				for (const cdrom of vm.spec.cdroms)
					if (cdrom.imageId !== null) expect(state.get("image", cdrom.imageId)).not.toBeNull();
			}
			for (const volume of volumes.values()) {
				expect(state.get("pool", volume.poolId)).not.toBeNull();
				if (volume.vmId === null) continue;
				expect(byId.get(volume.vmId)?.spec.disks.map((disk) => disk.volumeId)).toContain(volume.id);
			}
		});
	});

	test("what lies on a node lies on one that is known, and pools are on members only; one stays at least", () => {
		statesAfter((state) => {
			const nodes = new Map(state.all("node").map((node) => [node.id, node]));
			for (const table of ["vm", "volume", "image"] as const)
				for (const { nodeId } of state.all(table)) if (nodeId !== null) expect(nodes.has(nodeId)).toBe(true);
			for (const { nodeIds, nodes: reports } of state.all("pool")) {
				for (const id of nodeIds) expect(nodes.get(id)).toMatchObject({ witness: false });
				for (const id of nodeIds) expect(nodes.get(id)?.status.phase).not.toBe("left");
				expect(reports.map(({ nodeId }) => nodeId).filter((id) => !nodeIds.includes(id))).toEqual([]);
			}
			const unfinished = state.all("task").filter(({ state: now }) => now === "pending" || now === "running");
			for (const { nodeId } of unfinished) expect(nodes.get(nodeId)?.status.phase).not.toBe("left");
			expect([...nodes.values()].some((node) => node.status.phase !== "left")).toBe(true);
		});
	});

	test("names and MAC addresses are unique, and there is an administrator", () => {
		statesAfter((state) => {
			for (const table of ["node", "vm", "pool", "image", "network", "user"] as const) {
				const names = state.all(table).map(({ name }) => name.toLowerCase());
				expect(new Set(names).size).toBe(names.length);
			}
			const macs = state.all("vm").flatMap((vm) => vm.spec.nics.map((nic) => nic.mac));
			expect(new Set(macs).size).toBe(macs.length);
			expect(state.all("user").some((user) => user.role === "admin" && user.enabled)).toBe(true);
		});
	});

	test("secrets belong to somebody, links to an object", () => {
		statesAfter((state) => {
			for (const kind of ["user", "session", "token", "joinToken"] as const)
				expect(state.rows(`SELECT id FROM ${kind}_secret EXCEPT SELECT id FROM ${kind}`)).toEqual([]);
			for (const table of ["vm", "volume", "image", "task"] as const)
				expect(
					state.rows(`SELECT owner_id FROM link WHERE owner_table = ? EXCEPT SELECT id FROM ${table}`, table),
				).toEqual([]);
		});
	});
});

test("entries that are no command, and empty ones, change nothing but the index", () => {
	const state = openMemoryState();
	const log = toLog([]);
	applyAll(state, log, 8);
	const machine = new StateMachine(state, silentLogger);
	const data = [new Uint8Array(), new Uint8Array([255, 255, 255])];
	const { outcomes } = machine.apply(
		data.map((bytes, position) => ({ index: log.length + 1 + position, term: 2, data: bytes })),
	);
	expect(outcomes).toEqual([]);
	expect([state.appliedIndex, state.appliedTerm]).toEqual([log.length + 2, 2]);
	state.close();
});
