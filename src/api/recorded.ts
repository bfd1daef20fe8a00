/** What is done and is no change of the state (who leads, a VM's power without a quorum): the audit learns of it here. */
import { toAppError } from "../lib/errors.ts";
import type { ResourceRef } from "../model/schema.ts";
import type { RequestContext } from "./context.ts";

export async function recorded<T>(context: RequestContext, targets: ResourceRef[], work: () => Promise<T>): Promise<T> {
	const { operation, remoteAddress, services } = context;
	const record = (errorCode: string | null) =>
		services.auth.recordUse({
			...{ identity: context.caller(), operation, remoteAddress, errorCode, targets },
			outcome: errorCode === null ? "accepted" : "rejected",
		});
	try {
		const result = await work();
		await record(null);
		return result;
	} catch (error) {
		await record(toAppError(error).code);
		throw error;
	}
}
