/**
 * What was typed into a form and is not saved yet, kept in this window for whoever typed it: the next person who signs in
 * here neither sees nor saves it. The session says whose drafts they are (`claimDrafts`) and ends them (`dropDrafts`).
 * Passwords belong in no draft (`withoutPasswords`). While a session is only expired, drafts wait for the same person.
 */
import type { CloudInitForm } from "./cloud-init.ts";
import { readStored, removeStored, writeStored } from "./storage.ts";

const all = "draft.";
const keysOf = (userId: string): string => `${all}${userId}.`;
let owner: string | null = null;

/** From now on drafts are this user's; those of anybody else go. Null: of nobody who would come back. */
export function claimDrafts(userId: string | null): void {
	owner = userId;
	removeStored("session", all, userId === null ? undefined : keysOf(userId));
}

/** Signed out: nothing stays, and a form that is still closing keeps nothing more. */
export const dropDrafts = (): void => claimDrafts(null);

export const readDraft = <T>(form: string): T | null =>
	owner === null ? null : readStored<T | null>("session", keysOf(owner) + form, null);

/** Null removes it. */
export function keepDraft(form: string, draft: unknown): void {
	if (owner !== null) writeStored("session", keysOf(owner) + form, draft ?? undefined);
}

export const withoutPasswords = (form: CloudInitForm): CloudInitForm => ({
	...form,
	users: form.users.map((user) => ({ ...user, password: "" })),
});
