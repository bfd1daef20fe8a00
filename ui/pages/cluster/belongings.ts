/** What is on one node: what it would take along, or has to get rid of before it leaves. */
import type { Image, Pool, Vm, Volume } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { byName } from "../../lib/sort.ts";

export type Belongings = {
	vms: readonly Vm[];
	volumes: readonly Volume[];
	images: readonly Image[];
	pools: readonly Pool[];
	/** False while a list is not there yet: then nothing may be said of what is not in it. */
	known: boolean;
};

const mostNamed = 6;

export function useBelongings(nodeId: string): Belongings {
	const [vms, volumes, images, pools] = [
		useCollection("vm"),
		useCollection("volume"),
		useCollection("image"),
		useCollection("pool"),
	];
	const here = (object: { nodeId: string | null }) => object.nodeId === nodeId;
	return {
		vms: vms.items.value.filter(here).sort(byName),
		volumes: volumes.items.value.filter(here).sort(byName),
		images: images.items.value.filter(here).sort(byName),
		pools: pools.items.value.filter(({ nodeIds }) => nodeIds.includes(nodeId)).sort(byName),
		known: [vms, volumes, images, pools].every(({ state, partial }) => state.value === "ready" && !partial.value),
	};
}

export const bytesOf = (volumes: readonly Volume[]): number =>
	volumes.reduce((sum, { allocatedBytes, sizeBytes }) => sum + (allocatedBytes ?? sizeBytes), 0);

/** "a, b, c", and how many more there are. */
export function namesOf(objects: readonly { name: string }[]): { names: string; more: number } {
	const names = objects.slice(0, mostNamed).map(({ name }) => name);
	return { names: names.join(", "), more: objects.length - names.length };
}
