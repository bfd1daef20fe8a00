/**
 * What a backup says of VMs, disks and networks goes to this host's hypervisor and file systems. A backup of ours holds only what
 * was made by commands; one that somebody has changed, with a digest that fits, is no way around what creating would refuse.
 */
import type { TSchema } from "@sinclair/typebox";
import { AppError } from "../lib/errors.ts";
import { Network } from "../model/network.ts";
import { networkConfigProblems } from "../model/network-rules.ts";
import { Snapshot } from "../model/snapshot.ts";
import { Image, Pool, Volume } from "../model/storage.ts";
import { schemaProblems } from "../model/validate.ts";
import { Vm } from "../model/vm.ts";
import type { StoreReader } from "../store/store.ts";

const kinds = [
	["vm", "VM", Vm],
	["volume", "volume", Volume],
	["snapshot", "snapshot", Snapshot],
	["image", "image", Image],
	["pool", "storage pool", Pool],
	["network", "network", Network],
] as const satisfies readonly [string, string, TSchema][];

/** `invalid`, with the object and what is wrong with it. */
export function checkDocuments(state: Pick<StoreReader, "all">): void {
	for (const [table, what, schema] of kinds)
		for (const object of state.all(table)) {
			const [problem] = schemaProblems(schema, object);
			if (problem) throw refused(what, object.id, `${problem.path || "/"}: ${problem.message}`);
		}
	for (const { id, config } of state.all("network")) {
		const [problem] = networkConfigProblems(config);
		if (problem) throw refused("network", id, problem.message);
	}
}

const refused = (what: string, id: string, why: string): AppError =>
	new AppError(
		"invalid",
		`The backup has a ${what} that could not be made here (${id}, ${why}). It was changed by somebody.`,
	);
