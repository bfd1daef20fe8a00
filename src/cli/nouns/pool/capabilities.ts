/** What a pool can do, as `pool show` says it: once where its nodes agree, else under the names of those that say it. Pure. */
import type { Pool } from "../../../gen/api.ts";
import { type Told, type ToldCapability, toldCapabilities } from "../../../model/told-capabilities.ts";
import type { Field } from "../../output.ts";

/** What is not here came with a later version, and is called as it is in the record. */
const words: Record<string, string> = {
	copyOnWriteClone: "copy-on-write clones",
	fullClone: "full clones",
	resizeOnline: "resize online",
	shrink: "shrink",
	snapshots: "snapshots",
	images: "images",
	shared: "shared by nodes",
	flattenOnline: "flatten while the VM runs",
	discard: "free what guests discard",
	reflink: "full copies that share blocks",
};

export function capabilityFields(pool: Pick<Pool, "nodes">, nodeName: (id: string) => string): Field[] {
	const all = toldCapabilities(pool);
	if (all.length === 0) return [];
	const text = ({ everywhere }: ToldCapability, { nodeIds, reason }: Told, what: string): string => {
		const nodes = everywhere ? "" : `${nodeIds.map(nodeName).join(", ")}: `;
		return `${nodes}${what}${reason === null ? "" : `: ${reason}`}`;
	};
	const lists = (name: string, label: string, between: string): Field[] =>
		all
			.filter((one) => one.name === name)
			.flatMap((one) => one.told.map((told) => [label, text(one, told, [told.value].flat().join(between))] as const));
	const flags = all.flatMap((one) => one.told.map((told) => ({ one, told, word: words[one.name] ?? one.name })));
	const can = flags.filter(({ told }) => told.value === true);
	const plain = can.filter(({ one, told }) => one.everywhere && told.reason === null);
	const cannot = flags.filter(({ told }) => told.value === false);
	return [
		...lists("formats", "formats", ", "),
		...lists("provisioning", "volumes", " or "),
		["can", plain.map(({ word }) => word).join(", ")],
		...can.filter((one) => !plain.includes(one)).map(({ one, told, word }): Field => ["can", text(one, told, word)]),
		...cannot.map(({ one, told, word }): Field => ["cannot", text(one, told, word)]),
	];
}
