/**
 * What Raft must never forget: term, vote, and how often this node's log was found damaged (raft/recovery.ts). A file of
 * one line, replaced as a whole and durable before anything is sent:
 * `{"term":3,"vote":"<node id>","recoveries":0,"recovering":false} <CRC-32C of the JSON in hex>`. The last two are missing
 * in files of before there were clusters.
 */
import { AppError, isAppError } from "../../lib/errors.ts";
import type { HardState } from "../../raft/types.ts";
import { restoreAdvice } from "../advice.ts";
import { crc32c } from "./crc32c.ts";
import type { LogFiles } from "./files.ts";
import { notSpace } from "./segment.ts";

/** Recoveries and recovering are 0 and false when they are not given. */
export type HardStateFields = Pick<HardState, "term" | "vote"> & Partial<HardState>;

const fileName = "hard-state";
const temporaryName = "hard-state.tmp";
/** Terms and recoveries are counted one by one: more was made up. */
const most = 2 ** 32 - 1;
const maxIdLength = 64;

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

/** Durable when it resolves. `no-space`: the old one is still there, and durable. */
export async function writeHardState(files: LogFiles, state: HardStateFields): Promise<void> {
	const { term, vote, recoveries = 0, recovering = false } = state;
	const json = JSON.stringify({ term, vote, recoveries, recovering });
	const file = await files.open(temporaryName, "create");
	try {
		try {
			await file.append(Buffer.from(`${json} ${checksum(json)}\n`));
			await file.sync();
		} finally {
			await file.close();
		}
		await files.rename(temporaryName, fileName);
	} catch (error) {
		// The next attempt makes it again.
		if (isAppError(error, "no-space")) await notSpace(() => files.remove(temporaryName));
		throw error;
	}
	await notSpace(() => files.syncDirectory());
}

const checksum = (json: string): string => crc32c(Buffer.from(json)).toString(16).padStart(8, "0");

const isCount = (value: unknown): value is number =>
	Number.isInteger(value) && Number(value) >= 0 && Number(value) <= most;

function parse(text: string): HardState | null {
	const match = /^(\{.*\}) ([0-9a-f]{8})\n$/.exec(text);
	const json = match?.[1];
	if (json === undefined || checksum(json) !== match?.[2]) return null;
	const { term, vote, recoveries = 0, recovering = false } = JSON.parse(json) as HardStateFields;
	if (!isCount(term) || !isCount(recoveries) || typeof recovering !== "boolean") return null;
	if (vote !== null && (typeof vote !== "string" || vote.length === 0 || vote.length > maxIdLength)) return null;
	return { term, vote, recoveries, recovering };
}
