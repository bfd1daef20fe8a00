/**
 * Records of open-iscsi on this node: text files that iscsiadm makes (mode 0600) and reads when it logs in. They are changed here
 * by writing the file, aside and renamed, never readable by others.
 */
import { open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { errnoOf, fileError } from "../file-errors.ts";
import { withSettings } from "./iscsi-text.ts";
import type { Portal } from "./names.ts";

/** Where distributions keep it: the place is compiled in. */
const defaultRoots = ["/etc/iscsi", "/var/lib/iscsi"];

export class IscsiDatabase {
	readonly #roots: readonly string[];

	constructor(roots: readonly string[] = defaultRoots) {
		this.#roots = roots;
	}

	/** The record of a target at a portal; null when there is none. */
	async nodeRecord(target: string, portal: Portal): Promise<string | null> {
		for (const root of this.#roots) {
			const folder = join(root, "nodes", target);
			const place = `${portal.host},${portal.port}`;
			for (const name of await entries(folder)) {
				if (name !== place && !name.startsWith(`${place},`)) continue;
				const path = join(folder, name);
				if (await isFile(path)) return path;
				// With a group of portals it is a folder, with a file for each interface.
				if (await isFile(join(path, "default"))) return join(path, "default");
			}
		}
		return null;
	}

	async change(path: string, settings: ReadonlyMap<string, string>): Promise<void> {
		await this.write(path, withSettings(await readFile(path, "utf8"), settings));
	}

	/** 0600 from its first moment on. */
	async write(path: string, text: string): Promise<void> {
		const aside = `${path}.lqx`;
		try {
			await rm(aside, { force: true });
			const file = await open(aside, "wx", 0o600);
			try {
				await file.writeFile(text);
				await file.sync();
			} finally {
				await file.close();
			}
			await rename(aside, path);
		} catch (error) {
			await rm(aside, { force: true });
			throw error instanceof AppError ? error : fileError(error, "writing a record of open-iscsi");
		}
	}
}

async function entries(folder: string): Promise<string[]> {
	try {
		return await readdir(folder);
	} catch (error) {
		if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
		throw fileError(error, "reading the database of open-iscsi");
	}
}

async function isFile(path: string): Promise<boolean> {
	try {
		return (await stat(path)).isFile();
	} catch (error) {
		if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return false;
		throw fileError(error, "reading the database of open-iscsi");
	}
}
