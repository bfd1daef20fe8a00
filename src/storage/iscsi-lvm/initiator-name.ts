/** This node's name in iSCSI, as open-iscsi keeps it. */
import { readFile } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import { errnoOf, fileError } from "../file-errors.ts";

const path = "/etc/iscsi/initiatorname.iscsi";

export async function initiatorName(): Promise<string> {
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		if (errnoOf(error) !== "ENOENT") throw fileError(error, "reading this node's iSCSI name");
		throw new AppError("unavailable", `This node has no iSCSI name (${path}): is open-iscsi installed?`);
	}
	return parseInitiatorName(text);
}

export function parseInitiatorName(text: string): string {
	const name = /^\s*InitiatorName\s*=\s*((?:iqn|eui|naa)\.[\x21-\x7e]{1,219})\s*$/m.exec(text)?.[1];
	if (name === undefined) throw new AppError("unavailable", `This node has no valid iSCSI name in ${path}.`);
	return name;
}
