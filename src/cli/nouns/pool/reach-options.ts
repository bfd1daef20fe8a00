/**
 * How a pool is reached, as options: those of each type, and what becomes of them (reach.ts). Options of another type than the one that is
 * asked for are a usage error that names them. Passwords and keys come from files: arguments are seen by others.
 */
import type { poolConfigs } from "../../../model/pool-config.ts";
import type { PoolType } from "../../../model/storage.ts";
import { usageError } from "../../failure.ts";
import { choice, file, type OptionValues, onOff, text, texts } from "../../options.ts";

export const poolTypes = ["local", "nfs", "ceph-rbd", "iscsi-lvm"] as const satisfies (keyof typeof poolConfigs)[];

/** "newest": the one that both sides agree on. */
const nfsVersions = ["newest", "3", "4.0", "4.1", "4.2"] as const;
const layouts = ["thick", "thin"] as const;

/** What may be changed later, and what says where the data are. */
const local = { path: { ...text("--path <folder>", "local: folder on the node"), completes: "folder" as const } };
/** Not --server: that is the node that is asked. */
const nfsServer = { nfsServer: text("--nfs-server <host>", "nfs: name or address of the server") };
const nfs = {
	...nfsServer,
	export: text("--export <path>", "nfs: what the server exports"),
	folder: text("--folder <path>", "nfs: folder below the export (default: the export itself)"),
	nfsVersion: choice("--nfs-version <version>", nfsVersions, "nfs: version of the protocol (default newest)"),
	mountOption: texts("--mount-option <option>", "nfs: as in nconnect=4; several times for several"),
};
const cephAccess = {
	monitor: texts("--monitor <host>", "ceph-rbd: HOST or HOST:PORT; several times for several"),
	user: text("--user <name>", "ceph-rbd: user of the cluster, without client."),
	keyFile: file("--key-file <file>", "ceph-rbd: file with the user's key, or - (standard input)"),
	cephConf: file("--ceph-conf <file>", "ceph-rbd: take the monitors from this ceph.conf"),
	keyring: file("--keyring <file>", "ceph-rbd: take user and key from this keyring, or - (standard input)"),
};
const ceph = {
	...cephAccess,
	cephPool: text("--ceph-pool <name>", "ceph-rbd: pool of the cluster"),
	namespace: text(
		"--namespace <name>",
		"ceph-rbd: namespace in the pool (default: none; libvirt 9 opens no disk in one)",
	),
	dataPool: text("--data-pool <name>", "ceph-rbd: erasure-coded pool that takes the data"),
};
const iscsiAccess = {
	portal: texts("--portal <host>", "iscsi-lvm: HOST or HOST:PORT of the target; several times for several"),
	target: text("--target <name>", "iscsi-lvm: name of the target, as in iqn.2026-01.net.example:disks"),
	chapUser: text("--chap-user <name>", "iscsi-lvm: name in CHAP"),
	chapPasswordFile: file("--chap-password-file <file>", "iscsi-lvm: its password, or - (standard input)"),
	mutualChapUser: text("--mutual-chap-user <name>", "iscsi-lvm: name by which the target proves itself"),
	mutualChapPasswordFile: file("--mutual-chap-password-file <file>", "iscsi-lvm: its password, or - (standard input)"),
};
const iscsi = {
	...iscsiAccess,
	wwid: text("--wwid <wwid>", "iscsi-lvm: the LUN, as pool discover shows it"),
	layout: choice("--layout <layout>", layouts, "iscsi-lvm: thick may be shared by nodes (default), thin is for one"),
	wipeOnDelete: onOff(
		"--wipe-on-delete",
		"iscsi-lvm: overwrite volumes that are deleted; thick ones only",
		"iscsi-lvm: leave what was on deleted volumes (default)",
	),
};

/** What `pool create` and `pool test` take besides: once, and no part of the pool. */
export const overwriteOption = texts(
	"--overwrite <what>",
	"iscsi-lvm: destroy this on the LUN, named as pool test shows it; several times for several",
);

/** All that `pool create` takes of how it is reached. */
export const reachOptions = { ...local, ...nfs, ...ceph, ...iscsi };
export type ReachOptions = OptionValues<typeof reachOptions>;
/** What `pool discover` takes. */
export const accessOptions = { ...nfsServer, ...cephAccess, ...iscsiAccess };
export type AccessOptions = OptionValues<typeof accessOptions>;

const ofType: Record<PoolType, Record<string, { flags: string }>> = {
	local,
	nfs,
	"ceph-rbd": ceph,
	"iscsi-lvm": iscsi,
};

const isGiven = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0);

export function refuseOthers(type: PoolType, options: Partial<ReachOptions>): void {
	const foreign = Object.entries(reachOptions)
		.filter(([member]) => !(member in ofType[type]) && isGiven(options[member as keyof ReachOptions]))
		.map(([, { flags }]) => flags.split(" ")[0]);
	if (foreign.length > 0) throw usageError(`${foreign.join(", ")}: not an option of pools of type ${type}.`);
}
