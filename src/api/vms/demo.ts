/** The demo VM: the image that comes with the node, imported once under a fixed name, and a small VM of it. */
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { Image } from "../../model/storage.ts";
import type { CommandBody } from "../../store/command.ts";
import type { RequestContext } from "../context.ts";
import { planImageCreate } from "../images/plan-create.ts";
import { waitForTask } from "../resources.ts";
import { newVmTask } from "./placed-task.ts";
import { planVmCreate } from "./plan-create.ts";

export const demoImageName = "limiquantix-demo";
const importLimitMs = 60_000;

/**
 * Imports the image when none has the name, waits for it (a few MB of this node's own disk: seconds), and plans the VM.
 * Fails with `unsupported` when this node has no demo image, before anything is made.
 */
export async function planDemo(context: RequestContext): Promise<CommandBody> {
	const { store, clock, random, ids } = context.services;
	const image = await demoImage(context);
	const plan = planVmCreate(
		{
			name: freeVmName(context, "demo"),
			description: "A small Linux made to be looked at.",
			// Its boot medium has both; the BIOS is there without further packages and boots faster without KVM.
			firmware: "bios",
			vcpus: 1,
			memoryBytes: 256 * MiB,
			disks: [{ imageId: image.id }],
			cdroms: [],
		},
		store,
		{ clock, random, ids },
	);
	const task = newVmTask(context, plan, false);
	return { kind: "vmCreate", vm: plan.vm, volumes: plan.volumes, task };
}

async function demoImage(context: RequestContext): Promise<Image> {
	const { store, node, proposer } = context.services;
	const path = node.demoImagePath();
	const named = store.all("image", { name: demoImageName })[0];
	if (named?.phase === "ready") return named;
	if (path === null && !named)
		throw new AppError("unsupported", "The demo image is not on this node. Install it or set demo-image.");
	if (named && named.phase !== "importing" && named.phase !== "uploading")
		throw new AppError("wrong-state", `The image ${demoImageName} is ${named.phase}. Delete it and try again.`);
	let taskId = named ? importTaskOf(context, named.id) : null;
	let imageId = named?.id;
	if (!named && path !== null) {
		const plan = planImageCreate(context, {
			name: demoImageName,
			description: "Comes with LimiQuantix.",
			format: "qcow2",
			source: { kind: "path", path },
		});
		const { requester, credential } = context.caller();
		const applied = await proposer.propose(plan, {
			requester,
			credential,
			remoteAddress: context.remoteAddress,
			operation: context.operation,
			idempotencyKey: null,
		});
		taskId = applied.taskId;
		imageId = plan.image.id;
	}
	if (taskId !== null) await waitForTask(context, taskId, importLimitMs);
	const image = imageId === undefined ? null : store.get("image", imageId);
	if (image?.phase === "ready") return image;
	if (image?.phase === "error" || image === null)
		throw new AppError("storage", `The demo image could not be imported: ${image?.error?.message ?? "it is gone"}`);
	throw new AppError("timeout", "The demo image is still being imported. Try again when its task is finished.");
}

const importTaskOf = (context: RequestContext, imageId: string): string | null =>
	context.services.store.all("task", { kind: "image.import", targetId: imageId })[0]?.id ?? null;

function freeVmName(context: RequestContext, name: string): string {
	const { store } = context.services;
	for (let number = 1; number < 1000; number++) {
		const candidate = number === 1 ? name : `${name}-${number}`;
		if (store.count("vm", { name: candidate }) === 0) return candidate;
	}
	throw new AppError("already-exists", "There are too many demo VMs.");
}
