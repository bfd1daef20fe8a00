/**
 * The end of leaving: the others have let this node go. It gives the folders of its pools free, and is a cluster of its own from the
 * next start on, or what it was before it joined. A pool that cannot be given free keeps it from nothing: it bears its mark then, and
 * says so to the next one that wants the folder. Anything else that fails is tried again, ever more seldom, for as long as the
 * node runs, and at its next start: it is of no cluster until then, and nobody else can do it.
 */
import { readFile } from "node:fs/promises";
import type { Clock } from "../lib/clock.ts";
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { StoreIdentity } from "../store/open-store.ts";
import type { Store } from "../store/store.ts";
import { hasArrived, mayHaveArrived } from "./arrival.ts";
import type { PoolFolders } from "./importing.ts";
import { type MarkedPool, releasePools } from "./marked-pools.ts";
import { clusterPathsOf } from "./node-file.ts";
import { formerFolderOf, type JoinHints, prepareFresh, prepareReturn } from "./switch.ts";
import type { Turns } from "./turns.ts";

export type BeginningAnewDeps = {
	dataDir: string;
	node: StoreIdentity;
	store: Store;
	poolFolders: PoolFolders;
	/** Of a node that joined. */
	hints: JoinHints | null;
	turns: Turns;
	/** It is a cluster of its own from now on. */
	onFresh: () => void;
	/** It is no member any more: nothing on this host may be changed. Resolves when nothing is. */
	onRemoved: () => Promise<void>;
	clock: Clock;
	logger: Logger;
};

const firstPauseMs = 5_000;
const longestPauseMs = 5 * 60_000;

export class BeginningAnew {
	readonly #deps: BeginningAnewDeps;
	#work: Promise<void> | null = null;
	#failed: { message: string; pauseMs: number; againAtMs: number } | null = null;

	constructor(deps: BeginningAnewDeps) {
		this.#deps = deps;
	}

	/** It is under way, or done. */
	get begun(): boolean {
		return this.#work !== null;
	}

	/** Why it could not, in words for people; null when it was not tried, or is done. */
	get hindrance(): string | null {
		return this.#failed?.message ?? null;
	}

	/** It could not, and it is time to try again. */
	get isDue(): boolean {
		return this.#work === null && this.#failed !== null && this.#deps.clock.monotonicMs() >= this.#failed.againAtMs;
	}

	/** `peer/leaving` says which pools. Rejects with what is in the way. */
	begin(): Promise<void> {
		this.#work ??= this.#begin().catch((error) => {
			this.#work = null;
			throw this.#put(error);
		});
		return this.#work;
	}

	async #begin(): Promise<void> {
		const { turns, onRemoved, onFresh } = this.#deps;
		turns.beginAnew();
		try {
			// Who looks after the pools would take them up again.
			await onRemoved();
			await this.#releasePools();
			await this.#prepare();
		} catch (error) {
			turns.endJoin();
			throw error;
		}
		this.#failed = null;
		onFresh();
	}

	async #releasePools(): Promise<void> {
		const { dataDir, logger } = this.#deps;
		const failed = (error: unknown, pool?: MarkedPool) =>
			logger.error(
				"the folder of a pool is not given free: it stays marked as one of the cluster that this node left",
				{
					...pool,
					error,
				},
			);
		try {
			const pools = await readFile(clusterPathsOf(dataDir).leaving, "utf8").catch(() => "[]");
			await releasePools(this.#deps, JSON.parse(pools) as MarkedPool[], failed);
		} catch (error) {
			failed(error);
		}
	}

	async #prepare(): Promise<void> {
		const { dataDir, node, hints, logger } = this.#deps;
		if (hasArrived(this.#deps)) {
			await prepareFresh(dataDir, node.nodeId);
			logger.info("this node has left the cluster; it begins anew as a cluster of its own", {});
		} else if (mayHaveArrived(this.#deps)) {
			await prepareFresh(dataDir, node.nodeId);
			const former = hints === null ? null : formerFolderOf(dataDir, hints.formerNodeId);
			logger.warn(
				"this node begins anew, and not as what it was before it joined: the cluster may have taken in its VMs, and others may run them",
				{ former },
			);
		} else {
			await prepareReturn(dataDir, hints?.formerNodeId ?? "", node.nodeId);
			logger.info("this node has left before it was all there; it is what it was before it joined", {});
		}
	}

	#put(cause: unknown): AppError {
		const { clock, logger } = this.#deps;
		const { code, message: why } = reasonOf(cause);
		const message = `This node has left the cluster, and cannot begin anew yet: ${why} It changes nothing until it does, and tries again by itself; \`limiquantix cluster leave\` on it tries at once.`;
		const pauseMs = Math.min(longestPauseMs, this.#failed === null ? firstPauseMs : this.#failed.pauseMs * 2);
		this.#failed = { message, pauseMs, againAtMs: clock.monotonicMs() + pauseMs };
		logger.error("this node has left the cluster and cannot begin anew; it is tried again", { pauseMs, error: cause });
		return new AppError(code, message, { cause });
	}
}

function reasonOf(error: unknown): AppError {
	const code = error instanceof Error && "code" in error && !isAppError(error) ? error.code : undefined;
	if (code === undefined) return toAppError(error);
	if (code === "ENOSPC" || code === "EDQUOT") return new AppError("no-space", "The disk of this node is full.");
	return new AppError("storage", `Its data folder cannot be changed (${code}).`);
}
