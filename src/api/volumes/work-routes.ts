/** Work on a volume that keeps it what it is: moving it to another pool, checking it, making a copy stand alone. */

import { VolumeCheck, VolumeMove } from "../../model/storage.ts";
import { Task } from "../../model/task.ts";
import { workerOfVolume } from "../../store/storage-worker.ts";
import { checkHeard } from "../as-known.ts";
import { idParams } from "../parameters.ts";
import { checkEverybodyHas } from "../pools/plan-pool.ts";
import { refTo } from "../refs.ts";
import { accepted, find, newTask } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { planVolumeMove } from "./plan-move.ts";

export const volumeWorkRoutes: Route[] = [
	route({
		operationId: "volumeMove",
		method: "POST",
		path: "/v1/volumes/{id}/actions/move",
		summary: "Move a volume to another storage pool",
		description:
			"Its VM may run: then QEMU copies the disk while the guest goes on, and goes over to the copy at the end. It is copied on one node, which has both pools: that of its VM. In the other pool it rests on nothing. Until all of it is there the volume stays where it is; to call it off, cancel the task. 409 while copies share its data, 507 when the pool has no room.",
		tag: "volumes",
		params: idParams,
		body: VolumeMove,
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params, body }) =>
			accepted(context, () => {
				const volume = find(context, "volume", params.id);
				const { worker, ...to } = planVolumeMove(context, volume, body);
				const options = { nodeId: worker, cancelable: true, input: { ...to } };
				const task = newTask(context, "volume.move", refTo("volume", volume), options);
				return { kind: "volumeMove", id: volume.id, ...to, task };
			}),
	}),
	route({
		operationId: "volumeCheck",
		method: "POST",
		path: "/v1/volumes/{id}/actions/check",
		summary: "Look for damage in a volume",
		description:
			"Of the volume's own metadata, not of what the guest has written; while no VM is using it. What was found is the task's message. With repair, what can be mended without losing data is mended.",
		tag: "volumes",
		params: idParams,
		body: VolumeCheck,
		bodyOptional: true,
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params, body }) =>
			accepted(context, () => {
				checkEverybodyHas(context);
				const volume = find(context, "volume", params.id);
				const repair = body?.repair ?? false;
				const task = newTask(context, "volume.check", refTo("volume", volume), {
					...{ nodeId: workerOfVolume(context.services.store, volume), cancelable: true, input: { repair } },
				});
				return { kind: "volumeCheck", id: volume.id, repair, task };
			}),
	}),
	route({
		operationId: "volumeFlatten",
		method: "POST",
		path: "/v1/volumes/{id}/actions/flatten",
		summary: "Make a copy-on-write copy independent",
		description:
			"What it shares with the volume or image that it was made of is copied into it, and into its snapshots; it then takes that space, and what it was made of can be deleted. 507 in the task, and nothing is begun, when the pool has no room for that. On LVM-thin nothing is copied. In a Ceph pool and on LVM-thin its VM may run; elsewhere it has to be off, and so have the VMs of copies that rest on it. To call it off, cancel the task: the volume then depends on what it did before.",
		tag: "volumes",
		params: idParams,
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params }) =>
			accepted(context, () => {
				checkEverybodyHas(context, "flatten-1");
				const volume = find(context, "volume", params.id);
				const nodeId = workerOfVolume(context.services.store, volume);
				if (nodeId !== null) checkHeard(context, nodeId);
				const task = newTask(context, "volume.flatten", refTo("volume", volume), { nodeId, cancelable: true });
				return { kind: "volumeFlatten", id: volume.id, task };
			}),
	}),
];
