/**
 * Term and vote, which Raft must never forget: a file of one line, replaced as a whole and durable before anything
 * is sent. `{"term":3,"vote":"<node id>"} <CRC-32C of the JSON in hex>`.
 */
import { AppError } from "../../lib/errors.ts";
import { restoreAdvice } from "../advice.ts";
import { crc32c } from "./crc32c.ts";
import type { LogFiles } from "./files.ts";

export type HardState = { term: number; vote: string | null };

const fileName = "hard-state";
const temporaryName = "hard-state.tmp";

/** Null when there is none; `corrupt` when it is damaged. */
export async function readHardState(files: LogFiles): Promise<HardState | null> {
	const names = await files.list();
	if (names.includes(temporaryName)) await files.remove(temporaryName);
	if (!names.includes(fileName)) return null;
	const file = await files.open(fileName, "existing");
	try {
		const state = parse(Buffer.from(await file.read(0, Math.min(file.sizeBytes, 4096))).toString());
		if (state === null)
			throw new AppError(
				"corrupt",
				`The file ${fileName} beside the log is damaged; it holds the vote of this node. Nothing was changed. Put it back from a copy of the data folder. ${restoreAdvice}`,
			);
		return state;
	} finally {
		await file.close();
	}
}

/** Durable when it resolves. */
export async function writeHardState(files: LogFiles, state: HardState): Promise<void> {
	const json = JSON.stringify({ term: state.term, vote: state.vote });
	const file = await files.open(temporaryName, "create");
	try {
		await file.append(Buffer.from(`${json} ${checksum(json)}\n`));
		await file.sync();
	} finally {
		await file.close();
	}
	await files.rename(temporaryName, fileName);
	await files.syncDirectory();
}

const checksum = (json: string): string => crc32c(Buffer.from(json)).toString(16).padStart(8, "0");

function parse(text: string): HardState | null {
	const match = /^(\{.*\}) ([0-9a-f]{8})\n$/.exec(text);
	const json = match?.[1];
	if (json === undefined || checksum(json) !== match?.[2]) return null;
	const { term, vote } = JSON.parse(json) as HardState;
	return Number.isSafeInteger(term) && term >= 0 && (vote === null || typeof vote === "string") ? { term, vote } : null;
}
