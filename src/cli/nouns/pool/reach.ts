/** Options → configuration and credentials of a pool: of a new one, or of one that is there with what is to be different. */
import { present } from "../../../lib/assert.ts";
import { parseCephConf, parseKeyring } from "../../../model/ceph-conf.ts";
import type { CephRbdPoolConfig, PoolConfig, PoolCredentials } from "../../../model/pool-config.ts";
import type { PoolType } from "../../../model/storage.ts";
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { readInput, readTextFile } from "../../input-files.ts";
import { given } from "../../pages.ts";
import { type AccessOptions, type ReachOptions, refuseOthers } from "./reach-options.ts";

export type Reached = { config: PoolConfig; credentials?: PoolCredentials };

/** Fails with a usage error for what is missing or belongs to another type. */
export async function newReach(cli: Cli, type: PoolType, options: ReachOptions): Promise<Reached> {
	refuseOthers(type, options);
	const needed = <T>(value: T | undefined, option: string): T => {
		if (value === undefined) throw usageError(`${option} is missing.`);
		return value;
	};
	switch (type) {
		case "local":
			return { config: { path: needed(options.path, "--path") } };
		case "nfs":
			return {
				config: {
					server: needed(options.nfsServer, "--nfs-server"),
					exportPath: needed(options.export, "--export"),
					folder: options.folder ?? null,
					version: nfsVersion(options.nfsVersion),
					mountOptions: options.mountOption,
				},
			};
		case "ceph-rbd": {
			const { monitors, user, cephKey } = await newCephAccess(cli, options);
			const config = {
				...{ monitors, user, cephPool: needed(options.cephPool, "--ceph-pool") },
				...{ namespace: options.namespace ?? null, dataPool: options.dataPool ?? null },
			};
			return { config, ...(cephKey === undefined ? {} : { credentials: { cephKey } }) };
		}
		case "iscsi-lvm":
			return {
				config: {
					...chapUsers(options),
					portals: neededList(options.portal, "--portal"),
					target: needed(options.target, "--target"),
					wwid: needed(options.wwid, "--wwid"),
					layout: options.layout ?? "thick",
					wipeOnDelete: options.wipeOnDelete ?? false,
					hostIds: {},
				},
				...(await chapCredentials(cli, options)),
			};
	}
}

/** The same pool with what the options say in place of what it has; the configuration only when it is another then. */
export async function changedReach(
	cli: Cli,
	type: PoolType,
	before: PoolConfig,
	options: AccessOptions & Partial<ReachOptions>,
): Promise<Partial<Reached>> {
	refuseOthers(type, options);
	if ("path" in before) return changed(before, given({ path: options.path }));
	if ("exportPath" in before) {
		const { nfsServer: server, export: exportPath, folder, nfsVersion: version, mountOption: mountOptions } = options;
		const changes = given({ server, exportPath, folder, mountOptions });
		return changed(before, { ...changes, ...(version === undefined ? {} : { version: nfsVersion(version) }) });
	}
	if ("cephPool" in before) {
		const { monitors, user, cephKey } = await cephAccess(cli, options, before);
		const { cephPool, namespace, dataPool } = options;
		return {
			...changed(before, given({ monitors, user, cephPool, namespace, dataPool })),
			...(cephKey === undefined ? {} : { credentials: { cephKey } }),
		};
	}
	const { portal: portals, target, wwid, chapUser, mutualChapUser, layout, wipeOnDelete } = options;
	return {
		...changed(before, given({ portals, target, wwid, chapUser, mutualChapUser, layout, wipeOnDelete })),
		...(await chapCredentials(cli, options)),
	};
}

const changed = <C extends PoolConfig>(before: C, changes: Partial<C>): { config?: PoolConfig } =>
	Object.keys(changes).length === 0 ? {} : { config: { ...before, ...changes } };

const nfsVersion = (version: ReachOptions["nfsVersion"]) => (version === "newest" ? null : (version ?? null));

export function neededList(values: string[], option: string): string[] {
	if (values.length === 0) throw usageError(`${option} is missing.`);
	return values;
}

type CephAccess = { monitors: string[]; user: string; cephKey: string | undefined };

/** Of a cluster that no pool is in yet. The key may be missing here: whether one is needed, the API says. */
export async function newCephAccess(cli: Cli, options: AccessOptions): Promise<CephAccess> {
	const { monitors, user, cephKey } = await cephAccess(cli, options, null);
	if (user === undefined) throw usageError("--user is missing, or --keyring.");
	if (monitors.length === 0) throw usageError("--monitor is missing, or --ceph-conf.");
	return { monitors, user, cephKey };
}

async function cephAccess(cli: Cli, options: AccessOptions, before: CephRbdPoolConfig | null) {
	const { monitor, user, keyFile, cephConf, keyring } = options;
	if (monitor.length > 0 && cephConf !== undefined) throw usageError("Give either --monitor or --ceph-conf.");
	if (keyFile !== undefined && keyring !== undefined) throw usageError("Give either --key-file or --keyring.");
	const monitors =
		cephConf === undefined ? monitor : fromFile("--ceph-conf", () => parseCephConf(readTextFile(cephConf)));
	if (keyring !== undefined) {
		const text = await readInput(cli, keyring);
		const found = fromFile("--keyring", () => parseKeyring(text, user ?? before?.user));
		return { monitors, user: found.user, cephKey: found.key };
	}
	const cephKey = keyFile === undefined ? undefined : await readSecret(cli, keyFile, "--key-file");
	return { monitors, user, cephKey };
}

/** Errors of what a file holds name the option. */
function fromFile<T>(option: string, parse: () => T): T {
	try {
		return parse();
	} catch (error) {
		throw usageError(`${option}: ${error instanceof Error ? error.message : String(error)}`);
	}
}

export const chapUsers = ({ chapUser, mutualChapUser }: AccessOptions) => ({
	chapUser: chapUser ?? null,
	mutualChapUser: mutualChapUser ?? null,
});

export async function chapCredentials(cli: Cli, options: AccessOptions): Promise<{ credentials?: PoolCredentials }> {
	const { chapPasswordFile: own, mutualChapPasswordFile: mutual } = options;
	if (own === "-" && mutual === "-") throw usageError("Only one password can come from standard input.");
	const read = (path: string | undefined, option: string) =>
		path === undefined ? undefined : readSecret(cli, path, option);
	const credentials = given({
		chapPassword: await read(own, "--chap-password-file"),
		mutualChapPassword: await read(mutual, "--mutual-chap-password-file"),
	});
	return Object.keys(credentials).length === 0 ? {} : { credentials };
}

/** The first line. */
async function readSecret(cli: Cli, path: string, option: string): Promise<string> {
	const secret = present((await readInput(cli, path)).split(/\r?\n/)[0], "a text has a line").trim();
	if (secret === "") throw usageError(`${option}: the first line is empty.`);
	return secret;
}
