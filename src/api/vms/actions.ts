/** What can be done with a VM. Which action is possible in which state is decided where the command applies. */
import type { TSchema } from "@sinclair/typebox";
import { toRfc3339 } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { VmAction } from "../../model/actions.ts";
import { VmMediaChange, VmShutdown, VmStart } from "../../model/api.ts";
import type { OperationId } from "../../model/permissions.ts";
import { Task, type TaskKind } from "../../model/task.ts";
import type { DesiredPower, Vm } from "../../model/vm.ts";
import { checkHeard } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { idParams } from "../parameters.ts";
import { recorded } from "../recorded.ts";
import { vmRef } from "../refs.ts";
import { taken } from "../reply.ts";
import { accepted, find, newTask } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { planVmUpdate } from "./plan-update.ts";

const tag = "vms" as const;

type PowerAction = {
	operationId: OperationId;
	action: VmAction;
	kind: TaskKind;
	summary: string;
	/** Null leaves what is wanted as it is. */
	desiredPower: DesiredPower | null;
};

function powerRoute({ operationId, action, kind, summary, desiredPower }: PowerAction): Route {
	return route({
		operationId,
		method: "POST",
		path: `/v1/vms/{id}/actions/${action}`,
		summary,
		tag,
		params: idParams,
		responses: { 202: Task },
		idempotent: true,
		async handler({ context, params }) {
			try {
				return await accepted(context, () => {
					const vm = heardVm(context, params.id);
					const task = newTask(context, kind, vmRef(vm), { nodeId: vm.nodeId });
					return { kind: "vmAction", id: vm.id, task, ...(desiredPower ? { desiredPower } : {}) };
				});
			} catch (error) {
				if (action !== "stop" || !mayStopAlone(context, params.id, error)) throw error;
				return await stopAlone(context, params.id);
			}
		},
	});
}

/** The VM whose power is to change. */
function heardVm(context: RequestContext, id: string): Vm {
	const vm = find(context, "vm", id);
	checkHeard(context, vm.nodeId);
	return vm;
}

/** Root on the VM's own host may always cut its power, also while the cluster takes no writes. */
function mayStopAlone({ identity, services }: RequestContext, vmId: string, error: unknown): boolean {
	const { store, node } = services;
	const noQuorum = isAppError(error, "unavailable") && !store.status().quorum;
	return noQuorum && identity?.via === "local" && store.get("vm", vmId)?.nodeId === node.nodeId;
}

/**
 * The task is in no state, so no `Location` leads to it: it says what was done. The node reports the VM as stopped when there is a quorum again, and the
 * audit is told then who did it.
 */
async function stopAlone(context: RequestContext, vmId: string) {
	const { node, clock } = context.services;
	const vm = find(context, "vm", vmId);
	const task = newTask(context, "vm.stop", vmRef(vm), { nodeId: vm.nodeId });
	await recorded(context, [vmRef(vm)], () => node.stopWithoutQuorum(vmId));
	const now = toRfc3339(clock.nowMs());
	const message = "Stopped on this host without a quorum. The cluster hears of it when it takes writes again.";
	const done: Task = { ...task, state: "succeeded", startedAt: task.createdAt, finishedAt: now, message };
	return taken(done);
}

const optionalBody = <T extends TSchema>(body: T) => ({ body, bodyOptional: true }) as const;

export const vmActionRoutes: Route[] = [
	route({
		operationId: "vmStart",
		method: "POST",
		path: "/v1/vms/{id}/actions/start",
		summary: "Start a VM",
		tag,
		params: idParams,
		...optionalBody(VmStart),
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params, body }) =>
			accepted(context, () => {
				const vm = heardVm(context, params.id);
				const paused = body?.paused ?? false;
				const task = newTask(context, "vm.start", vmRef(vm), { nodeId: vm.nodeId, input: { paused } });
				return { kind: "vmAction", id: vm.id, desiredPower: paused ? "paused" : "running", task };
			}),
	}),
	route({
		operationId: "vmShutdown",
		method: "POST",
		path: "/v1/vms/{id}/actions/shutdown",
		summary: "Shut a VM down",
		description: "Asks the guest; when it is not off within timeoutMs it is stopped.",
		tag,
		params: idParams,
		...optionalBody(VmShutdown),
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params, body }) =>
			accepted(context, () => {
				const vm = heardVm(context, params.id);
				const timeoutMs = body?.timeoutMs ?? vm.spec.shutdownTimeoutMs;
				const task = newTask(context, "vm.shutdown", vmRef(vm), { nodeId: vm.nodeId, input: { timeoutMs } });
				return { kind: "vmAction", id: vm.id, desiredPower: "stopped", task };
			}),
	}),
	powerRoute({
		operationId: "vmStop",
		action: "stop",
		kind: "vm.stop",
		summary: "Stop a VM at once, as if its power was cut",
		desiredPower: "stopped",
	}),
	powerRoute({
		operationId: "vmReset",
		action: "reset",
		kind: "vm.reset",
		summary: "Reset a VM, as its reset button would",
		desiredPower: null,
	}),
	powerRoute({
		operationId: "vmPause",
		action: "pause",
		kind: "vm.pause",
		summary: "Halt the CPUs of a VM",
		desiredPower: "paused",
	}),
	powerRoute({
		operationId: "vmResume",
		action: "resume",
		kind: "vm.resume",
		summary: "Let the CPUs of a paused VM go on",
		desiredPower: "running",
	}),
	route({
		operationId: "vmMediaChange",
		method: "POST",
		path: "/v1/vms/{id}/actions/change-media",
		summary: "Put a disc into a CD-ROM drive, or eject it",
		tag,
		params: idParams,
		body: VmMediaChange,
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params, body }) =>
			accepted(context, () => {
				const vm = find(context, "vm", params.id);
				if (!vm.spec.cdroms.some((drive) => drive.id === body.cdromId))
					throw new AppError("invalid", "The VM has no such CD-ROM drive.", {
						fields: [{ path: "/cdromId", message: `There is no drive ${body.cdromId}.` }],
					});
				const cdroms = vm.spec.cdroms.map((drive) =>
					drive.id === body.cdromId ? { ...drive, imageId: body.imageId } : drive,
				);
				const { spec } = planVmUpdate(vm, { cdroms }, context.services.store);
				const task = newTask(context, "vm.update", vmRef(vm), {
					nodeId: vm.nodeId,
					input: { cdromId: body.cdromId, imageId: body.imageId },
				});
				return { kind: "vmUpdate", id: vm.id, expectedGeneration: vm.generation, task, ...(spec ? { spec } : {}) };
			}),
	}),
];
