import { rm } from "node:fs/promises";
import { delay, systemClock } from "../../lib/clock.ts";
import { errnoOf } from "../file-errors.ts";

const tries = 12;

/**
 * Removes a folder with all that is in it; missing is fine. On NFS, what is removed while the client still has to write to it, as after a
 * write for which there was no space, has another name (".nfs…") until that is done, and its folder stays so long: a few seconds are waited.
 */
export async function removeTree(path: string): Promise<void> {
	for (let attempt = 1; ; attempt++) {
		try {
			await rm(path, { recursive: true, force: true });
			return;
		} catch (error) {
			if (attempt === tries || !["EBUSY", "ENOTEMPTY"].includes(errnoOf(error) ?? "")) throw error;
			await delay(systemClock, 50 * attempt);
		}
	}
}
