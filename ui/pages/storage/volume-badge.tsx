/** The state of a volume, with the reason where there is one. */
import type { Volume } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { StateBadge } from "../../components/badge.tsx";
import { volumeLook } from "../../components/states.ts";
import { storage as t } from "../../strings/storage.ts";
import { volumeState } from "./volume-state.ts";

export function VolumeBadge({ volume }: { volume: Volume }) {
	// Whether one of them is about it.
	useCollection("task");
	const state = volumeState(volume);
	return <StateBadge look={volumeLook(state)} note={state === "unmade" ? t.unmade : volume.error?.message} />;
}
