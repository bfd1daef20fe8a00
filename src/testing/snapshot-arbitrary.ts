/** Random commands about snapshots; see command-arbitrary.ts. */
import fc from "fast-check";
import { snapshotPhases } from "../model/snapshot.ts";
import type { CommandBody, CommandKind } from "../store/command.ts";
import {
	bytes,
	errorInfo,
	expected,
	maybe,
	name,
	record,
	snapshotId,
	task,
	text,
	vmId,
	volumeId,
} from "./command-parts.ts";
import { fixtureSnapshot } from "./fixtures.ts";

const kind = <const K extends CommandKind>(value: K) => fc.constant(value);

type SnapshotKind = Extract<CommandKind, `snapshot${string}`>;

export const snapshotArbitraries: { [K in SnapshotKind]: fc.Arbitrary<Extract<CommandBody, { kind: K }>> } = {
	snapshotCreate: fc
		.record({ id: snapshotId, name, vmId, task: task(["vm.snapshot"], vmId, "vm") })
		.map(({ task: sent, ...changes }) => ({
			kind: "snapshotCreate",
			snapshot: fixtureSnapshot(changes),
			task: sent,
		})),
	snapshotUpdate: record({
		...{ kind: kind("snapshotUpdate"), id: snapshotId, expectedGeneration: expected },
		...{ name: maybe(name), description: maybe(text) },
	}),
	snapshotStatus: record({
		...{ kind: kind("snapshotStatus"), id: snapshotId, phase: fc.constantFrom(...snapshotPhases) },
		powerState: maybe(fc.constantFrom("running", "paused", "stopped")),
		consistency: maybe(fc.constantFrom("crash", "filesystem")),
		sizes: maybe(fc.array(record({ volumeId, sizeBytes: bytes }), { maxLength: 2 })),
		error: maybe(errorInfo),
	}),
	snapshotRevert: record({
		...{ kind: kind("snapshotRevert"), id: snapshotId, task: task(["vm.revert"], vmId, "vm") },
		partly: maybe(fc.constant(true as const)),
	}),
	snapshotReverted: record({ kind: kind("snapshotReverted"), id: snapshotId }),
	snapshotDelete: record({
		...{ kind: kind("snapshotDelete"), id: snapshotId, task: task(["snapshot.delete"], vmId, "vm") },
		merging: maybe(fc.constant(true as const)),
	}),
	snapshotGone: record({ kind: kind("snapshotGone"), id: snapshotId }),
};
