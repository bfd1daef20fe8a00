/** Snapshots of VMs. What is possible when is decided where the commands apply. */
import type { Static } from "@sinclair/typebox";
import { Snapshot, SnapshotCreate, SnapshotPage, SnapshotUpdate } from "../../model/snapshot.ts";
import { snapshotDisksOf } from "../../model/snapshot-rules.ts";
import { Task, type TaskKind } from "../../model/task.ts";
import type { Vm } from "../../model/vm.ts";
import { checkHeard } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { idParams, listQuery } from "../parameters.ts";
import { refTo, vmRef } from "../refs.ts";
import { accepted, created, expected, find, findForWrite, listed, newMetadata, newTask, shown } from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "snapshots" as const;

export const snapshotRoutes: Route[] = [
	route({
		operationId: "snapshotList",
		method: "GET",
		path: "/v1/vms/{id}/snapshots",
		summary: "List the snapshots of a VM",
		tag,
		params: idParams,
		query: listQuery(["createdAt", "name"] as const, {}),
		responses: { 200: SnapshotPage },
		handler({ context, params, query }) {
			const vm = find(context, "vm", params.id);
			return listed(context, "snapshot", query, { vmId: vm.id });
		},
	}),
	route({
		operationId: "snapshotCreate",
		method: "POST",
		path: "/v1/vms/{id}/snapshots",
		summary: "Take a snapshot of a VM",
		description:
			"Keeps what all its disks hold at one moment, whichever pools they are in, with its UEFI variables and its TPM; the memory of a running VM is not kept. A running VM halts for a moment. 409 (unsupported) when the pool of a disk makes no snapshots.",
		tag,
		params: idParams,
		body: SnapshotCreate,
		responses: { 201: Snapshot },
		idempotent: true,
		handler: ({ context, params, body }) =>
			created(context, "snapshot", () => {
				const vm = find(context, "vm", params.id);
				checkHeard(context, vm.nodeId);
				const snapshot = planSnapshot(context, vm, body);
				return { kind: "snapshotCreate", snapshot, task: snapshotTask(context, "vm.snapshot", vm, snapshot) };
			}),
	}),
	route({
		operationId: "snapshotGet",
		method: "GET",
		path: "/v1/snapshots/{id}",
		summary: "Get a snapshot",
		tag,
		params: idParams,
		responses: { 200: Snapshot },
		handler: ({ context, params }) => shown(find(context, "snapshot", params.id)),
	}),
	route({
		operationId: "snapshotUpdate",
		method: "PATCH",
		path: "/v1/snapshots/{id}",
		summary: "Rename or describe a snapshot",
		tag,
		params: idParams,
		body: SnapshotUpdate,
		responses: { 200: Snapshot },
		ifMatch: true,
		async handler({ context, params, body }) {
			await context.mutate(() => ({ kind: "snapshotUpdate", id: params.id, ...body, ...expected(context) }));
			return shown(find(context, "snapshot", params.id));
		},
	}),
	route({
		operationId: "snapshotDelete",
		method: "DELETE",
		path: "/v1/snapshots/{id}",
		summary: "Delete a snapshot",
		description:
			"The VM stays as it is, and so do the other snapshots; it may run, and halts for a moment then. 409 while volumes rest on it, and while the VM runs where the pool of a disk cannot do it then (iscsi-lvm; any but ceph-rbd while a member of an older version is there).",
		tag,
		params: idParams,
		responses: { 202: Task },
		ifMatch: true,
		handler: ({ context, params }) =>
			accepted(context, () => {
				const snapshot = findForWrite(context, "snapshot", params.id);
				const vm = find(context, "vm", snapshot.vmId);
				const task = snapshotTask(context, "snapshot.delete", vm, snapshot);
				const merging = context.services.cluster.everybodyHas("live-merge-1");
				return { kind: "snapshotDelete", id: snapshot.id, task, ...(merging ? { merging } : {}) };
			}),
	}),
	route({
		operationId: "snapshotRevert",
		method: "POST",
		path: "/v1/snapshots/{id}/actions/revert",
		summary: "Set a VM back to a snapshot",
		description:
			"The VM is off. What was written since the last snapshot is lost; all snapshots stay. Disks that are not in the snapshot stay as they are. Done again after it failed half-way, it sets back the disks that the VM still has.",
		tag,
		params: idParams,
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params }) =>
			accepted(context, () => {
				const snapshot = find(context, "snapshot", params.id);
				const vm = find(context, "vm", snapshot.vmId);
				checkHeard(context, vm.nodeId);
				const partly = context.services.cluster.everybodyHas("revert-rest-1");
				const task = snapshotTask(context, "vm.revert", vm, snapshot);
				return { kind: "snapshotRevert", id: snapshot.id, task, ...(partly ? { partly } : {}) };
			}),
	}),
];

/** What only its node can say is filled in by it; parent and disks by the state, where the command applies. */
function planSnapshot(context: RequestContext, vm: Vm, { name, description }: Static<typeof SnapshotCreate>): Snapshot {
	const { store } = context.services;
	const disks = snapshotDisksOf(vm).flatMap(({ id: diskId, volumeId }) => {
		const volume = store.get("volume", volumeId);
		return volume ? [{ diskId, volumeId, sizeBytes: volume.sizeBytes }] : [];
	});
	return {
		...{ ...newMetadata(context), name, description: description ?? "", vmId: vm.id, parentId: null, current: false },
		...{ phase: "creating", powerState: null, consistency: "crash", disks, error: null },
	};
}

function snapshotTask(context: RequestContext, kind: TaskKind, vm: Vm, snapshot: Snapshot): Task {
	const options = { nodeId: vm.nodeId, input: { snapshotId: snapshot.id, wasReady: snapshot.phase === "ready" } };
	const task = newTask(context, kind, vmRef(vm), options);
	return { ...task, targets: [...task.targets, refTo("snapshot", snapshot)] };
}
