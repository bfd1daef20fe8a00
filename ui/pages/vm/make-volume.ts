/** A volume that is made first and attached then. */
import { call } from "../../api/call.ts";
import { ApiError } from "../../api/errors.ts";
import { followTask } from "../../api/tasks.ts";
import type { Vm, VolumeCreate } from "../../api/types.ts";
import { devices as t } from "../../strings/devices.ts";
import { followVolumeReady } from "./release.ts";
import { updateVm } from "./update.ts";

/** The id of a new volume that is ready to be attached. Throws ApiError, also when making it fails later on. */
export async function makeVolume(body: VolumeCreate): Promise<string> {
	const { data, taskId } = await call("volumeCreate", { body });
	if (taskId) {
		const task = await followTask(taskId);
		if (task?.state === "failed") {
			throw new ApiError(task.error?.message ?? t.addDiskFailed, {
				status: 0,
				code: "storage",
				operation: "volumeCreate",
			});
		}
	}
	await followVolumeReady(data.id);
	return data.id;
}

/** Throws ApiError, which says that the volume `name` is there. */
export async function attachNew(vm: Vm, disk: Vm["spec"]["disks"][number], name: string): Promise<void> {
	try {
		await updateVm(vm, { disks: [...vm.spec.disks, disk] });
	} catch (error) {
		if (!(error instanceof ApiError)) throw error;
		const { status, code, operation } = error;
		throw new ApiError(`${t.diskAttached(name)} ${error.message}`, { status, code, operation });
	}
}
