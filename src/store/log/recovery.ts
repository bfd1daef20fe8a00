/** Opening a log that exists: find the segments, check all of them, cut off a torn tail, refuse what is damaged. */
import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { restoreAdvice } from "../advice.ts";
import type { LogFile, LogFiles } from "./files.ts";
import { decodeSegmentHeader, segmentHeaderBytes } from "./record.ts";
import type { Segment } from "./segment-log.ts";
import { findProofOfLoss, type SegmentScan, scanSegment } from "./segment-scan.ts";

const namePattern = /^(\d{16})\.log$/;
export const segmentName = (firstIndex: number): string => `${String(firstIndex).padStart(16, "0")}.log`;

export type Recovered = { segments: Segment[]; active: LogFile };

/** Null when there is no log at all (then `knownIndex` decides whether that is right). */
export async function recoverSegments(files: LogFiles, knownIndex: number, logger: Logger): Promise<Recovered | null> {
	const names = (await files.list()).filter((name) => namePattern.test(name)).sort();
	const segments: Segment[] = [];
	for (const [position, name] of names.entries()) {
		const file = await files.open(name, "existing");
		const last = position === names.length - 1;
		const before = segments.at(-1);
		const segment = await recoverSegment(files, file, name, { last, before, knownIndex, logger });
		if (segment === null) return before ? reopen(files, segments) : null;
		segments.push(segment);
		if (!last) {
			await file.close();
			continue;
		}
		const lastIndex = segment.firstIndex + segment.offsets.length - 1;
		if (lastIndex < knownIndex)
			throw corrupt(`The log ends at ${lastIndex}, while the state holds changes up to ${knownIndex}`);
		return { segments, active: file };
	}
	return null;
}

async function reopen(files: LogFiles, segments: Segment[]): Promise<Recovered> {
	const name = segmentName(segments.at(-1)?.firstIndex ?? 0);
	return { segments, active: await files.open(name, "existing") };
}

type Place = { last: boolean; before: Segment | undefined; knownIndex: number; logger: Logger };

/** Null for a last segment that was being made when the node stopped: it is removed. */
async function recoverSegment(files: LogFiles, file: LogFile, name: string, place: Place): Promise<Segment | null> {
	const named = Number(namePattern.exec(name)?.[1]);
	const expected = place.before ? place.before.firstIndex + place.before.offsets.length : named;
	const data = await file.read(0, file.sizeBytes);
	const found = decodeSegmentHeader(data);
	if (place.last && found === null && isUnfinished(data, named, expected, place.knownIndex)) {
		place.logger.warn("a segment of the log was not finished and is removed", { name });
		await file.close();
		await files.remove(name);
		await files.syncDirectory();
		return null;
	}
	if (found !== named) throw corrupt(`The segment ${name} of the log does not begin as it should`);
	if (named !== expected) throw corrupt(`The log has a gap: entry ${expected} is missing before ${name}`);
	const scan = scanSegment(data, named, place.before?.lastTerm ?? 0);
	if (scan.damaged) await repairTail(file, name, data, scan, named + scan.entries.length, place);
	const lastTerm = scan.entries.at(-1)?.term ?? place.before?.lastTerm ?? 0;
	return { firstIndex: named, offsets: scan.offsets, sizeBytes: scan.end, lastTerm };
}

/** Nothing was acknowledged from a segment whose header is not durable. */
const isUnfinished = (data: Uint8Array, named: number, expected: number, knownIndex: number): boolean =>
	named === expected && knownIndex < named && data.length <= segmentHeaderBytes;

async function repairTail(
	file: LogFile,
	name: string,
	data: Uint8Array,
	scan: SegmentScan,
	badIndex: number,
	place: Place,
): Promise<void> {
	const where = `at byte ${scan.end} of ${name}, entry ${badIndex}`;
	if (!place.last) throw corrupt(`The log is damaged ${where}`);
	if (badIndex <= place.knownIndex) throw corrupt(`The log is damaged ${where}, which the state has seen`);
	const proof = findProofOfLoss(data, scan.end, badIndex);
	if (proof !== null) throw corrupt(`The log is damaged ${where}: entry ${proof.index} after it is intact`);
	place.logger.warn("the log ends in a write that was not finished; it is cut off", {
		name,
		offset: scan.end,
		bytes: data.length - scan.end,
	});
	await file.truncate(scan.end);
	await file.sync();
}

const corrupt = (found: string): AppError =>
	new AppError(
		"corrupt",
		`${found}. Changes that were acknowledged cannot be read, so this node does not start. Nothing was changed: keep a copy of the data folder, check the disk, then put the log back from a copy. ${restoreAdvice}`,
	);
