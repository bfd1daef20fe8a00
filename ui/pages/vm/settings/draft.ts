/**
 * What was changed in a VM's settings and is not saved yet: it survives another tab of the page, another page and a
 * reload, in this window and for whoever changed it. Passwords do not. Only what was changed is kept, so that what
 * somebody else changes in between is not undone by it.
 */
import { keepDraft, readDraft, withoutPasswords } from "../../../lib/drafts.ts";
import type { SettingsValues } from "./values.ts";

export type SettingsDraft = {
	/** Of the VM that the changes were made on. */
	generation: number;
	changes: Partial<SettingsValues>;
};

const keyOf = (vmId: string): string => `vm-settings.${vmId}`;
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Null when nothing of it is worth keeping. Pure. */
export function draftOf(generation: number, before: SettingsValues, values: SettingsValues): SettingsDraft | null {
	const kept: SettingsValues = { ...values, cloudInit: withoutPasswords(values.cloudInit) };
	const changed = (Object.keys(kept) as (keyof SettingsValues)[]).filter((key) => !same(kept[key], before[key]));
	if (changed.length === 0) return null;
	return { generation, changes: Object.fromEntries(changed.map((key) => [key, kept[key]])) };
}

/** What of a draft still is a change of the VM as it is now. Pure. */
export function changesOn(before: SettingsValues, draft: SettingsDraft | null): Partial<SettingsValues> | null {
	const changes = Object.entries(draft?.changes ?? {}).filter(
		([key, value]) => key in before && !same(value, before[key as keyof SettingsValues]),
	);
	return changes.length === 0 ? null : Object.fromEntries(changes);
}

export const readSettingsDraft = (vmId: string): SettingsDraft | null => readDraft<SettingsDraft>(keyOf(vmId));

/** Null removes it. */
export const keepSettingsDraft = (vmId: string, draft: SettingsDraft | null): void => keepDraft(keyOf(vmId), draft);
