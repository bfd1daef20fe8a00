/**
 * Whose pool of ours this pool and namespace of Ceph is: the holder of a lock on an object. A lock that never ends is the one thing
 * that the tools of Ceph make and fill in a single step, so two clusters cannot both believe that it is theirs.
 */
import { AppError } from "../../lib/errors.ts";
import { LockAnswer, readAnswer } from "./answers.ts";
import { errno, errnoOfCeph } from "./ceph-error.ts";
import { markerObject, workObject } from "./names.ts";
import { type Asking, type CephRunner, orMissing } from "./runner.ts";

const lockName = "owner";
const readLimitMs = 10_000;

/** Id of the pool; null when it is nobody's. */
export async function readMarker(
	runner: CephRunner,
	limit: Asking = { timeoutMs: readLimitMs },
): Promise<string | null> {
	const text = await orMissing(runner.rados(["lock", "info", markerObject, lockName], limit));
	return text === null ? null : (readAnswer(LockAnswer, text, "rados lock info").lockers[0]?.cookie ?? null);
}

/** Takes it for the pool, if it is nobody's. Fails with `in-use`. */
export async function claimPool(runner: CephRunner, poolId: string): Promise<void> {
	if ((await readMarker(runner)) === null) {
		const lock = ["lock", "get", "--lock-cookie", poolId, "--lock-description", "LimiQuantix storage pool"];
		try {
			await runner.changeRados([...lock, markerObject, lockName]);
			return;
		} catch (error) {
			// Another node of ours, or another cluster, was faster.
			if (errnoOfCeph(error) !== errno.busy && errnoOfCeph(error) !== errno.exists) throw error;
		}
	}
	await requireOwner(runner, poolId);
}

/** Fails with `storage` when it is nobody's, `in-use` when it is another pool's. */
export async function requireOwner(runner: CephRunner, poolId: string, limit?: Asking): Promise<void> {
	const owner = await readMarker(runner, limit);
	if (owner === poolId) return;
	if (owner === null)
		throw new AppError("storage", `${placeText(runner)} bears no mark of this storage pool. Was it made anew?`, {
			context: { health: "unmounted" },
		});
	throw belongsTo(runner, owner);
}

/** For a pool that is to be made: fails with `in-use` when another one has the place. */
export async function requireFree(runner: CephRunner, poolId: string): Promise<void> {
	const owner = await readMarker(runner);
	if (owner !== null && owner !== poolId) throw belongsTo(runner, owner);
}

/** `tidy`: what this node has half done there. Not in a place that is another pool's by now: that one is at work with the same names. */
export async function leavePlace(runner: CephRunner, poolId: string, tidy: () => Promise<void>): Promise<void> {
	if ((await readMarker(runner)) !== poolId) return;
	await tidy();
	await orMissing(runner.changeRados(["rm", workObject]));
	// Last: while it is there, a repetition goes on.
	await orMissing(runner.changeRados(["rm", markerObject]));
}

const belongsTo = (runner: CephRunner, owner: string) =>
	new AppError(
		"in-use",
		`${placeText(runner)} belongs to another storage pool (${owner}). Choose another pool or namespace; if that one is gone for good, remove the object ${markerObject} there first.`,
	);

export const placeText = ({ place }: CephRunner): string =>
	place.namespace === null
		? `Ceph's pool "${place.cephPool}"`
		: `The namespace "${place.namespace}" of Ceph's pool "${place.cephPool}"`;
