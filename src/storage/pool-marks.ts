/** What keeps the place of a pool from any other one until `remove` has taken it away, and how a person does that instead. */
import type { PoolConfig } from "../model/pool-config.ts";
import { poolPlace } from "../model/storage-rules.ts";
import { markerObject } from "./ceph-rbd/names.ts";
import { groupName } from "./iscsi-lvm/names.ts";
import { memberOf } from "./iscsi-lvm/signatures.ts";
import { markerName } from "./local/pool-place.ts";

/** A sentence. Paths of a local pool are its node's. */
export function markOfPool(poolId: string, config: PoolConfig): string {
	const refused = (place: string, what: string) => `${place} is refused to other pools while ${what}`;
	if ("cephPool" in config) {
		const { cephPool, namespace } = config;
		const where = namespace === null ? `--pool ${cephPool}` : `--pool ${cephPool} --namespace ${namespace}`;
		const place = `Ceph's pool ${poolPlace(config)}`;
		return `${refused(place, `the object ${markerObject} is there`)}: rados ${where} rm ${markerObject} removes it.`;
	}
	if ("wwid" in config) {
		const group = groupName(poolId);
		return `${refused(`The LUN ${config.wwid}`, `the volume group ${group} is on it`)}: vgremove removes it, or a new pool that is told to overwrite "${memberOf(group)}".`;
	}
	return `${refused(poolPlace(config), `the file ${markerName} is in it`)}: remove it there if nothing of the pool is wanted.`;
}
