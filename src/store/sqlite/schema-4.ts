/** Version 4: snapshots of VMs. */
import { integer, table, text } from "./schema-1.ts";

export const schema4: readonly string[] = table(
	"snapshot",
	[
		text("name", "name", " COLLATE NOCASE"),
		text("vm_id", "vmId"),
		text("phase", "phase"),
		integer("current", "current"),
		text("created_at", "createdAt"),
	],
	["vm_id, created_at, id", "vm_id, name, id"],
);
