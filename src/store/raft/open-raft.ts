/**
 * Starts this node's part of a cluster from what is on its disk: the hard state, the log, and what the state holds.
 *
 * A damaged log is refused where this node alone holds the data. Where others do, it is cut before the damage, and the
 * node does not vote before it has got back what it lost (raft/recovery.ts). That it lost something is durable before the
 * damage is gone. A damaged hard state is always refused: a vote that is forgotten could be given twice.
 */
import { present } from "../../lib/assert.ts";
import { AppError } from "../../lib/errors.ts";
import { decodeConfiguration } from "../../raft/configuration.ts";
import { planted } from "../../raft/mutants.ts";
import type { Resume } from "../../raft/snapshot-receiver.ts";
import type { ConfigurationAt, Entry, HardState, RaftOptions, SnapshotMeta } from "../../raft/types.ts";
import { restoreAdvice } from "../advice.ts";
import type { LogFiles } from "../log/files.ts";
import { readHardState, writeHardState } from "../log/hard-state.ts";
import type { Damage } from "../log/recovery.ts";
import { SegmentLog } from "../log/segment-log.ts";
import { RaftDisk } from "./disk.ts";
import { RaftConsensus } from "./raft-consensus.ts";
import type { RaftConsensusOptions } from "./raft-options.ts";

export type OpenRaftOptions = RaftConsensusOptions & {
	files: LogFiles;
	/**
	 * What the state holds, durably, with the configuration that was applied last. Of a new cluster: index 0, term 0 and
	 * the first configuration, the same on each of its nodes; of a node that joins one: an empty configuration.
	 */
	base: SnapshotMeta;
	/** Before a damaged log is cut: what the state holds must survive a power cut by itself from then on. */
	makeStateDurable?: () => void;
	/** Free bytes of the disk that the log leaves alone (disk-reserve.ts). */
	reserveBytes: number;
	segmentBytes?: number;
};

/** `corrupt`: see the message; nothing was changed. `no-space`: what has to be written first does not fit. */
export async function openRaft(options: OpenRaftOptions): Promise<RaftConsensus> {
	const { files, logger, segmentBytes, mutant, nodeId } = options;
	const onFatal = once(options.onFatal);
	const found = await readHardState(files).catch((error) => {
		if (!planted({ mutant: mutant ?? null }, "damaged-vote-forgotten")) throw error;
		return { term: options.base.term, vote: null, recoveries: 0, recovering: false };
	});
	let hardState: HardState = found ?? { term: 0, vote: null, recoveries: 0, recovering: false };
	const onDamage = async (damage: Damage): Promise<void> => {
		const configuration = configurationsOf(options.base, damage.configurations).at(-1)?.configuration;
		if (found === null || (configuration?.voters.length === 1 && configuration.voters[0] === nodeId))
			throw refused(damage);
		if (planted({ mutant: mutant ?? null }, "damage-not-told")) return;
		options.makeStateDurable?.();
		hardState = { ...hardState, recoveries: hardState.recoveries + 1, recovering: true };
		await writeHardState(files, hardState);
	};
	const log = await SegmentLog.open(
		{
			files,
			logger,
			onFatal,
			knownIndex: options.base.index,
			knownTerm: options.base.term,
			onDamage,
			...(segmentBytes === undefined ? {} : { segmentBytes }),
			...(mutant === undefined ? {} : { mutant }),
		},
		found === null && options.base.index === 0 ? 1 : null,
	);
	try {
		if (found === null && log.lastIndex >= log.firstIndex) throw withoutHardState();
		const base = log.firstIndex > options.base.index + 1 ? await installed(options, log) : options.base;
		if (hardState.term < Math.max(log.lastTerm, base.term)) throw olderHardState();
		const disk = new RaftDisk({ files, log, reserveBytes: options.reserveBytes, mutant: mutant ?? null });
		const start = {
			hardState,
			log: logOf(log, base),
			configurations: configurationsOf(base, log.found.configurations),
			appliedIndex: base.index,
		};
		const resume = await resumed(options, base.index);
		return await RaftConsensus.start({ ...options, onFatal, disk, log, start, resume });
	} catch (error) {
		await options.snapshots.close();
		await log.close();
		throw error;
	}
}

/** A snapshot was received, and the log begun anew after it, but it is not the state yet. */
async function installed({ snapshots }: OpenRaftOptions, log: SegmentLog): Promise<SnapshotMeta> {
	const index = log.firstIndex - 1;
	const meta = await snapshots.completeInstall(index);
	if (meta.index < index)
		throw new AppError(
			"corrupt",
			`The log begins at ${log.firstIndex}, and there is no state that reaches it. Nothing was changed. ${restoreAdvice}`,
		);
	return meta;
}

/** What is of another cluster, or of this folder under another name, is of no use here. */
async function resumed({ snapshots, clusterId, nodeId }: OpenRaftOptions, index: number): Promise<Resume | null> {
	const found = await snapshots.resume(index);
	if (found === null || (found.offer.clusterId === clusterId && found.offer.to === nodeId)) return found;
	await snapshots.discard();
	return null;
}

function logOf(log: SegmentLog, base: SnapshotMeta): RaftOptions["log"] {
	const { firstIndex, lastIndex } = log;
	const before = firstIndex - 1;
	const snapshotTerm = log.termAt(before) ?? (base.index === before ? base.term : null);
	const termRuns = log.termRuns();
	if (snapshotTerm !== null) return { snapshotIndex: before, snapshotTerm, lastIndex, termRuns };
	// Logs of before there were clusters do not say the term of the entry before them: one entry less to send.
	return { snapshotIndex: firstIndex, snapshotTerm: present(log.termAt(firstIndex), "an entry"), lastIndex, termRuns };
}

function configurationsOf(base: SnapshotMeta, entries: readonly Entry[]): ConfigurationAt[] {
	const later = entries.flatMap(({ index, data }) => {
		const configuration = decodeConfiguration(data);
		if (configuration === null)
			throw new AppError("corrupt", `Entry ${index} of the log does not say who the members are.`);
		return index > base.configuration.index ? [{ index, configuration }] : [];
	});
	return [base.configuration, ...later];
}

function once(onFatal: (error: AppError) => void): (error: AppError) => void {
	let called = false;
	return (error) => {
		if (called) return;
		called = true;
		onFatal(error);
	};
}

const refused = ({ found }: Damage): AppError =>
	new AppError(
		"corrupt",
		`${found} Changes that were acknowledged cannot be read, and no other node has them, so this node does not start. Nothing was changed: keep a copy of the data folder, check the disk, then put the log back from a copy. ${restoreAdvice}`,
	);

const withoutHardState = (): AppError =>
	new AppError(
		"corrupt",
		`There is a log without the file hard-state beside it, which holds this node's vote. Nothing was changed. Put it back from a copy of the data folder. ${restoreAdvice}`,
	);

const olderHardState = (): AppError =>
	new AppError(
		"corrupt",
		`The file hard-state beside the log, which holds this node's vote, is older than the log. Nothing was changed. Put it back from a copy of the data folder. ${restoreAdvice}`,
	);
