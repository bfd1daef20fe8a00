/**
 * The socket of a domain's screen, checked before anybody connects to it. It lies in a folder that belongs to QEMU's
 * user, so a QEMU that a guest has taken over can put something else there: a symbolic link to the screen of another
 * VM, for example. Only a real socket, in the right folder, made by root or QEMU's user, is good.
 */
import { lstat } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { domainFiles } from "./domain/machine.ts";
import type { QemuUser } from "./host.ts";

/** Fails with `wrong-state` when the running domain has no such socket, and with `hypervisor` when it is not genuine. */
export async function checkVncSocket(path: string | null, folder: string, user: QemuUser): Promise<string> {
	if (path !== domainFiles(folder).vncSocket)
		throw new AppError("wrong-state", "The screen of this VM can be shown only after its next start.", {
			context: { path },
		});
	const owners = new Set([0, user.uid]);
	const [parent, socket] = await Promise.all([statOf(dirname(path)), statOf(path)]);
	const genuine = parent?.isDirectory() && owners.has(parent.uid) && socket?.isSocket() && owners.has(socket.uid);
	if (!genuine)
		throw new AppError("hypervisor", "The socket of the VM's screen is not what QEMU made.", { context: { path } });
	return path;
}

const statOf = async (path: string) => {
	try {
		return await lstat(path);
	} catch {
		return null;
	}
};
