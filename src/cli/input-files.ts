/** Files that arguments name: "@file" and "-" in values, passwords. */
import { readFileSync } from "node:fs";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import type { Cli } from "./cli.ts";
import { interrupted, usageError } from "./failure.ts";
import { file } from "./options.ts";

const maxStdinBytes = 16 * MiB;

/** "@file" → what is in it; anything else is the value itself. */
export const valueOrFile = (value: string): string => (value.startsWith("@") ? readTextFile(value.slice(1)) : value);

export function readTextFile(path: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch (error) {
		throw usageError(`${path} cannot be read: ${error instanceof Error ? error.message : error}`);
	}
}

/** A file, or standard input for "-". */
export async function readInput(cli: Cli, path: string): Promise<string> {
	if (path !== "-") return readTextFile(path);
	const chunks: Uint8Array[] = [];
	let bytes = 0;
	for await (const chunk of cli.io.stdin.read(cli.interrupt)) {
		bytes += chunk.length;
		if (bytes > maxStdinBytes) throw new AppError("too-large", "There is too much on standard input.");
		chunks.push(chunk);
	}
	if (cli.interrupt.aborted) throw interrupted("Interrupted.");
	return Buffer.concat(chunks).toString("utf8");
}

export const passwordFile = file("--password-file <file>", "read the password from a file, or from - (standard input)");

/** From the file, or asked for without echo. Passwords are never arguments: others see those. */
export async function readPassword(cli: Cli, path: string | undefined, question = "Password: "): Promise<string> {
	if (path === undefined) return cli.prompter.secret(question);
	const [password = ""] = (await readInput(cli, path)).split(/\r?\n/);
	if (password === "") throw usageError("--password-file: the first line is empty.");
	return password;
}

/** As readPassword, asked for twice. */
export async function readNewPassword(cli: Cli, path: string | undefined): Promise<string> {
	if (path !== undefined) return readPassword(cli, path);
	const password = await cli.prompter.secret("New password: ");
	const again = await cli.prompter.secret("The same again: ");
	if (password !== again) throw new AppError("canceled", "The two are not the same. Nothing was changed.");
	return password;
}
