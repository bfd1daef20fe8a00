/**
 * Configuration and keyring of a pool's Ceph client, in the pool's own folder of the run folder, for root only. Nothing of
 * /etc/ceph is read, and no key is on a command line. The time limits make that a cluster that takes connections and says
 * nothing is a `timeout` and no hang: they end the program's own waiting; `run`'s limit is the second line.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeSecretDurably } from "../../lib/durable-file.ts";
import { AppError } from "../../lib/errors.ts";

/** To reach a monitor, and for each of its answers. */
export const monitorLimitSeconds = 5;
/** For one answer of the daemons that keep the data; a cluster that loses a disk is quiet for a while. */
const dataLimitSeconds = 20;

export type CephClient = { monitors: readonly string[]; user: string; key: string };
export type ClientFiles = { conf: string; keyring: string; user: string; folder: string };

export function clientFiles(folder: string, user: string): ClientFiles {
	return { conf: join(folder, "ceph.conf"), keyring: join(folder, "keyring"), user, folder };
}

export function writeClientFiles(files: ClientFiles, client: CephClient): void {
	// It stands in a line of its own; the API's schema has checked all of it already.
	if (client.key === "") throw new AppError("invalid", "A Ceph pool needs the key of its user.");
	if (![...client.monitors, client.user, client.key, files.folder].every((part) => /^[\x21-\x7e]+$/.test(part)))
		throw new AppError("invalid", "The configuration of the Ceph client holds signs that do not belong there.");
	mkdirSync(files.folder, { recursive: true, mode: 0o700 });
	writeSecretDurably(files.keyring, `[client.${client.user}]\n\tkey = ${client.key}\n`);
	writeSecretDurably(files.conf, confText(files, client.monitors));
}

export function removeClientFiles({ folder }: ClientFiles): void {
	rmSync(folder, { recursive: true, force: true });
}

const confText = ({ keyring }: ClientFiles, monitors: readonly string[]): string => `[global]
mon_host = ${monitors.join(",")}
keyring = ${keyring}
auth_client_required = cephx
client_mount_timeout = ${monitorLimitSeconds}
rados_mon_op_timeout = ${monitorLimitSeconds}
rados_osd_op_timeout = ${dataLimitSeconds}
rbd_default_clone_format = 2
log_file =
admin_socket =
log_to_stderr = false
err_to_stderr = true
`;
