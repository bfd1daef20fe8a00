/**
 * Holds on to a unix socket that was checked, so that what one connects to is what was checked, whatever is put under
 * its name meanwhile: connect to `path`, then `close()`.
 */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { AppError } from "./errors.ts";

const openPathOnly = 0o10_000_000; // O_PATH of Linux; node:fs has no name for it

export type PinnedSocket = { readonly path: string; close(): void };

/** Fails with `hypervisor` when there is no socket under that name; a symbolic link is none. */
export function pinSocket(path: string): PinnedSocket {
	let descriptor: number;
	try {
		descriptor = openSync(path, openPathOnly | constants.O_NOFOLLOW);
	} catch (error) {
		throw new AppError("hypervisor", "The socket of the VM is gone.", { cause: error, context: { path } });
	}
	if (!fstatSync(descriptor).isSocket()) {
		closeSync(descriptor);
		throw new AppError("hypervisor", "The socket of the VM is not a socket.", { context: { path } });
	}
	let open = true;
	return {
		path: `/proc/self/fd/${descriptor}`,
		close() {
			if (open) closeSync(descriptor);
			open = false;
		},
	};
}
