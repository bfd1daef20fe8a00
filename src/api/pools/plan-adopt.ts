/**
 * What is in the way of a volume that is adopted, asked before its snapshots go: those would be gone for a volume that nobody gets. It is decided
 * where the command applies, which refuses for the same reasons.
 */
import { AppError } from "../../lib/errors.ts";
import type { Pool, VolumeSource } from "../../model/storage.ts";
import { copiesStandAlone, provisioningObstacle } from "../../model/storage-rules.ts";
import { isVmOff, moveTaskOf } from "../../model/vm-rules.ts";
import type { OrphanVolume } from "../../node/orphans.ts";
import { nameTaken } from "../../store/apply/checks.ts";
import type { RequestContext } from "../context.ts";
import { find } from "../resources.ts";
import { checkEverybodyProvisions } from "./plan-pool.ts";

export function checkAdoptable(context: RequestContext, { id: poolId }: Pool, name: string, found: OrphanVolume): void {
	checkEverybodyProvisions(context, [found]);
	// As it is now: the node has read the newest state.
	const pool = find(context, "pool", poolId);
	if (pool.phase === "deleting") throw new AppError("wrong-state", `The storage pool ${pool.name} is being deleted.`);
	if (pool.phase === "error") throw new AppError("wrong-state", `The storage pool ${pool.name} has failed.`);
	checkName(context, pool, name);
	const { source, provisioning } = found;
	const shares = source.kind !== "empty" && source.fullCopy === false;
	const obstacle = provisioningObstacle(pool, provisioning, { shares, nodeId: context.services.node.nodeId });
	if (obstacle !== null) throw new AppError("invalid", obstacle);
	checkSource(context, pool, source);
}

function checkName({ services: { store } }: RequestContext, { id: poolId }: Pool, name: string): void {
	const isTaken = (other: { name: string } | null) => other?.name.toLowerCase() === name.toLowerCase();
	// One that is on its way there has its place already.
	const coming = store
		.all("task", { kind: "volume.move", state: ["pending", "running"] })
		.filter(({ input }) => input.poolId === poolId)
		.flatMap(({ targets }) => targets.map(({ id }) => store.get("volume", id)));
	if ([...store.all("volume", { poolId }), ...coming].some(isTaken)) throw nameTaken("volume", name);
}

function checkSource({ services: { store, cluster } }: RequestContext, pool: Pool, source: VolumeSource): void {
	const refuse = (why: string): never => {
		throw new AppError("wrong-state", `What it rests on is not at rest: ${why}.`);
	};
	if (source.kind === "image") {
		const image = store.get("image", source.imageId);
		if (image && image.phase !== "ready" && image.phase !== "importing")
			refuse(`the image ${image.name} is ${image.phase}`);
	}
	const below = source.kind === "clone" ? store.get("volume", source.volumeId) : null;
	if (below === null) return;
	if (below.phase !== "ready") refuse(`the volume ${below.name} is ${below.phase}`);
	const workOn = (targetId: string) => store.all("task", { targetId, state: ["pending", "running"] });
	const works = ["volume.move", "volume.check", "volume.flatten"];
	if (workOn(below.id).some(({ kind }) => works.includes(kind)))
		refuse(`work on the volume ${below.name} is under way`);
	const vm = below.vmId === null ? null : store.get("vm", below.vmId);
	if (vm === null) return;
	if (moveTaskOf(workOn(vm.id))) refuse(`the VM ${vm.name} is being moved`);
	if (!isVmOff(vm.status.powerState)) refuse(`the VM ${vm.name} runs with the volume ${below.name}`);
	if (!(copiesStandAlone(pool) && cluster.everybodyHas("free-sources-1")))
		refuse(`the volume ${below.name} is attached to the VM ${vm.name}`);
}
