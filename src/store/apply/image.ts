/** Images. */
import { AppError } from "../../lib/errors.ts";
import { listNames, subjectOf } from "../../lib/list-names.ts";
import { Image, ImageUpdate } from "../../model/storage.ts";
import { imagePhaseObstacle, isBeingMade, needsSource } from "../../model/storage-rules.ts";
import { validated } from "../../model/validate.ts";
import {
	asCreated,
	checkGeneration,
	checkNameFree,
	createFinishedTask,
	createTask,
	describedChanges,
	endTasksOf,
	isOnLostNode,
	requestCancelOf,
} from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { checkPoolUsable } from "./pool.ts";
import { checkNotMoving } from "./volume.ts";

export const imageHandlers: Handlers<"imageCreate" | "imageUpdate" | "imageDelete" | "imageStatus" | "imageGone"> = {
	imageCreate(context, body) {
		const image = validated(Image, body.image, "The image");
		checkMayRead(context, image);
		checkPoolUsable(context, image.poolId, image.nodeId);
		checkNameFree(context, "image", image.name, null);
		if (image.source.kind === "volume") checkSourceVolume(context, image, image.source.volumeId);
		if (image.source.kind === "image") checkSourceImage(context, image, image.source.imageId);
		if (image.source.kind === "upload" && image.fileSizeBytes === null) {
			const message = "An upload says how long the file is.";
			throw new AppError("invalid", message, { fields: [{ path: "/fileSizeBytes", message }] });
		}
		const phase = image.source.kind === "upload" ? "uploading" : "importing";
		context.insert("image", { ...asCreated(context, image), phase, receivedBytes: 0, sha256: null, error: null });
		return createTask(context, body.task, ["image.import"]);
	},

	imageUpdate(context, { kind: _kind, id, expectedGeneration, ...changes }) {
		const image = context.need("image", id);
		checkGeneration(image, expectedGeneration, "image");
		if (image.phase === "deleting") throw new AppError("wrong-state", `The image ${image.name} is being deleted.`);
		validated(ImageUpdate, changes, "The change");
		if (changes.name !== undefined) checkNameFree(context, "image", changes.name, id);
		const tags = changes.tags === undefined ? {} : { tags: changes.tags };
		context.updateSpec("image", image, { ...describedChanges<Image>(changes), ...tags });
		return null;
	},

	imageDelete(context, body) {
		const image = context.need("image", body.id);
		if (
			image.phase === "deleting" &&
			context.state.unfinishedTasksOf(image.id).some((task) => task.kind === "image.delete")
		)
			throw new AppError("wrong-state", `The image ${image.name} is being deleted already.`);
		checkUnused(context, image);
		if (isOnLostNode(context, image)) {
			endTasksOf(context, image.id, "image.delete", "image");
			context.remove("image", image);
			return createFinishedTask(context, body.task, ["image.delete"]);
		}
		context.update("image", image, { ...image, phase: "deleting" });
		const taskId = createTask(context, body.task, ["image.delete"]);
		requestCancelOf(context, image.id, taskId);
		return taskId;
	},

	imageStatus(context, body) {
		const image = context.need("image", body.id);
		const obstacle = imagePhaseObstacle(image.phase, body.phase);
		if (obstacle !== null) throw new AppError("wrong-state", obstacle);
		const { kind: _kind, id: _id, ...changes } = body;
		context.update("image", image, validated(Image, { ...image, ...changes }, "The image"));
		return null;
	},

	imageGone(context, body) {
		const image = context.need("image", body.id);
		if (image.phase !== "deleting") throw new AppError("wrong-state", "Nobody asked to delete this image.");
		endTasksOf(context, image.id, "image.delete", "image");
		context.remove("image", image);
		return null;
	},
};

/** Files of the node are an administrator's to import. The demo's is named by the node itself, not by who asks for it. */
function checkMayRead({ actor, command }: ApplyContext, image: Image): void {
	if (image.source.kind !== "path" || actor.role === "admin" || command.operation === "vmCreateDemo") return;
	throw new AppError("forbidden", "Only an administrator may import files of the node.");
}

function checkSourceVolume(context: ApplyContext, image: Image, volumeId: string): void {
	const volume = context.needReferenced("volume", volumeId, "/source/volumeId");
	if (volume.phase !== "ready")
		throw new AppError("wrong-state", `The volume ${volume.name} is ${volume.phase}; an image needs it ready.`);
	checkNotMoving(context, volume);
	if (volume.nodeId !== null && image.nodeId !== null && volume.nodeId !== image.nodeId) {
		const message = `An image lies on the node of its source, the volume ${volume.name}.`;
		throw new AppError("invalid", message, { fields: [{ path: "/nodeId", message }] });
	}
}

function checkSourceImage(context: ApplyContext, image: Image, imageId: string): void {
	const origin = context.needReferenced("image", imageId, "/source/imageId");
	if (origin.phase !== "ready")
		throw new AppError("wrong-state", `The image ${origin.name} is ${origin.phase}; a copy needs it ready.`);
	const refuse = (path: string, message: string): never => {
		throw new AppError("invalid", message, { fields: [{ path, message }] });
	};
	if (origin.poolId === image.poolId && origin.nodeId === image.nodeId)
		refuse("/poolId", `The image ${origin.name} is in this storage pool.`);
	if (origin.format !== image.format) refuse("/format", `A copy of ${origin.name} has its format, ${origin.format}.`);
}

/** An image stays while volumes share its data, are being copied from it, a CD-ROM drive holds it, or another image is made of it. */
function checkUnused(context: ApplyContext, image: Image): void {
	const refuse = (noun: string, users: readonly { name: string }[], what: (which: string) => string): void => {
		const names = users.map(({ name }) => name).sort();
		if (names.length > 0) throw new AppError("in-use", what(subjectOf([{ noun, names }])));
	};
	const copies = context.state.linked("image", "sourceImageId", image.id).filter(isBeingMade);
	refuse("image", copies, (which) => `${which} being made of the image ${image.name}.`);
	const volumes = context.state.linked("volume", "sourceImageId", image.id).filter(needsSource);
	refuse("volume", volumes, (which) => `${which} made from the image ${image.name}.`);
	const names = context.state.linked("vm", "imageId", image.id).map(({ name }) => name);
	if (names.length === 0) return;
	const holders = `the VM${names.length === 1 ? "" : "s"} ${listNames(names.sort())}`;
	throw new AppError("in-use", `The image ${image.name} is in a CD-ROM drive of ${holders}.`);
}
