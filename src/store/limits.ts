/** Every bound of the store in one place. Apply uses the ones marked (*): to change one is a change of the format. */
import { MiB } from "../lib/units.ts";
import { maxMembers } from "../model/member-limits.ts";

/** Proposals that wait at a time. */
export const maxPendingProposals = 4096;
/** The largest command, encoded. */
export const maxCommandBytes = 4 * MiB;
/** (*) Events kept for those who resume: so many, and so many bytes of them. */
export const maxEvents = 20_000;
export const maxEventBytes = 64 * MiB;
/** (*) Results of commands kept to recognize one that comes a second time. */
export const maxCommandResults = 65_536;
/** (*) Idempotency keys: kept for a day of command time, and never more than this many. */
export const idempotencyKeptMs = 24 * 3_600_000;
export const maxIdempotencyKeys = 50_000;
export const maxIdempotencyKeyLength = 255;
/** (*) Sessions of one user; the oldest end when more begin. */
export const maxSessionsOfUser = 100;
/** (*) API tokens of one user; more are refused, since each may be in use somewhere. */
export const maxTokensOfUser = 100;
/** (*) Nodes, without those that have left, and tokens for more of them. */
export const maxNodes = maxMembers;
export const maxJoinTokens = 100;
/** (*) Tasks of one object that wait or run at a time. */
export const maxUnfinishedTasks = 100;
/** (*) Rows that one prune deletes of each table, and rows that stay at most whatever their age. */
export const maxPrunedRows = 5_000;
export const maxFinishedTasks = 50_000;
/** Accepted and rejected mutations. Denials, which need no rights, have a bound of their own and never push these out. */
export const maxAuditRecords = 500_000;
export const maxAuditDenials = 50_000;
/** Bounds are enforced every so many commands, not at each. (*) */
export const trimInterval = 64;
export const maxPageSize = 1000;
/** (*) Of the clock, at one time: one for each night that a node was off, and they end after a day of running. */
export const maxUpkeepDoubts = 32;
