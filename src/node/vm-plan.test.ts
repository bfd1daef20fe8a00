/** The planner, row by row: what is → what is done next. */
import { expect, test } from "bun:test";
import type { DomainState } from "../hypervisor/driver.ts";
import type { Task, TaskKind } from "../model/task.ts";
import type { PowerState } from "../model/vm.ts";
import {
	fixtureImage,
	fixtureSnapshot,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVolume,
} from "../testing/fixtures.ts";
import { diskOf } from "../testing/node/node-world.ts";
import { limits } from "./limits.ts";
import { planVm, type VmStep, type VmView } from "./vm-plan.ts";

const volume = fixtureVolume({ phase: "ready", allocatedBytes: 0 });
const vm = fixtureVm({ spec: fixtureVmSpec({ disks: [diskOf(volume.id, 0)] }) });
const domain = (powerState: PowerState, reason = "unknown"): DomainState => ({
	...{ id: vm.id, name: vm.name, powerState, reason, persistent: true, autostart: false, ours: true },
	...{ definedGeneration: 1, runningGeneration: null },
});
const prepared: VmStep["kind"][] = ["prepare-networks", "prepare-seed", "define"];

type Row = {
	is: string;
	kind: TaskKind;
	input?: Task["input"];
	domain?: DomainState | null;
	done?: VmStep["kind"][];
	view?: Partial<VmView>;
	next: Partial<VmStep>;
	showAs?: PowerState | null;
};

const making = (phase: "pending" | "creating" | "error" | "ready" | "resizing" | "deleting") => ({
	volumes: [{ ...volume, phase }],
});
const deleting = { ...volume, phase: "deleting" as const };

const rows: Row[] = [
	// create
	{ is: "a new volume", kind: "vm.create", view: making("pending"), next: { kind: "create-volume" } },
	{ is: "an interrupted volume", kind: "vm.create", view: making("creating"), next: { kind: "create-volume" } },
	{ is: "no volume record", kind: "vm.create", view: { volumes: [null] }, next: { kind: "fail" } },
	{ is: "a volume on its way out", kind: "vm.create", view: making("deleting"), next: { kind: "fail" } },
	{
		is: "deleted meanwhile, with its volumes",
		kind: "vm.start",
		view: { ...making("deleting"), vm: { ...vm, deleting: true } },
		next: { kind: "fail", error: { code: "canceled", message: "The VM is being deleted." } },
	},
	{
		is: "a volume that its own task makes",
		kind: "vm.create",
		view: { ...making("creating"), inTheMaking: new Set([volume.id]) },
		next: { kind: "wait-for-volume", volumeId: volume.id },
	},
	{
		is: "a disc that is being imported",
		kind: "vm.create",
		view: { discs: [null, fixtureImage({ phase: "importing" })] },
		next: { kind: "wait-for-image" },
	},
	{ is: "volumes ready", kind: "vm.create", next: { kind: "prepare-networks" } },
	{ is: "networks ready", kind: "vm.create", done: ["prepare-networks"], next: { kind: "prepare-seed" } },
	{ is: "seed ready", kind: "vm.create", done: ["prepare-networks", "prepare-seed"], next: { kind: "define" } },
	{ is: "defined", kind: "vm.create", done: prepared, domain: domain("stopped"), next: { kind: "finish" } },
	{
		is: "defined, to be started",
		kind: "vm.create",
		input: { start: true },
		done: prepared,
		domain: domain("stopped"),
		next: { kind: "start", paused: false },
		showAs: "starting",
	},
	{ is: "started", kind: "vm.create", input: { start: true }, domain: domain("running"), next: { kind: "finish" } },
	// start
	{ is: "stopped", kind: "vm.start", next: { kind: "prepare-networks" }, showAs: "starting" },
	{ is: "a volume missing", kind: "vm.start", view: making("error"), next: { kind: "create-volume" }, showAs: null },
	{ is: "a volume that grows", kind: "vm.start", view: making("resizing"), next: { kind: "prepare-networks" } },
	{ is: "defined", kind: "vm.start", done: prepared, next: { kind: "start", paused: false }, showAs: "starting" },
	{
		is: "to be paused",
		kind: "vm.start",
		input: { paused: true },
		done: prepared,
		next: { kind: "start", paused: true },
	},
	{ is: "runs already", kind: "vm.start", domain: domain("running"), next: { kind: "finish" } },
	{ is: "half started", kind: "vm.start", domain: domain("starting", "starting-up"), next: { kind: "wait" } },
	{ is: "started and paused", kind: "vm.start", domain: domain("paused", "user"), next: { kind: "resume" } },
	{ is: "paused by a disk", kind: "vm.start", domain: domain("paused", "io-error"), next: { kind: "finish" } },
	{
		is: "paused as wished",
		kind: "vm.start",
		input: { paused: true },
		domain: domain("paused"),
		next: { kind: "finish" },
	},
	{ is: "crashed before", kind: "vm.start", domain: domain("failed", "crashed"), next: { kind: "destroy" } },
	{
		is: "cleared after a crash",
		kind: "vm.start",
		domain: domain("failed", "crashed"),
		done: ["destroy"],
		next: { kind: "prepare-networks" },
	},
	{
		is: "ended by the guest at once",
		kind: "vm.start",
		domain: domain("stopped", "shutdown"),
		done: [...prepared, "start"],
		next: { kind: "finish", reason: "Shut down by the guest." },
	},
	{
		is: "dead right after the start",
		kind: "vm.start",
		domain: domain("failed", "crashed"),
		done: [...prepared, "start"],
		next: { kind: "fail" },
	},
	// shutdown
	{ is: "off", kind: "vm.shutdown", domain: domain("stopped"), next: { kind: "finish" } },
	{ is: "gone", kind: "vm.shutdown", domain: null, next: { kind: "finish" } },
	{
		is: "runs",
		kind: "vm.shutdown",
		domain: domain("running"),
		next: { kind: "request-shutdown", escalateInMs: vm.spec.shutdownTimeoutMs },
		showAs: "stopping",
	},
	{
		is: "asked a moment ago",
		kind: "vm.shutdown",
		domain: domain("running"),
		view: { sinceRequestMs: 1_000, elapsedMs: 1_000 },
		next: { kind: "wait", ms: limits.shutdownRepeatMs - 1_000 },
	},
	{
		is: "little time left",
		kind: "vm.shutdown",
		input: { timeoutMs: 5_000 },
		domain: domain("running"),
		view: { sinceRequestMs: 1_000, elapsedMs: 1_000 },
		next: { kind: "wait", ms: 4_000 },
	},
	{
		is: "asked long ago",
		kind: "vm.shutdown",
		domain: domain("running"),
		view: { sinceRequestMs: limits.shutdownRepeatMs, elapsedMs: 40_000 },
		next: { kind: "request-shutdown", escalateInMs: 80_000 },
	},
	{
		is: "time is up",
		kind: "vm.shutdown",
		domain: domain("running"),
		view: { elapsedMs: 120_000, sinceRequestMs: 5 },
		next: { kind: "destroy" },
		showAs: "stopping",
	},
	{
		is: "time is up, stopped",
		kind: "vm.shutdown",
		domain: domain("stopped"),
		done: ["destroy"],
		next: { kind: "finish" },
	},
	{ is: "paused", kind: "vm.shutdown", domain: domain("paused"), next: { kind: "fail" } },
	{
		is: "a nonsense time-out",
		kind: "vm.shutdown",
		input: { timeoutMs: "soon" },
		domain: domain("running"),
		next: { kind: "request-shutdown", escalateInMs: vm.spec.shutdownTimeoutMs },
	},
	// stop
	{ is: "runs", kind: "vm.stop", domain: domain("running"), next: { kind: "destroy" }, showAs: "stopping" },
	{ is: "paused", kind: "vm.stop", domain: domain("paused"), next: { kind: "destroy" } },
	{ is: "off", kind: "vm.stop", domain: domain("stopped"), next: { kind: "finish" } },
	{ is: "crashed", kind: "vm.stop", domain: domain("failed"), next: { kind: "destroy" } },
	{ is: "crashed, cleared", kind: "vm.stop", domain: domain("failed"), done: ["destroy"], next: { kind: "finish" } },
	{
		is: "lives on",
		kind: "vm.stop",
		domain: domain("running"),
		done: ["destroy"],
		next: { kind: "destroy", afterMs: 1_000 },
	},
	{ is: "will not die", kind: "vm.stop", domain: domain("running"), view: { destroys: 3 }, next: { kind: "fail" } },
	// reset, pause, resume
	{ is: "runs", kind: "vm.reset", domain: domain("running"), next: { kind: "reset" } },
	{ is: "reset", kind: "vm.reset", domain: domain("running"), done: ["reset"], next: { kind: "finish" } },
	{ is: "off", kind: "vm.reset", domain: domain("stopped"), next: { kind: "fail" } },
	{
		is: "asked long ago",
		kind: "vm.reset",
		domain: domain("running"),
		view: { ageMs: 700_000 },
		next: { kind: "fail" },
	},
	{ is: "runs", kind: "vm.pause", domain: domain("running"), next: { kind: "pause" } },
	{ is: "paused", kind: "vm.pause", domain: domain("paused"), next: { kind: "finish" } },
	{ is: "goes on", kind: "vm.pause", domain: domain("running"), done: ["pause"], next: { kind: "fail" } },
	{ is: "off", kind: "vm.pause", domain: null, next: { kind: "fail" } },
	{ is: "paused", kind: "vm.resume", domain: domain("paused"), next: { kind: "resume" } },
	{ is: "runs", kind: "vm.resume", domain: domain("running"), next: { kind: "finish" } },
	{
		is: "stays paused",
		kind: "vm.resume",
		domain: domain("paused", "io-error"),
		done: ["resume"],
		next: { kind: "fail" },
	},
	// update
	{ is: "off", kind: "vm.update", domain: domain("stopped"), next: { kind: "prepare-networks" } },
	{ is: "off, defined", kind: "vm.update", domain: domain("stopped"), done: prepared, next: { kind: "finish" } },
	{ is: "runs, defined", kind: "vm.update", domain: domain("running"), done: prepared, next: { kind: "apply-live" } },
	{
		is: "applied in part",
		kind: "vm.update",
		domain: domain("running"),
		done: [...prepared, "apply-live"],
		view: { notLive: ["firmware"] },
		next: { kind: "finish", message: "Waits for the next start: firmware" },
	},
	// adopt
	{ is: "foreign", kind: "vm.adopt", domain: domain("stopped"), next: { kind: "adopt-volumes" } },
	{ is: "gone meanwhile", kind: "vm.adopt", next: { kind: "fail" } },
	{
		is: "files taken over",
		kind: "vm.adopt",
		domain: domain("stopped"),
		done: ["adopt-volumes"],
		next: { kind: "prepare-networks" },
	},
	{
		is: "defined",
		kind: "vm.adopt",
		domain: domain("stopped"),
		done: ["adopt-volumes", ...prepared],
		next: { kind: "report-volumes" },
	},
	{
		is: "ours",
		kind: "vm.adopt",
		domain: domain("running"),
		done: ["adopt-volumes", ...prepared, "report-volumes"],
		next: { kind: "finish" },
	},
	// delete
	{ is: "runs", kind: "vm.delete", domain: domain("running"), next: { kind: "destroy" }, showAs: "stopping" },
	{ is: "will not die", kind: "vm.delete", domain: domain("running"), view: { destroys: 3 }, next: { kind: "fail" } },
	{ is: "off", kind: "vm.delete", domain: domain("stopped"), next: { kind: "undefine" } },
	{ is: "crashed", kind: "vm.delete", domain: domain("failed"), next: { kind: "destroy" } },
	{
		is: "undefine did nothing",
		kind: "vm.delete",
		domain: domain("stopped"),
		done: ["undefine"],
		next: { kind: "fail" },
	},
	{
		is: "no domain",
		kind: "vm.delete",
		view: { attached: [deleting] },
		next: { kind: "delete-volume", volumeId: volume.id },
	},
	{ is: "a volume that stays", kind: "vm.delete", view: { attached: [volume] }, next: { kind: "remove-folder" } },
	{
		is: "files deleted",
		kind: "vm.delete",
		view: { attached: [deleting], deleted: new Set([volume.id]) },
		next: { kind: "remove-folder" },
	},
	{ is: "folder removed", kind: "vm.delete", done: ["remove-folder"], next: { kind: "gone", message: null } },
	{
		is: "a volume that others need",
		kind: "vm.delete",
		done: ["remove-folder"],
		view: { attached: [volume], kept: new Map([[volume.id, "Others are copies of it."]]) },
		next: { kind: "gone", message: 'Volume "volume-1" stays: Others are copies of it.' },
	},
	{
		is: "snapshots on disks that stay",
		kind: "vm.delete",
		view: { snapshots: [fixtureSnapshot()] },
		next: { kind: "forget-snapshots" },
	},
	// snapshots: see snapshot-plan.test.ts
	{
		is: "half set back",
		kind: "vm.start",
		view: { snapshots: [fixtureSnapshot({ phase: "reverting" })] },
		next: { kind: "fail" },
	},
	// no operation of a VM
	{ is: "anything", kind: "image.delete", next: { kind: "fail" } },
];

for (const row of rows)
	test(`${row.kind}: ${row.is}${row.done ? ` after ${row.done.at(-1)}` : ""} → ${row.next.kind}`, () => {
		const view: VmView = {
			...{ vm, domain: row.domain ?? null, volumes: [volume], discs: [], attached: [], inTheMaking: new Set<string>() },
			...{ deleted: new Set<string>(), kept: new Map<string, string>(), fetched: new Set<string>(), notLive: [] },
			...{ elapsedMs: 0, ageMs: 0, sinceRequestMs: null, snapshots: [], snapshot: null, remark: null },
			task: fixtureTask(row.kind, { kind: "vm", id: vm.id }, { input: row.input ?? {} }),
			done: new Set(row.done ?? []),
			destroys: row.done?.includes("destroy") ? 1 : 0,
			...row.view,
		};
		const planned = planVm(view);
		expect(planned.step).toMatchObject(row.next);
		if (row.showAs !== undefined) expect(planned.showAs).toBe(row.showAs);
	});

test("a plan that is followed on a domain that obeys comes to an end, from any state, for any task", () => {
	const kinds = ["create", "start", "shutdown", "stop", "reset", "pause", "resume", "update", "adopt", "delete"];
	const states: (PowerState | null)[] = [null, "stopped", "failed", "running", "paused"];
	for (const kind of kinds)
		for (const state of states) {
			const task = fixtureTask(`vm.${kind}` as TaskKind, { kind: "vm", id: vm.id }, { input: { start: true } });
			let now = state === null ? null : domain(state);
			const done = new Set<VmStep["kind"]>();
			let last: VmStep | null = null;
			let elapsedMs = 0;
			for (let count = 0; count < 50 && !["finish", "fail", "gone"].includes(last?.kind ?? ""); count++) {
				const common = { volumes: [volume], discs: [], attached: [], inTheMaking: new Set<string>(), notLive: [] };
				const sets = { deleted: new Set<string>(), kept: new Map<string, string>(), fetched: new Set<string>() };
				const destroys = done.has("destroy") ? 1 : 0;
				const none = { snapshots: [], snapshot: null, remark: null };
				const times = { elapsedMs, ageMs: elapsedMs, sinceRequestMs: done.has("request-shutdown") ? 0 : null };
				last = planVm({ vm, task, domain: now, done, ...common, ...sets, ...times, ...none, destroys }).step;
				if (last.kind === "wait") elapsedMs += last.ms;
				if (last.kind === "start" || last.kind === "resume") now = domain("running");
				if (last.kind === "pause") now = domain("paused");
				if (last.kind === "destroy") now = domain("stopped", "destroyed");
				if (last.kind === "define") now ??= domain("stopped");
				if (last.kind === "undefine") now = null;
				done.add(last.kind);
			}
			expect(["finish", "fail", "gone"]).toContain(last?.kind ?? "none");
		}
});
