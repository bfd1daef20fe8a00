/** One file of the log: its name, what is known of it, and how it is made. */
import { AppError, isAppError } from "../../lib/errors.ts";
import type { TermRun } from "../../raft/types.ts";
import type { LogFile, LogFiles } from "./files.ts";
import { encodeSegmentHeader, headerBytesOf, type SegmentHeader } from "./record.ts";

export type Segment = {
	name: string;
	firstIndex: number;
	generation: number;
	/** Where the record of each entry begins; of those that count. */
	offsets: number[];
	/** Where those end. Entries that were cut off may lie after it in the file, when it is not the last one. */
	sizeBytes: number;
	/** The terms of its entries, and of the entry before them. */
	runs: TermRun[];
	previousTerm: number;
};

export const endOf = (segment: Segment): number => segment.firstIndex + segment.offsets.length - 1;
export const lastTermOf = (segment: Segment): number => segment.runs.at(-1)?.term ?? segment.previousTerm;

export function addRun(runs: TermRun[], index: number, term: number): void {
	if (runs.at(-1)?.term !== term) runs.push({ firstIndex: index, term });
}

/** Entries after `index` do not count any more. What the file holds stays as it is. */
export function cutSegment(segment: Segment, index: number): void {
	const count = index - segment.firstIndex + 1;
	if (count >= segment.offsets.length) return;
	segment.sizeBytes = segment.offsets[count] ?? segment.sizeBytes;
	segment.offsets.length = count;
	while ((segment.runs.at(-1)?.firstIndex ?? 0) > index) segment.runs.pop();
}

export type SegmentName = { name: string; firstIndex: number; generation: number };

const namePattern = /^(\d{16})(?:-(\d{8}))?\.log$/;

export function segmentName({ firstIndex, generation }: Pick<SegmentHeader, "firstIndex" | "generation">): string {
	const first = String(firstIndex).padStart(16, "0");
	return generation === 0 ? `${first}.log` : `${first}-${String(generation).padStart(8, "0")}.log`;
}

/** In the order in which they were made. */
export function segmentsOf(names: readonly string[]): SegmentName[] {
	return names
		.flatMap((name) => {
			const match = namePattern.exec(name);
			return match ? [{ name, firstIndex: Number(match[1]), generation: Number(match[2] ?? 0) }] : [];
		})
		.sort((a, b) => a.generation - b.generation || a.firstIndex - b.firstIndex);
}

/** Durable when it resolves. With no space for it, no trace of it stays. */
export async function createSegment(
	files: LogFiles,
	header: SegmentHeader & { previousTerm: number },
	keepFreeBytes: number,
): Promise<{ segment: Segment; file: LogFile }> {
	const { firstIndex, generation, previousTerm } = header;
	const name = segmentName(header);
	const file = await files.open(name, "create");
	try {
		await file.append(encodeSegmentHeader(header), keepFreeBytes);
	} catch (error) {
		await file.close();
		await notSpace(() => files.remove(name));
		throw error;
	}
	await notSpace(async () => {
		await file.sync();
		await files.syncDirectory();
	});
	const sizeBytes = headerBytesOf(generation);
	return { segment: { name, firstIndex, generation, offsets: [], sizeBytes, runs: [], previousTerm }, file };
}

/** A full disk is an answer only where nothing was promised yet; after that it is a failure like any other. */
export async function notSpace(work: () => Promise<void>): Promise<void> {
	try {
		await work();
	} catch (error) {
		if (!isAppError(error, "no-space")) throw error;
		throw new AppError("storage", "The disk did not keep what was written.", { cause: error });
	}
}
