/** Small files that are there after a power cut once the call has returned: whole, and never in part. */
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Replaces `path`, in a folder that exists. Nobody but the owner can read it, at no moment. */
export function writeSecretDurably(path: string, text: string): void {
	const temporary = `${path}.new`;
	rmSync(temporary, { force: true });
	const file = openSync(temporary, "wx", 0o600);
	try {
		// Whatever the umask says.
		fchmodSync(file, 0o600);
		writeSync(file, text);
		fsyncSync(file);
	} finally {
		closeSync(file);
	}
	renameSync(temporary, path);
	syncFolder(dirname(path));
}

/** Makes what was created, renamed and removed in the folder last. */
export function syncFolder(path: string): void {
	const folder = openSync(path, "r");
	try {
		fsyncSync(folder);
	} finally {
		closeSync(folder);
	}
}
