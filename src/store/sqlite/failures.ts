/** What went wrong when SQLite failed: a full disk, a damaged file, or something else with the disk. */
import { SQLiteError } from "bun:sqlite";

export const codeOf = (error: unknown): string => (error instanceof SQLiteError ? (error.code ?? "") : "");

/** The write-ahead log's index needs space, too, and says so in its own way. */
export const isFullCode = (code: string): boolean => ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"].includes(code);
export const isFull = (error: unknown): boolean => isFullCode(codeOf(error));

/**
 * What was written before is perhaps not on the disk, and the next sync would say that it is: the kernel forgets what it could not
 * write. The first is that of the threads.
 */
export const isSyncCode = (code: string): boolean =>
	["ESYNC", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC"].includes(code);

/** Of a statement that is right and asks for what every database of this program has. */
const damageCodes = ["NOTADB", "ERROR", "FORMAT", "CONSTRAINT", "MISMATCH", "TOOBIG"];
export const isDamageCode = (code: string): boolean =>
	code.startsWith("SQLITE_CORRUPT") ||
	damageCodes.some((one) => code === `SQLITE_${one}` || code.startsWith(`SQLITE_${one}_`));
export const isDamage = (error: unknown): boolean => isDamageCode(codeOf(error));

/** The command was at fault, not the database. */
export const isConstraint = (error: unknown): boolean => codeOf(error).startsWith("SQLITE_CONSTRAINT");

/** The database failed, not the command: nothing may be concluded from it. */
export const isDatabaseFailure = (error: unknown): boolean => error instanceof SQLiteError && !isConstraint(error);

/** A part of a transaction failed after it had written, without a savepoint: all of it is done again, with them. */
export class PartFailed extends Error {}
