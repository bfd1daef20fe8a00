/**
 * Opening a log that exists: find the segments, leave out what was cut off, check all of the rest, cut off a torn tail.
 * What is damaged is refused, or, when the caller can live with that (`onDamage`), cut off with all that comes after it.
 *
 * Nothing is changed before everything was looked at.
 */
import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { type MutantName, planted } from "../../raft/mutants.ts";
import type { Entry } from "../../raft/types.ts";
import { restoreAdvice } from "../advice.ts";
import type { LogFile, LogFiles } from "./files.ts";
import { cutSegmentHeaderBytes, decodeSegmentHeader, headerBytesOf, type SegmentHeader } from "./record.ts";
import { createSegment, cutSegment, endOf, lastTermOf, type Segment, type SegmentName, segmentsOf } from "./segment.ts";
import { findProofOfLoss, looksUnwritten, scanSegment } from "./segment-scan.ts";

/** `configurations`: those before the damage, the oldest first. */
export type Damage = { found: string; configurations: readonly Entry[] };

export type RecoveryOptions = {
	files: LogFiles;
	logger: Logger;
	/** The highest index that is known, from elsewhere, to have been durable: the state's. 0 for none. */
	knownIndex: number;
	/** The term of that entry. */
	knownTerm?: number;
	/**
	 * Without it, damage is refused. With it, the log is cut before the damage, or begins anew after `knownIndex` when the
	 * damage is older. Before that, this is awaited: the caller makes durable that this log has lost something, or throws.
	 */
	onDamage?: (damage: Damage) => Promise<void>;
	/** For tests: plants one bug (raft/mutants.ts). */
	mutant?: MutantName;
};

export type Recovered = {
	segments: Segment[];
	active: LogFile;
	/** The entries of configurations in the log. */
	configurations: Entry[];
	/** What was damaged, in words; null when nothing was. */
	damaged: string | null;
};

type Found = SegmentName & { header: SegmentHeader | null; sizeBytes: number };
/** `index`: the first entry that cannot be trusted. */
type Finding = { index: number; what: string };
type Chain = {
	segments: Segment[];
	configurations: Entry[];
	finding: Finding | null;
	/** The torn tail is to be cut off here. */
	tail: number | null;
};

/** Null when there is no log at all: `createAt` then decides whether that is right. */
export async function recoverSegments(options: RecoveryOptions, createAt: number | null): Promise<Recovered | null> {
	const { files, logger } = options;
	const all = await readHeaders(files);
	if (all.length === 0 && (createAt !== null || options.onDamage === undefined)) return null;
	const newest = all.at(-1);
	const unfinished = newest !== undefined && isUnfinished(newest, options.knownIndex) ? newest : null;
	const finished = unfinished === null ? all : all.slice(0, -1);
	const live = planted({ mutant: options.mutant ?? null }, "cut-entries-return") ? finished : liveSegments(finished);
	const chain = await checkAll(options, live, unfinished);
	if (chain.segments.length === 0 && createAt === null)
		chain.finding ??= {
			index: 1,
			what: `The log is missing, while the state holds changes up to ${options.knownIndex}`,
		};
	if (chain.finding !== null) return repair(options, all, chain, chain.finding);
	const last = chain.segments.at(-1);
	const kept = chain.segments.map(({ name }) => name);
	const gone = all.filter(({ name }) => !kept.includes(name));
	for (const { name } of gone) {
		logger.warn("a segment of the log that was not finished, or was cut off, is removed", { name });
		await files.remove(name);
	}
	if (gone.length > 0) await files.syncDirectory();
	if (last === undefined) return null;
	const active = await files.open(last.name, "existing");
	if (chain.tail !== null && !planted({ mutant: options.mutant ?? null }, "torn-tail-kept")) {
		logger.warn("the log ends in a write that was not finished; it is cut off", {
			name: last.name,
			offset: chain.tail,
			bytes: active.sizeBytes - chain.tail,
		});
		await active.truncate(chain.tail);
		await active.sync();
	}
	return { segments: chain.segments, active, configurations: chain.configurations, damaged: null };
}

async function readHeaders(files: LogFiles): Promise<Found[]> {
	const all: Found[] = [];
	for (const named of segmentsOf(await files.list())) {
		const file = await files.open(named.name, "existing");
		const header = decodeSegmentHeader(await file.read(0, cutSegmentHeaderBytes));
		const right = header?.firstIndex === named.firstIndex && header.generation === named.generation;
		all.push({ ...named, header: right ? header : null, sizeBytes: file.sizeBytes });
		await file.close();
	}
	return all;
}

/** Of the newest segment: nothing was acknowledged from one whose header is not durable. */
const isUnfinished = ({ header, firstIndex, generation, sizeBytes }: Found, knownIndex: number): boolean =>
	header === null && sizeBytes <= headerBytesOf(generation) && knownIndex < firstIndex;

/** Without the segments of which nothing counts. */
function liveSegments(all: readonly Found[]): Found[] {
	const live: Found[] = [];
	// Entries of earlier generations count up to before this one.
	let limit = Number.POSITIVE_INFINITY;
	let limitOfGeneration = Number.POSITIVE_INFINITY;
	let generation = all.at(-1)?.generation ?? 0;
	for (const found of all.toReversed()) {
		if (found.generation < generation) {
			limit = Math.min(limit, limitOfGeneration);
			limitOfGeneration = Number.POSITIVE_INFINITY;
			generation = found.generation;
		}
		if (found.firstIndex >= limit) continue;
		live.push(found);
		limitOfGeneration = found.header?.anew === true ? 0 : Math.min(limitOfGeneration, found.firstIndex);
	}
	return live.reverse();
}

/** Up to the first thing that is wrong. */
async function checkAll(options: RecoveryOptions, live: readonly Found[], unfinished: Found | null): Promise<Chain> {
	const chain: Chain = { segments: [], configurations: [], finding: null, tail: null };
	for (const [position, found] of live.entries()) {
		const isLast = position === live.length - 1;
		chain.finding = await checkSegment(
			options,
			chain,
			found,
			live[position + 1] ?? null,
			isLast && unfinished === null,
		);
		if (chain.finding !== null) return chain;
	}
	chain.finding = checkEnd(options, chain, unfinished);
	return chain;
}

async function checkSegment(
	options: RecoveryOptions,
	chain: Chain,
	{ name, firstIndex, generation, header }: Found,
	next: Found | null,
	mayBeTorn: boolean,
): Promise<Finding | null> {
	const before = chain.segments.at(-1);
	const expected = before === undefined ? firstIndex : endOf(before) + 1;
	if (header === null) return { index: expected, what: `The segment ${name} of the log does not begin as it should` };
	const beforeTerm = before === undefined ? (header.previousTerm ?? 0) : lastTermOf(before);
	if (firstIndex !== expected || (header.previousTerm ?? beforeTerm) !== beforeTerm)
		return { index: expected, what: `The log has a gap: entry ${expected} is missing before ${name}` };
	const file = await options.files.open(name, "existing");
	const data = await file.read(0, file.sizeBytes);
	await file.close();
	const wasCut = next !== null && next.generation > generation;
	const lastIndex = wasCut ? next.firstIndex - 1 : Number.POSITIVE_INFINITY;
	const scan = scanSegment(data, headerBytesOf(generation), firstIndex, beforeTerm, lastIndex);
	const { offsets, runs, end } = scan;
	chain.configurations.push(...scan.configurations);
	chain.segments.push({ name, firstIndex, generation, offsets, sizeBytes: end, runs, previousTerm: beforeTerm });
	const badIndex = firstIndex + offsets.length;
	if (!scan.damaged || badIndex > lastIndex) return null;
	const what = judgeDamage(options, data, end, badIndex, mayBeTorn);
	if (what !== null)
		return { index: badIndex, what: `The log is damaged at byte ${end} of ${name}, entry ${badIndex}${what}` };
	chain.tail = end;
	return null;
}

/** Null for the tail of a write that was not finished; else what speaks against that. */
function judgeDamage(
	{ knownIndex, onDamage, mutant }: RecoveryOptions,
	data: Uint8Array,
	offset: number,
	badIndex: number,
	mayBeTorn: boolean,
): string | null {
	if (!mayBeTorn) return "";
	if (badIndex <= knownIndex) return ", which the state has seen";
	if (planted({ mutant: mutant ?? null }, "proof-of-loss-ignored")) return null;
	const proof = findProofOfLoss(data, offset, badIndex);
	if (proof !== null) return `: entry ${proof.index} after it is intact`;
	// With others to ask, better once too often: a single node could only refuse to start.
	return onDamage === undefined || looksUnwritten(data, offset) ? null : ", which had been written in whole";
}

function checkEnd(
	{ knownIndex, knownTerm }: RecoveryOptions,
	{ segments }: Chain,
	unfinished: Found | null,
): Finding | null {
	const last = segments.at(-1);
	const lastIndex = last === undefined ? 0 : endOf(last);
	const goesOn = last !== undefined && unfinished?.generation === last.generation;
	if (goesOn && unfinished.firstIndex !== lastIndex + 1)
		return {
			index: lastIndex + 1,
			what: `The log has a gap: entry ${lastIndex + 1} is missing before ${unfinished.name}`,
		};
	if (last !== undefined && lastIndex < knownIndex)
		return {
			index: lastIndex + 1,
			what: `The log ends at ${lastIndex}, while the state holds changes up to ${knownIndex}`,
		};
	const term = termAt(segments, knownIndex);
	if (knownTerm !== undefined && term !== null && term !== knownTerm)
		return {
			index: knownIndex,
			what: `Entry ${knownIndex} of the log is of term ${term}, and the state has it of term ${knownTerm}`,
		};
	return null;
}

/** Null for an entry that is not there. */
export function termAt(segments: readonly Segment[], index: number): number | null {
	const segment = segments.findLast(({ firstIndex }) => firstIndex <= index);
	if (segment === undefined || index > endOf(segment)) return null;
	return segment.runs.findLast(({ firstIndex }) => firstIndex <= index)?.term ?? null;
}

/** Cuts the log before the damage. */
async function repair(
	options: RecoveryOptions,
	all: readonly Found[],
	{ segments, configurations }: Chain,
	{ index, what }: Finding,
): Promise<Recovered> {
	const { files, logger, knownIndex, knownTerm = 0, onDamage } = options;
	if (onDamage === undefined) throw corrupt(what);
	const found = `${what}.`;
	await onDamage({ found, configurations: configurations.filter((entry) => entry.index < index) });
	logger.error("the log is damaged; what comes after the damage is cut off", { found });
	const first = segments[0];
	const goesOn =
		first !== undefined && first.firstIndex <= knownIndex + 1 && index > knownIndex && index > first.firstIndex;
	const kept = goesOn ? segments.filter(({ firstIndex }) => firstIndex < index) : [];
	const last = kept.at(-1);
	if (last !== undefined) cutSegment(last, index - 1);
	const { segment, file } = await createSegment(
		files,
		{
			firstIndex: last === undefined ? knownIndex + 1 : index,
			generation: (all.at(-1)?.generation ?? 0) + 1,
			anew: last === undefined,
			previousTerm: last === undefined ? knownTerm : lastTermOf(last),
		},
		0,
	);
	for (const { name } of all) if (!kept.some((one) => one.name === name)) await files.remove(name);
	await files.syncDirectory();
	return {
		segments: [...kept, segment],
		active: file,
		configurations: goesOn ? configurations.filter((entry) => entry.index < index) : [],
		damaged: found,
	};
}

const corrupt = (found: string): AppError =>
	new AppError(
		"corrupt",
		`${found}. Changes that were acknowledged cannot be read, so this node does not start. Nothing was changed: keep a copy of the data folder, check the disk, then put the log back from a copy. ${restoreAdvice}`,
	);
