/** Names of nodes for a sentence. */
import { live } from "../../api/live/live.ts";
import { common } from "../../strings/common.ts";

export const nodeNames = (ids: readonly string[]): string =>
	ids.map((id) => live.node.one(id).value?.name ?? common.unknown).join(", ");
