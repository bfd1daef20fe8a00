/**
 * Which records of open-iscsi's database this node has made, or has changed for a pool, and what was in them before: only those are taken
 * away, or put back. Others are the administrator's. Written before the record is touched, in a folder that outlives a restart of the
 * machine, as the records do, with their passwords.
 */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { Logger } from "../../lib/log.ts";
import { syncFolder, writeFileDurably } from "../durable.ts";
import { errnoOf } from "../file-errors.ts";
import type { Portal } from "./names.ts";

const MadeRecord = Type.Object({
	target: Type.String(),
	host: Type.String(),
	port: Type.Integer(),
	/** The administrator's record, whole; null: there was none. */
	before: Type.Union([Type.String(), Type.Null()]),
});
export type MadeRecord = Static<typeof MadeRecord>;

export class MadeRecords {
	readonly #folder: string;

	/** `stagingFolder`: the daemon's own, 0700 below a folder of root's. */
	constructor(stagingFolder: string) {
		this.#folder = join(stagingFolder, "iscsi-records");
	}

	async get(target: string, portal: Portal): Promise<MadeRecord | null> {
		return read(this.#path(target, portal));
	}

	/** `before` counts the first time only: afterwards the record is ours. */
	async note(target: string, { host, port }: Portal, before: string | null): Promise<void> {
		if ((await this.get(target, { host, port })) !== null) return;
		await mkdir(this.#folder, { recursive: true, mode: 0o700 });
		const record: MadeRecord = { target, host, port, before };
		await writeFileDurably(this.#path(target, { host, port }), JSON.stringify(record));
	}

	async forget(target: string, portal: Portal): Promise<void> {
		await rm(this.#path(target, portal), { force: true });
		await syncFolder(this.#folder).catch(whenMissing);
	}

	/** One that cannot be read is left out. */
	async all(log: Logger): Promise<MadeRecord[]> {
		const names = await readdir(this.#folder).catch((error) => {
			whenMissing(error);
			return [];
		});
		const found = await Promise.all(
			names
				.filter((name) => name.endsWith(".json"))
				.map((name) =>
					read(join(this.#folder, name)).catch((error) => {
						log.warn("A note about a record of open-iscsi cannot be read", { name, error });
						return null;
					}),
				),
		);
		return found.filter((one) => one !== null);
	}

	#path(target: string, { host, port }: Portal): string {
		const name = new Bun.CryptoHasher("sha256").update(`${target}\0${host}\0${port}`).digest("hex").slice(0, 32);
		return join(this.#folder, `${name}.json`);
	}
}

async function read(path: string): Promise<MadeRecord | null> {
	try {
		const value: unknown = JSON.parse(await readFile(path, "utf8"));
		return Value.Check(MadeRecord, value) ? value : null;
	} catch (error) {
		if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return null;
		throw error;
	}
}

function whenMissing(error: unknown): void {
	if (errnoOf(error) !== "ENOENT") throw error;
}
