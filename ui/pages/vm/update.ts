/** Changes of a VM's spec, guarded by its generation, and the ids and addresses of new devices. */
import { ApiError } from "../../api/errors.ts";
import type { Vm, VmUpdate } from "../../api/types.ts";
import { write } from "../../api/write.ts";
import { common } from "../../strings/common.ts";

/** The VM as it is then. Throws ApiError; what somebody else changed in between is said in words. */
export async function updateVm(vm: Pick<Vm, "id" | "generation">, body: VmUpdate): Promise<Vm> {
	try {
		const { data } = await write("vmUpdate", { id: vm.id, body, generation: vm.generation });
		return data;
	} catch (error) {
		if (!(error instanceof ApiError) || error.code !== "stale-etag") throw error;
		const { status, code, operation } = error;
		throw new ApiError(common.staleEdit, { status, code, operation, cause: error });
	}
}

/** "disk-2": the first number that no device of this kind has. */
export function freeDeviceId(kind: "disk" | "cdrom" | "nic", devices: readonly { id: string }[]): string {
	for (let number = 0; ; number++) {
		const id = `${kind}-${number}`;
		if (!devices.some((device) => device.id === id)) return id;
	}
}

/** As the API chooses them: 52:4c, locally administered, and 32 random bits. The API refuses one that is in use. */
export function randomMac(): string {
	const octets = [0x52, 0x4c, ...crypto.getRandomValues(new Uint8Array(4))];
	return octets.map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}
