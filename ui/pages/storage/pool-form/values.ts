/** What a pool's form holds, of all types at once so that nothing typed is lost by looking at another one; and what the API gets of it. Pure. */
import { foreignPlaces } from "../../../../src/model/kept-credentials.ts";
import type { PoolConfig, PoolCredentials } from "../../../../src/model/pool-config.ts";
import type { PoolDiscover, PoolType } from "../../../../src/model/storage.ts";
import type { Node, Pool } from "../../../api/types.ts";
import type { FieldErrors } from "../../../components/form.ts";
import {
	cephKeyPattern,
	cephNamePattern,
	chapPasswordPattern,
	chapUserPattern,
	exportFolderPattern,
	fits,
	hostPattern,
	iscsiNamePattern,
	minChapPasswordLength,
	namePattern,
	poolPathPattern,
	wwidPattern,
} from "../../../lib/patterns.ts";
import { common } from "../../../strings/common.ts";
import { storage as t } from "../../../strings/storage.ts";

export const nfsVersions = ["", "4.2", "4.1", "4.0", "3"] as const;
type NfsVersion = (typeof nfsVersions)[number];
export const chapKinds = ["none", "one", "both"] as const;
type ChapKind = (typeof chapKinds)[number];

export type PoolValues = {
	name: string;
	description: string;
	type: PoolType;
	nodeIds: string[];
	path: string;
	server: string;
	exportPath: string;
	folder: string;
	/** "": the newest that both sides know. */
	version: NfsVersion;
	mountOptions: string[];
	monitors: string[];
	user: string;
	cephPool: string;
	namespace: string;
	dataPool: string;
	cephKey: string;
	portals: string[];
	target: string;
	wwid: string;
	chap: ChapKind;
	chapUser: string;
	chapPassword: string;
	mutualChapUser: string;
	mutualChapPassword: string;
	layout: "thick" | "thin";
	wipeOnDelete: boolean;
	hostIds: Record<string, number>;
	/** What a test has found on the LUN: names, and which LUN it was. */
	found: { names: string[]; on: string } | null;
	/** Typed to confirm that it is destroyed. */
	foundConfirmed: string;
};

export const usesPools = ({ witness, status }: Node): boolean => !witness && status.phase !== "left";

const blank: PoolValues = {
	...{ name: "", description: "", type: "local", nodeIds: [], path: "" },
	...{ server: "", exportPath: "", folder: "", version: "", mountOptions: [] },
	...{ monitors: [], user: "", cephPool: "", namespace: "", dataPool: "", cephKey: "" },
	...{ portals: [], target: "", wwid: "", layout: "thick", wipeOnDelete: false, hostIds: {} },
	...{ chap: "none", chapUser: "", chapPassword: "", mutualChapUser: "", mutualChapPassword: "" },
	...{ found: null, foundConfirmed: "" },
};

export const newPool = (nodeIds: string[]): PoolValues => ({ ...blank, nodeIds });

/** Of a pool that is there: without its credentials, which nobody gets to see. */
export function valuesOf(pool: Pool): PoolValues {
	const { name, description, type, nodeIds, config } = pool;
	const values: PoolValues = { ...blank, name, description, type, nodeIds: [...nodeIds] };
	if ("path" in config) return { ...values, path: config.path };
	if ("exportPath" in config) {
		const { server, exportPath, folder, version, mountOptions } = config;
		return {
			...values,
			server,
			exportPath,
			folder: folder ?? "",
			version: version ?? "",
			mountOptions: [...mountOptions],
		};
	}
	if ("cephPool" in config) {
		const { monitors, user, cephPool, namespace, dataPool } = config;
		return { ...values, monitors: [...monitors], user, cephPool, namespace: namespace ?? "", dataPool: dataPool ?? "" };
	}
	const { portals, target, wwid, chapUser, mutualChapUser, layout, wipeOnDelete, hostIds } = config;
	return {
		...{ ...values, portals: [...portals], target, wwid, layout, wipeOnDelete, hostIds },
		...{ chapUser: chapUser ?? "", mutualChapUser: mutualChapUser ?? "" },
		chap: mutualChapUser !== null ? "both" : chapUser !== null ? "one" : "none",
	};
}

/** What a draft may keep. What was confirmed is confirmed anew. */
export const withoutSecrets = (values: PoolValues): PoolValues => ({
	...values,
	...{ cephKey: "", chapPassword: "", mutualChapPassword: "", found: null, foundConfirmed: "" },
});

export const lunOf = ({ target, wwid }: PoolValues): string => `${target} ${wwid}`;

/** What is on the LUN of the form, as a test has named it; null when nothing is known of it. To confirm it, this is typed. */
export function foundOn(values: PoolValues): string | null {
	const { type, found } = values;
	return type !== "iscsi-lvm" || found === null || found.on !== lunOf(values) ? null : found.names.join(", ");
}

/** Leave to destroy what was found, once that was typed. */
export function overwriteOf(values: PoolValues): { overwrite?: string[] } {
	const found = foundOn(values);
	if (found === null || values.foundConfirmed.trim() !== found) return {};
	return { overwrite: values.found?.names ?? [] };
}

const orNull = (text: string): string | null => (text === "" ? null : text);
const ownChap = ({ chap, chapUser }: PoolValues) => (chap === "none" ? null : chapUser);
const mutualChap = ({ chap, mutualChapUser }: PoolValues) => (chap === "both" ? mutualChapUser : null);

export function configOf(values: PoolValues): PoolConfig {
	switch (values.type) {
		case "local":
			return { path: values.path };
		case "nfs": {
			const { server, exportPath, folder, version, mountOptions } = values;
			return { server, exportPath, folder: orNull(folder), version: version === "" ? null : version, mountOptions };
		}
		case "ceph-rbd": {
			const { monitors, user, cephPool, namespace, dataPool } = values;
			return { monitors, user, cephPool, namespace: orNull(namespace), dataPool: orNull(dataPool) };
		}
		case "iscsi-lvm": {
			const { portals, target, wwid, layout, wipeOnDelete, hostIds } = values;
			const chap = { chapUser: ownChap(values), mutualChapUser: mutualChap(values) };
			const wipe = { wipeOnDelete: wipeOnDelete && layout !== "thin" };
			return { portals, target, wwid, ...chap, layout, ...wipe, hostIds };
		}
	}
}

/** What was typed; nothing when nothing was. */
export function credentialsOf(values: PoolValues): { credentials?: PoolCredentials } {
	const { type, cephKey, chap, chapPassword, mutualChapPassword } = values;
	const credentials: PoolCredentials = {
		...(type === "ceph-rbd" && cephKey !== "" ? { cephKey } : {}),
		...(type === "iscsi-lvm" && chap !== "none" && chapPassword !== "" ? { chapPassword } : {}),
		...(type === "iscsi-lvm" && chap === "both" && mutualChapPassword !== "" ? { mutualChapPassword } : {}),
	};
	return Object.keys(credentials).length === 0 ? {} : { credentials };
}

/** Why key and passwords are not left empty although the pool has some: monitors or portals of the form are not its own. Null when they can be. */
export function giveAgain(values: PoolValues, known: Pool | null): string | null {
	const foreign = known === null ? [] : foreignPlaces(known.config, configOf(values));
	return foreign.length === 0 ? null : t.giveAgain(foreign.join(", "));
}

/**
 * What to ask the server, or null while too little is known of it. `step`: LUNs are behind a target. `known`: the pool that is changed,
 * whose own credentials are used unless others are typed.
 */
export function questionOf(
	values: PoolValues,
	{ step = "first", known = null }: { step?: "first" | "luns"; known?: Pool | null } = {},
): PoolDiscover | null {
	const poolId = known === null ? {} : { poolId: known.id };
	switch (values.type) {
		case "local":
			return null;
		case "nfs":
			return fits(hostPattern, values.server) ? { type: "nfs", server: values.server } : null;
		case "ceph-rbd": {
			const { monitors, user, cephKey } = values;
			const keeps = known !== null && giveAgain(values, known) === null;
			const hasKey = fits(cephKeyPattern, cephKey) || (keeps && cephKey === "");
			if (monitors.length === 0 || !fits(cephNamePattern, user) || !hasKey) return null;
			return { type: "ceph-rbd", ...poolId, monitors, user, ...credentialsOf(values) };
		}
		case "iscsi-lvm": {
			const { portals, target } = values;
			if (portals.length === 0 || (step === "luns" && !fits(iscsiNamePattern, target))) return null;
			if (Object.keys(chapProblems(values, known)).length > 0) return null;
			return {
				...{ type: "iscsi-lvm", ...poolId, portals, target: step === "luns" ? target : null },
				...{ chapUser: ownChap(values), mutualChapUser: mutualChap(values) },
				...credentialsOf(values),
			};
		}
	}
}

/** `known`: the pool that is changed. `choose`: its nodes are chosen here. */
export function checkPool(values: PoolValues, { known, choose }: { known: Pool | null; choose: boolean }): FieldErrors {
	const errors: FieldErrors = {};
	const { name, nodeIds, type, layout } = values;
	if (!fits(namePattern, name)) errors["/name"] = name === "" ? common.required : common.nameInvalid;
	if (choose && nodeIds.length === 0) errors["/nodeIds"] = t.nodesNone;
	if (choose && type === "iscsi-lvm" && layout === "thin" && nodeIds.length > 1) errors["/nodeIds"] = t.nodesThin;
	return { ...errors, ...configProblems(values, known) };
}

function configProblems(values: PoolValues, known: Pool | null): FieldErrors {
	const errors: FieldErrors = {};
	const check = (field: string, pattern: string, text: string, words: string, optional = false) => {
		if (text === "" ? !optional : !fits(pattern, text)) errors[field] = text === "" ? common.required : words;
	};
	const put = (field: string, problem: string | null) => {
		if (problem !== null) errors[field] = problem;
	};
	switch (values.type) {
		case "local":
			if (!fits(poolPathPattern, values.path)) errors["/config/path"] = t.poolPathInvalid;
			break;
		case "nfs":
			check("/config/server", hostPattern, values.server, t.hostInvalid);
			check("/config/exportPath", poolPathPattern, values.exportPath, t.exportInvalid);
			check("/config/folder", exportFolderPattern, values.folder, t.folderInvalid, true);
			break;
		case "ceph-rbd":
			if (values.monitors.length === 0) errors["/config/monitors"] = common.required;
			check("/config/user", cephNamePattern, values.user, t.cephNameInvalid);
			check("/config/cephPool", cephNamePattern, values.cephPool, t.cephNameInvalid);
			check("/config/namespace", cephNamePattern, values.namespace, t.cephNameInvalid, true);
			check("/config/dataPool", cephNamePattern, values.dataPool, t.cephNameInvalid, true);
			check("/credentials/cephKey", cephKeyPattern, values.cephKey, t.cephKeyInvalid, known !== null);
			if (values.cephKey === "") put("/credentials/cephKey", giveAgain(values, known));
			break;
		case "iscsi-lvm":
			if (values.portals.length === 0) errors["/config/portals"] = common.required;
			check("/config/target", iscsiNamePattern, values.target, t.targetInvalid);
			check("/config/wwid", wwidPattern, values.wwid, t.wwidInvalid);
			if (foundOn(values) !== null && overwriteOf(values).overwrite === undefined)
				errors["/overwrite"] = t.overwriteType(foundOn(values) ?? "");
			return { ...errors, ...chapProblems(values, known) };
	}
	return errors;
}

/** Passwords come all together: new ones replace all that the pool has. */
function chapProblems(values: PoolValues, known: Pool | null): FieldErrors {
	const errors: FieldErrors = {};
	const { chap, chapUser, chapPassword, mutualChapUser, mutualChapPassword } = values;
	const had = known && "wwid" in known.config ? known.config : null;
	const hasOwn = had !== null && had.chapUser !== null;
	const hasMutual = had !== null && had.mutualChapUser !== null;
	const user = (text: string) =>
		text === "" ? common.required : fits(chapUserPattern, text) ? null : t.chapUserInvalid;
	const again = giveAgain(values, known);
	const password = (text: string, mayBeEmpty: boolean) => {
		if (text === "") return mayBeEmpty ? again : t.chapPasswordNeeded;
		return text.length >= minChapPasswordLength && fits(chapPasswordPattern, text) ? null : t.chapPasswordInvalid;
	};
	const put = (field: string, problem: string | null) => {
		if (problem !== null) errors[field] = problem;
	};
	if (chap === "none") return errors;
	const both = chap === "both";
	const keeps = chapPassword === "" && (!both || mutualChapPassword === "") && hasOwn && (!both || hasMutual);
	put("/config/chapUser", user(chapUser));
	put("/credentials/chapPassword", password(chapPassword, keeps));
	if (both) {
		put("/config/mutualChapUser", user(mutualChapUser));
		put("/credentials/mutualChapPassword", password(mutualChapPassword, keeps));
	}
	return errors;
}
