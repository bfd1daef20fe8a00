/** The commands by which the README makes a cluster of hosts, for a test that does just what it says. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../rules/source-files.ts";

export type ReadmeCommands = {
	/** Without `limiquantix`, as they are typed. */
	init: string[];
	token: string[];
	/** What follows the token is none of it. */
	join: string[];
};

/** Throws when the README has no such commands any more. */
export function readmeCommands(): ReadmeCommands {
	const text = readFileSync(join(root, "README.md"), "utf8");
	const find = (verb: string): string[] => {
		const line = text.split("\n").find((one) => one.startsWith(`limiquantix cluster ${verb}`));
		if (line === undefined) throw new Error(`the README has no line "limiquantix cluster ${verb}"`);
		return line
			.replace(/\s+#.*$/, "")
			.trim()
			.split(/\s+/)
			.slice(1);
	};
	return { init: find("init"), token: find("token create"), join: find("join") };
}
