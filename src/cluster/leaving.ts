/**
 * This node leaves the cluster, or hears that it was removed.
 *
 * A node that wants to leave writes that down first (`peer/leaving`, with the pools whose folders nobody owns afterwards), so
 * that an interrupted leave is finished at the next start. When the others have let it go it begins anew as a cluster of its
 * own (beginning-anew.ts). One that was removed stays as it is, changes nothing any more, and says so; one that has left and
 * cannot begin anew does the same until it can.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { delay } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { unfinishedDiscards } from "../node/left-in-pools.ts";
import { writeSecret } from "../peer/identity.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { mayHaveHappened } from "../store/raft/refusals.ts";
import { hasArrived, hasNothing, noteArrived } from "./arrival.ts";
import { BeginningAnew, type BeginningAnewDeps } from "./beginning-anew.ts";
import { poolsToHandOver } from "./importing.ts";
import { type MarkedPool, markedPools } from "./marked-pools.ts";
import { clusterPathsOf } from "./node-file.ts";

export type LeavingDeps = BeginningAnewDeps & {
	consensus: Pick<RaftConsensus, "details" | "noteRemoved">;
	/** As ClusterLinks has it. */
	silence: () => () => void;
};

const checkMs = 100;
const limitMs = 30_000;
const maxNames = 10;
const yes = () => true;

export class Leaving {
	readonly #deps: LeavingDeps;
	readonly #paths: ReturnType<typeof clusterPathsOf>;
	readonly #anew: BeginningAnew;
	#removed: boolean;
	#leave: Promise<void> | null = null;

	constructor(deps: LeavingDeps) {
		this.#deps = deps;
		this.#paths = clusterPathsOf(deps.dataDir);
		this.#anew = new BeginningAnew(deps);
		this.#removed = existsSync(this.#paths.removed);
		if (this.#removed) deps.consensus.noteRemoved();
	}

	get removed(): boolean {
		return this.#removed;
	}

	/** Why this node, which has left, does not begin anew; null for any other. */
	get hindrance(): string | null {
		return this.#anew.hindrance;
	}

	/**
	 * Resolves when the members have let this node go. `remove` proposes the command, in the name of who asked; not of somebody
	 * who asks again meanwhile: that one has the same answer.
	 */
	leave(remove: () => Promise<unknown>): Promise<void> {
		this.#leave ??= this.#leaveOnce(remove).finally(() => {
			this.#leave = null;
		});
		return this.#leave;
	}

	async #leaveOnce(remove: () => Promise<unknown>): Promise<void> {
		const { clock } = this.#deps;
		if (this.hindrance !== null) return this.#becomeFresh();
		if (this.#removed) return this.#leaveForGood();
		if (this.#hasNoState()) return this.#turnBack();
		if (this.#isLeft()) await this.#noteAgain();
		else await this.#ask(remove);
		const endsAtMs = clock.monotonicMs() + limitMs;
		while (!this.#hasLeft()) {
			if (clock.monotonicMs() > endsAtMs)
				throw new AppError("timeout", "The other nodes have not let this one go yet. It leaves as soon as they do.");
			await delay(clock, checkMs);
		}
		await this.#becomeFresh();
	}

	async #ask(remove: () => Promise<unknown>): Promise<void> {
		const { store } = this.#deps;
		if (store.all("node").filter(({ status }) => status.phase !== "left").length < 2)
			throw new AppError("wrong-state", "This node is alone: there is nothing to leave.");
		await this.#whenDiscarded();
		const asksAgain = existsSync(this.#paths.leaving);
		await this.#note();
		try {
			await remove();
		} catch (error) {
			if (!this.#mayHaveLeft(error, asksAgain)) await rm(this.#paths.leaving, { force: true });
			throw error;
		}
	}

	/** What was asked before may take effect although what was asked now was not even proposed. */
	#mayHaveLeft(error: unknown, askedBefore: boolean): boolean {
		return mayHaveHappened(error, askedBefore) || this.#isLeft();
	}

	/** The cluster has it down as one that has left: nothing is proposed again, only Raft still has to let it go. */
	async #noteAgain(): Promise<void> {
		this.#checkEmpty();
		if (!existsSync(this.#paths.leaving)) await this.#note();
	}

	async #note(): Promise<void> {
		const pools = await markedPools(this.#deps);
		if (hasArrived(this.#deps)) pools.push(...(await this.#poolsOfBefore()));
		await writeSecret(this.#paths.leaving, JSON.stringify(pools));
	}

	/** Of a node that has arrived, which is noted: its record does not say so any more once it has left. */
	async #poolsOfBefore(): Promise<MarkedPool[]> {
		const { dataDir, hints, logger } = this.#deps;
		if (hints === null) return [];
		await noteArrived(dataDir);
		try {
			return await poolsToHandOver({ dataDir, hints, logger }, "leave.tmp");
		} catch (error) {
			logger.warn("folders of pools of before this node joined may stay marked: what it was cannot be read", { error });
			return [];
		}
	}

	/** Its tasks end when it leaves: what has moved away would stay on this host, disks and definitions. */
	async #whenDiscarded(): Promise<void> {
		const { store, node, clock } = this.#deps;
		const endsAtMs = clock.monotonicMs() + limitMs;
		for (;;) {
			const names = unfinishedDiscards({ store, nodeId: node.nodeId });
			if (names.length === 0) return;
			if (clock.monotonicMs() > endsAtMs)
				throw new AppError(
					"wrong-state",
					`What has moved away from this node is still being removed here: ${names.slice(0, maxNames).join(", ")}${names.length > maxNames ? " and others" : ""}. Try again in a moment.`,
				);
			await delay(clock, checkMs);
		}
	}

	/** It was admitted, and has heard nothing since: nobody can be asked. */
	async #turnBack(): Promise<void> {
		this.#deps.turns.checkNotJoining();
		// What it confirms after it was looked at would be gone, and the others may count on it.
		const speakAgain = this.#deps.silence();
		try {
			// With the state it leaves as a member.
			if (this.#deps.consensus.details().lastIndex > 0)
				throw new AppError("unavailable", "This node is just receiving the cluster's state. Try again in a moment.", {
					retryAfterMs: 1000,
				});
			if (!existsSync(this.#paths.leaving)) await writeSecret(this.#paths.leaving, "[]");
		} catch (error) {
			speakAgain();
			throw error;
		}
		await this.#becomeFresh();
	}

	#hasNoState(): boolean {
		const { hints, store } = this.#deps;
		return hints !== null && store.count("node") === 0;
	}

	/** It was removed: nobody has to be asked. */
	async #leaveForGood(): Promise<void> {
		this.#checkEmpty();
		await this.#note();
		await this.#becomeFresh();
	}

	#checkEmpty(): void {
		if (!this.#isEmpty())
			throw new AppError(
				"wrong-state",
				"This node was removed from the cluster, and has VMs, volumes or images: a new cluster would not know them. `limiquantix cluster join` takes it back with what is still its own.",
			);
	}

	/** Of a start, which goes on whatever is in the way: its status says so. `confirmed`: a quorum says that this node is a member. */
	async finish(confirmed: Promise<void>): Promise<void> {
		if (!existsSync(this.#paths.leaving)) return;
		if (this.#hasNoState()) {
			// Of one that the state came to meanwhile, what the log says of members does not count yet.
			if (await this.#turnBack().then(yes, (error) => this.#staysOn(error))) return;
		} else if (this.#hasLeft() && this.#isEmpty()) return this.#becomeFresh().catch(() => {});
		// It was not even asked for, or not accepted; unless somebody asks just now.
		const isStale = () => this.#leave === null && !this.#isLeft();
		void confirmed
			.then(() => (isStale() ? rm(this.#paths.leaving, { force: true }) : undefined))
			// The next start tries again.
			.catch(() => {});
	}

	#staysOn(error: unknown): false {
		this.#deps.logger.warn("this node cannot give up joining as it was asked to, and goes on with it", {
			error,
		});
		return false;
	}

	/** `told`: another node says so. */
	watch(told: boolean): void {
		if (this.#anew.isDue) void this.#becomeFresh().catch(() => {});
		if (this.#removed || this.#anew.begun) return;
		if (!told && !this.#deps.consensus.details().removed) return;
		this.#wasRemoved().catch((error) =>
			this.#deps.logger.error("that this node was removed could not be written down", { error }),
		);
	}

	async #wasRemoved(): Promise<void> {
		const { logger, onRemoved, consensus } = this.#deps;
		if (existsSync(this.#paths.leaving) && this.#isEmpty()) return this.#becomeFresh().catch(() => {});
		this.#removed = true;
		consensus.noteRemoved();
		logger.error("this node was removed from the cluster: it changes nothing any more", {});
		await writeSecret(this.#paths.removed, "");
		await onRemoved();
	}

	/**
	 * A node leaves only with nothing on it. One that somebody removed, after an attempt to leave of which nobody knows what
	 * became, keeps what it has: it may come back with it.
	 */
	#isEmpty(): boolean {
		const { store, node } = this.#deps;
		return hasNothing(store, node.nodeId);
	}

	#isLeft(): boolean {
		const { store, node } = this.#deps;
		return store.get("node", node.nodeId)?.status.phase === "left";
	}

	/**
	 * Not while it is the leader that has written down its own removal and does not know that it is committed, even when it does not
	 * lead any more: it may be the only one that has it, and the others cannot get it, or elect anybody, without this node.
	 */
	#hasLeft(): boolean {
		const { consensus, node } = this.#deps;
		const { removed, configuration, configurationIndex, commitIndex, role } = consensus.details();
		if (removed || this.#removed || this.#anew.begun) return true;
		const isMember = [...configuration.voters, ...configuration.learners].includes(node.nodeId);
		return !isMember && role !== "leader" && configurationIndex <= commitIndex;
	}

	/** Rejects with what is in the way: the node changes nothing any more then, like one that was removed, but tries again. */
	async #becomeFresh(): Promise<void> {
		try {
			await this.#anew.begin();
		} catch (error) {
			this.#removed = true;
			this.#deps.consensus.noteRemoved();
			throw error;
		}
	}
}
