/** The planners of snapshots, row by row: what is → what is done next. */
import { expect, test } from "bun:test";
import type { DomainState } from "../hypervisor/driver.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { PowerState } from "../model/vm.ts";
import { fixtureSnapshot } from "../testing/fixtures.ts";
import { planRevert, planSnapshot } from "./snapshot-plan.ts";
import type { VmStep } from "./vm-plan.ts";

const domain = (powerState: PowerState): DomainState => ({
	...{ id: "vm", name: "vm", powerState, reason: "unknown", persistent: true, autostart: false, ours: true },
	...{ definedGeneration: 1, runningGeneration: null },
});
const full = { code: "storage", message: "full" };

type Row = {
	is: string;
	snapshot: Partial<Snapshot> | null;
	power?: PowerState | null;
	done?: VmStep["kind"][];
	next: Partial<VmStep>;
};
const begun = { powerState: "running" } as const;

const taking: Row[] = [
	{ is: "no record", snapshot: null, next: { kind: "fail" } },
	...(["running", "paused", "stopped"] as const).map((powerState) => ({
		...{ is: `asked for, ${powerState}`, snapshot: {}, power: powerState },
		next: { kind: "begin-snapshot", powerState } as const,
	})),
	{ is: "asked for, crashed", snapshot: {}, power: "failed", next: { kind: "begin-snapshot", powerState: "stopped" } },
	{
		is: "asked for, not defined yet",
		snapshot: {},
		power: null,
		next: { kind: "begin-snapshot", powerState: "stopped" },
	},
	{ is: "being started by a daemon before us", snapshot: {}, power: "starting", next: { kind: "wait" } },
	{ is: "begun", snapshot: begun, power: "running", next: { kind: "take-snapshot" } },
	{ is: "halted by a process that died", snapshot: begun, power: "paused", next: { kind: "take-snapshot" } },
	{ is: "all there", snapshot: begun, power: "running", done: ["take-snapshot"], next: { kind: "report-snapshot" } },
	{ is: "reported", snapshot: { phase: "ready" }, next: { kind: "finish" } },
	{
		is: "failed, and the task's end was not written",
		snapshot: { phase: "error", error: full },
		next: { kind: "fail", error: { code: "wrong-state", message: "full" } },
	},
	{
		is: "reported without effect",
		...{ snapshot: begun, done: ["take-snapshot", "report-snapshot"] as const as Row["done"] },
		next: { kind: "fail" },
	} as Row,
];
const reverting: Row[] = [
	{ is: "no record", snapshot: null, next: { kind: "fail" } },
	{ is: "off", snapshot: { phase: "ready" }, power: "stopped", next: { kind: "revert-snapshot" } },
	{ is: "crashed", snapshot: { phase: "ready" }, power: "failed", next: { kind: "revert-snapshot" } },
	{ is: "begun by a process that died", snapshot: { phase: "reverting" }, next: { kind: "revert-snapshot" } },
	...(["running", "paused", "starting"] as const).map((power) => ({
		...{ is: power, snapshot: { phase: "ready" } as const, power },
		next: { kind: "fail" } as const,
	})),
	{ is: "not taken", snapshot: { phase: "error" }, next: { kind: "fail" } },
	{ is: "done", snapshot: { phase: "ready" }, done: ["revert-snapshot"], next: { kind: "finish", message: "so" } },
];

for (const [what, plan, rows] of [
	["taking", planSnapshot, taking],
	["reverting", planRevert, reverting],
] as const)
	for (const { is, snapshot, power = "stopped", done = [], next } of rows)
		test(`${what}: ${is} → ${next.kind}`, () => {
			const { step } = plan({
				snapshot: snapshot && fixtureSnapshot(snapshot),
				domain: power === null ? null : domain(power),
				...{ done: new Set(done), remark: "so" },
			});
			expect(step).toMatchObject(next);
		});
