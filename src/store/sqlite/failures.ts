/** What went wrong when SQLite failed: a full disk, a damaged file, or something else with the disk. */
import { SQLiteError } from "bun:sqlite";

const codeOf = (error: unknown): string => (error instanceof SQLiteError ? (error.code ?? "") : "");

/** The write-ahead log's index needs space, too, and says so in its own way. */
export const isFull = (error: unknown): boolean => ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"].includes(codeOf(error));

export const isDamage = (error: unknown): boolean =>
	codeOf(error).startsWith("SQLITE_CORRUPT") || codeOf(error) === "SQLITE_NOTADB";

/** The command was at fault, not the database. */
export const isConstraint = (error: unknown): boolean => codeOf(error).startsWith("SQLITE_CONSTRAINT");
