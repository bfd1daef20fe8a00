/**
 * Whom libvirt runs QEMU as, by its qemu.conf and the host's list of users. Where a server takes root for nobody, a pool's files are made
 * by this user, and QEMU may use them.
 */
import { readFile } from "node:fs/promises";
import type { User } from "../worker/worker-pool.ts";

const configPath = "/etc/libvirt/qemu.conf";
/** Debian's, and that of others. */
const usualNames = ["libvirt-qemu", "qemu"];

/** Null when there is no such user. */
export async function qemuUser(): Promise<User | null> {
	const [config, users] = await Promise.all([text(configPath), text("/etc/passwd")]);
	return qemuUserOf(config, users);
}

export function qemuUserOf(config: string, users: string): User | null {
	const named = /^[ \t]*user[ \t]*=[ \t]*"([^"]+)"/m.exec(config)?.[1];
	const accounts = users.split("\n").map((line) => line.split(":"));
	// "+0" is a number whatever users are called.
	const find = (name: string) =>
		accounts.find(([account]) => account === name && !name.startsWith("+")) ??
		accounts.find(([, , uid]) => uid === name.replace(/^\+/, ""));
	for (const name of named === undefined ? usualNames : [named]) {
		const [, , uid, gid] = find(name) ?? [];
		if (uid !== undefined && gid !== undefined && /^\d+$/.test(uid) && /^\d+$/.test(gid))
			return { uid: Number(uid), gid: Number(gid) };
	}
	return null;
}

const text = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
