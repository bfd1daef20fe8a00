/** What a VM becomes, row by row: observed without a task, and settled at the end of one. */
import { expect, test } from "bun:test";
import type { DomainState } from "../hypervisor/driver.ts";
import type { ErrorInfo } from "../lib/errors.ts";
import type { TaskKind } from "../model/task.ts";
import { type DesiredPower, type PowerState, powerStates, type VmStatus } from "../model/vm.ts";
import { fixtureVm, fixtureVmStatus } from "../testing/fixtures.ts";
import { observeVm, sameStatus, withoutTime } from "./vm-observe.ts";
import { settleVm } from "./vm-settle.ts";

const now = "2030-01-01T00:00:00.000Z";
const domain = (powerState: PowerState, reason = "unknown"): DomainState => ({
	...{ id: "x", name: "x", powerState, reason, persistent: true, autostart: false, ours: true },
	...{ definedGeneration: 1, runningGeneration: 1 },
});

type Seen = {
	was: PowerState;
	says: DomainState | null | "unreachable";
	is: PowerState;
	desired?: DesiredPower;
	reason?: string | null;
	hostRestarted?: boolean;
};
const seen: Seen[] = [
	{ was: "stopped", says: domain("stopped"), is: "stopped" },
	{ was: "stopped", says: null, is: "stopped" },
	{ was: "stopped", says: "unreachable", is: "stopped" },
	{
		was: "stopped",
		says: domain("running"),
		is: "running",
		desired: "running",
		reason: "Started from outside of LimiQuantix.",
	},
	{ was: "running", says: domain("running"), is: "running", desired: "running", reason: null },
	{ was: "running", says: domain("paused"), is: "paused", desired: "paused", reason: null },
	{ was: "running", says: domain("paused", "io-error"), is: "paused", desired: "running" },
	{ was: "running", says: domain("stopping"), is: "running", desired: "running" },
	{
		was: "running",
		says: domain("stopped", "shutdown"),
		is: "stopped",
		desired: "stopped",
		reason: "Shut down by the guest.",
	},
	{ was: "running", says: domain("stopped", "destroyed"), is: "stopped", reason: "Ended from outside of LimiQuantix." },
	{
		was: "running",
		says: domain("stopped", "daemon"),
		is: "stopped",
		reason: "Ended while nobody watched (libvirt says: daemon).",
	},
	{
		was: "running",
		says: domain("failed", "crashed"),
		is: "failed",
		desired: "stopped",
		reason: "QEMU ended in a crash.",
	},
	{
		was: "running",
		says: domain("stopped"),
		hostRestarted: true,
		is: "stopped",
		reason: "The host restarted while the VM ran.",
	},
	{ was: "running", says: domain("failed", "crashed"), hostRestarted: true, is: "failed" },
	{ was: "running", says: null, hostRestarted: true, is: "stopped" },
	{ was: "running", says: null, is: "failed", desired: "stopped" },
	{ was: "running", says: "unreachable", is: "unknown", desired: "running" },
	{ was: "paused", says: "unreachable", is: "unknown" },
	{ was: "unknown", says: "unreachable", is: "unknown" },
	{ was: "unknown", says: domain("running"), is: "running", desired: "running", reason: null },
	{ was: "unknown", says: domain("stopped", "shutdown"), is: "stopped" },
	{ was: "starting", says: domain("stopped"), is: "stopped" },
	{ was: "stopping", says: domain("stopped", "shutdown"), is: "stopped" },
	{ was: "stopping", says: domain("running"), is: "running", desired: "running" },
	{ was: "failed", says: domain("stopped"), is: "failed" },
	{ was: "failed", says: null, is: "failed" },
	{ was: "failed", says: "unreachable", is: "failed" },
	{ was: "failed", says: domain("running"), is: "running" },
];
for (const row of seen) {
	const says =
		row.says === null || row.says === "unreachable" ? row.says : `${row.says.powerState} (${row.says.reason})`;
	test(`was ${row.was}, libvirt says ${says}${row.hostRestarted ? " after a boot" : ""} → ${row.is}`, () => {
		const status = fixtureVmStatus({ powerState: row.was, startedAt: row.was === "stopped" ? null : now });
		const observed = observeVm({
			vm: fixtureVm({ desiredPower: "running", status }),
			domain: row.says,
			hostRestarted: row.hostRestarted ?? false,
			now,
			accelerator: "tcg",
		});
		expect(observed.status.powerState).toBe(row.is);
		if (row.desired) expect(observed.desiredPower).toBe(row.desired);
		if (row.reason !== undefined) expect(observed.status.reason).toBe(row.reason);
	});
}

test("what is observed is never an in-between state, and observing twice changes nothing more", () => {
	const domains = [null, ...powerStates.map((state) => domain(state)), domain("stopped", "shutdown")];
	for (const was of powerStates)
		for (const says of domains) {
			const vm = fixtureVm({ status: fixtureVmStatus({ powerState: was }) });
			const observation = { domain: says, hostRestarted: false, now, accelerator: "tcg" as const };
			const first = observeVm({ ...observation, vm });
			expect(["stopped", "running", "paused", "failed"]).toContain(first.status.powerState);
			const then = { ...vm, desiredPower: first.desiredPower, status: { ...first.status, updatedAt: now } };
			const second = observeVm({ ...observation, vm: then });
			expect(second).toEqual(first);
		}
});

const refused: ErrorInfo = { code: "hypervisor", message: "QEMU says no." };
const canceled: ErrorInfo = { code: "canceled", message: "Canceled." };
const wrong: ErrorInfo = { code: "wrong-state", message: "It does not run." };
type Settled = {
	kind: TaskKind;
	was: PowerState;
	says: DomainState | null | "unreachable";
	error?: ErrorInfo;
	is: Partial<VmStatus>;
	desired?: DesiredPower;
	started?: boolean;
};
const settled: Settled[] = [
	{
		kind: "vm.start",
		was: "starting",
		says: domain("running"),
		started: true,
		is: { powerState: "running", pendingRestart: false, error: null },
		desired: "running",
	},
	{
		kind: "vm.start",
		was: "starting",
		says: domain("stopped"),
		error: refused,
		is: { powerState: "failed", reason: refused.message, error: refused },
		desired: "stopped",
	},
	{
		kind: "vm.start",
		was: "starting",
		says: domain("stopped"),
		error: canceled,
		is: { powerState: "stopped", error: null },
	},
	{ kind: "vm.start", was: "failed", says: domain("stopped"), error: canceled, is: { powerState: "failed" } },
	{
		kind: "vm.start",
		was: "starting",
		says: "unreachable",
		error: refused,
		is: { powerState: "unknown", error: refused },
	},
	{ kind: "vm.create", was: "stopped", says: null, error: refused, is: { powerState: "failed", error: refused } },
	{
		kind: "vm.create",
		was: "stopped",
		says: "unreachable",
		error: refused,
		is: { powerState: "failed", error: refused },
	},
	{ kind: "vm.create", was: "stopped", says: domain("stopped"), is: { powerState: "stopped", error: null } },
	{
		kind: "vm.stop",
		was: "stopping",
		says: domain("stopped", "destroyed"),
		is: { powerState: "stopped", reason: null },
	},
	{
		kind: "vm.stop",
		was: "stopping",
		says: domain("running"),
		error: refused,
		is: { powerState: "running", error: refused },
		desired: "running",
	},
	{ kind: "vm.stop", was: "stopping", says: domain("stopped"), error: refused, is: { powerState: "stopped" } },
	{ kind: "vm.stop", was: "stopping", says: "unreachable", error: refused, is: { powerState: "unknown" } },
	{ kind: "vm.stop", was: "failed", says: domain("stopped"), is: { powerState: "stopped", error: null } },
	{
		kind: "vm.shutdown",
		was: "stopping",
		says: domain("running"),
		error: canceled,
		is: { powerState: "running", error: null },
		desired: "running",
	},
	{ kind: "vm.pause", was: "running", says: domain("paused"), is: { powerState: "paused" }, desired: "paused" },
	{
		kind: "vm.pause",
		was: "running",
		says: domain("stopped", "shutdown"),
		error: wrong,
		is: { powerState: "stopped", reason: "Shut down by the guest.", error: null },
		desired: "stopped",
	},
	{
		kind: "vm.update",
		was: "running",
		says: domain("running"),
		error: refused,
		is: { powerState: "running", error: refused },
		desired: "running",
	},
	{
		kind: "vm.update",
		was: "stopped",
		says: domain("stopped"),
		error: refused,
		is: { powerState: "stopped", error: refused },
	},
	{ kind: "vm.update", was: "failed", says: domain("stopped"), is: { powerState: "failed" } },
	{
		kind: "vm.delete",
		was: "stopping",
		says: domain("stopped"),
		error: refused,
		is: { powerState: "stopped", error: refused },
	},
];
for (const row of settled)
	test(`${row.kind} from ${row.was} ${row.error ? `fails (${row.error.code})` : "succeeds"}, libvirt says ${row.says === null || row.says === "unreachable" ? row.says : row.says.powerState}`, () => {
		const result = settleVm({
			vm: fixtureVm({
				desiredPower: "running",
				status: fixtureVmStatus({ powerState: row.was, pendingRestart: true }),
			}),
			taskKind: row.kind,
			domain: row.says,
			outcome: row.error ? { kind: "failure", error: row.error } : { kind: "success", reason: null },
			...{
				definedGeneration: 1,
				started: row.started ?? false,
				differences: null,
				notLive: [],
				accelerator: "tcg",
				now,
			},
		});
		expect(result.status).toMatchObject(row.is);
		expect(result.status.taskId).toBeNull();
		if (row.desired) expect(result.desiredPower).toBe(row.desired);
	});

test("two reports are the same whatever their times", () => {
	const one = fixtureVmStatus();
	expect(sameStatus(withoutTime(one), withoutTime({ ...one, updatedAt: "2031-01-01T00:00:00.000Z" }))).toBe(true);
	expect(sameStatus(withoutTime(one), withoutTime({ ...one, reason: "x" }))).toBe(false);
	expect(sameStatus(withoutTime(one), withoutTime({ ...one, error: refused }))).toBe(false);
});
