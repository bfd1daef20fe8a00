/** What a pool whose volumes are all made in one way says to somebody who asks for the other. */
import { AppError } from "../lib/errors.ts";
import type { PoolCapabilities, Provisioning } from "../model/storage.ts";
import type { VolumeContent } from "./driver.ts";

/** Fails with `unsupported` and the capability's reason. */
export function requireProvisioning(
	{ provisioning = [], reasons }: PoolCapabilities,
	wanted: Provisioning | undefined,
): void {
	if (wanted === undefined || provisioning.includes(wanted)) return;
	throw new AppError("unsupported", reasons.provisioning ?? `This pool has no ${wanted} volumes.`);
}

/** The same of one that comes from elsewhere: its stream is taken in any case. */
export async function requireReceivable(
	capabilities: PoolCapabilities,
	wanted: Provisioning | undefined,
	{ stream }: Pick<VolumeContent, "stream">,
): Promise<void> {
	try {
		requireProvisioning(capabilities, wanted);
	} catch (error) {
		await stream.cancel(error).catch(() => {});
		throw error;
	}
}
