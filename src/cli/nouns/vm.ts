/** `limiquantix vm`: virtual machines. The verbs are in vm/. */
import type { Noun } from "../verb.ts";
import { actionVerbs } from "./vm/actions.ts";
import { consoleVerb } from "./vm/console.ts";
import { createDemoVerb, createVerb } from "./vm/create.ts";
import { deleteVerb } from "./vm/delete.ts";
import { diskEditVerb } from "./vm/disk.ts";
import { editVerb } from "./vm/edit.ts";
import { inspectVerbs } from "./vm/inspect.ts";
import { listVerb, showVerb } from "./vm/list.ts";
import { cdromVerb } from "./vm/media.ts";
import { moveVerb } from "./vm/move.ts";
import { snapshotVerbs } from "./vm/snapshot.ts";
import { vncVerb } from "./vm/vnc.ts";

export const vmNoun: Noun = {
	name: "vm",
	summary: "virtual machines",
	groups: {
		disk: "disks of a VM; they are attached and detached with vm edit",
		snapshot: "what the disks of a VM held at one moment",
	},
	verbs: [
		listVerb,
		createVerb,
		createDemoVerb,
		showVerb,
		editVerb,
		deleteVerb,
		...actionVerbs,
		moveVerb,
		...snapshotVerbs,
		diskEditVerb,
		cdromVerb,
		consoleVerb,
		vncVerb,
		...inspectVerbs,
	],
};
