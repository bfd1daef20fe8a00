/**
 * dm-multipath for a LUN that several portals lead to. multipathd of the host does the work; only the LUN of this pool is made known
 * to it, by the WWID that it reads itself from one of the paths, and only that LUN's behaviour is set, in a file of ours under
 * /etc/multipath/conf.d. Both go when the pool is let go of. A note in the daemon's folder says for each pool that the file is ours, and which
 * WWID was not in /etc/multipath/wwids before.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { delay } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import { errnoOf } from "../file-errors.ts";
import { boundedRun } from "./bounded-run.ts";
import type { IscsiDisk, Sysfs } from "./sysfs.ts";

const limitMs = 20_000;
const mapWaitMs = 20_000;
const pollMs = 100;

export type MultipathMap = {
	/** "dm-2". */ device: string /** "mpatha", or the WWID as multipath writes it. */;
	name: string;
	uuid: string;
};

export class Multipath {
	readonly #sysfs: Sysfs;
	readonly #clock: Clock;
	readonly #noteFolder: string;
	readonly #confFolder: string;
	readonly #wwidsFile: string;
	readonly #run: typeof boundedRun;

	/** `noteFolder`: the daemon's own, which outlives a restart of the machine as the settings do. `program`: for tests. */
	constructor(
		sysfs: Sysfs,
		clock: Clock,
		noteFolder: string,
		confFolder = "/etc/multipath/conf.d",
		program = boundedRun,
	) {
		this.#run = program;
		this.#noteFolder = join(noteFolder, "multipath-settings");
		this.#sysfs = sysfs;
		this.#clock = clock;
		this.#confFolder = confFolder;
		this.#wwidsFile = join(dirname(confFolder), "wwids");
	}

	/** The map that these disks are paths of; null when there is none. */
	async mapOf(disks: readonly IscsiDisk[]): Promise<MultipathMap | null> {
		for (const disk of disks)
			for (const device of await this.#sysfs.holders(disk.device)) {
				const uuid = await this.#sysfs.mapperUuid(device);
				const name = await this.#sysfs.mapperName(device);
				if (uuid?.startsWith("mpath-") && name !== null) return { device, name, uuid };
			}
		return null;
	}

	/**
	 * Makes the map when there is none, also of one path: those that come later are joined to it by multipathd. Waits for every path to be in
	 * it, and in the end is content with some.
	 */
	async ensure(poolId: string, disks: readonly IscsiDisk[]): Promise<MultipathMap> {
		const [first] = disks;
		if (!first) throw new AppError("internal", "A multipath map has paths.");
		const deadline = this.#clock.monotonicMs() + mapWaitMs;
		let [askedForMap, askedForPaths] = [false, false];
		for (;;) {
			const map = await this.mapOf(disks);
			const isLate = this.#clock.monotonicMs() > deadline;
			if (map !== null) {
				const parts = await this.#sysfs.parts(map.device);
				const missing = disks.filter((disk) => !parts.includes(disk.device));
				if (missing.length === 0 || isLate) {
					await this.#configure(poolId, map);
					return map;
				}
				if (!askedForPaths)
					for (const disk of missing) await this.#daemon(["add", "path", disk.device]).catch(() => {});
				askedForPaths = true;
			} else if (!askedForMap) {
				// Only what it was told of becomes multipath (find_multipaths strict): this one LUN.
				await this.#makeKnown(poolId, first);
				// It has seen the paths before, and takes them for single disks: adding them again is refused.
				await this.#daemon(["reconfigure"]);
				askedForMap = true;
			}
			if (map === null && isLate)
				throw new AppError("storage", "The paths to the LUN were not joined: does multipathd run on this node?");
			await delay(this.#clock, pollMs);
		}
	}

	/** By an entry of ours, unless there is one already: whoever has made that keeps it. */
	async #makeKnown(poolId: string, disk: IscsiDisk): Promise<void> {
		const before = await this.#wwids();
		await this.#run("multipath", ["-a", `/dev/${disk.device}`], { timeoutMs: limitMs });
		const [added] = (await this.#wwids()).filter((wwid) => !before.includes(wwid));
		if (added !== undefined) await this.#note(poolId, added);
	}

	async #wwids(): Promise<string[]> {
		const text = await textOf(this.#wwidsFile);
		return (text ?? "").split("\n").flatMap((line) => /^\/(.+)\/$/.exec(line)?.[1] ?? []);
	}

	/** The WWID that was made known for each pool; "" for one whose LUN was known before. */
	async #notes(): Promise<Map<string, string>> {
		const names = await readdir(this.#noteFolder).catch((error) => {
			if (errnoOf(error) === "ENOENT") return [];
			throw error;
		});
		const notes = new Map<string, string>();
		for (const id of names.filter(isUuid)) notes.set(id, (await textOf(join(this.#noteFolder, id))) ?? "");
		return notes;
	}

	async #note(poolId: string, wwid: string): Promise<void> {
		await mkdir(this.#noteFolder, { recursive: true, mode: 0o700 });
		await writeFile(join(this.#noteFolder, poolId), wwid, { mode: 0o600, flush: true });
	}

	/** A VM's disk fails instead of hanging for ever when all paths are gone: its VM pauses, and goes on afterwards. */
	async #configure(poolId: string, map: MultipathMap): Promise<void> {
		const wwid = wwidOf(map);
		if (!/^[\x21\x23-\x7e]{1,128}$/.test(wwid)) return;
		const path = this.#confFile(poolId);
		const own = [wwidLine(wwid), "\t\tno_path_retry 4"];
		const text = [
			"# By limiquantix, for a storage pool.",
			"multipaths {",
			"\tmultipath {",
			...own,
			"\t}",
			"}",
			"",
		].join("\n");
		// Before: another daemon of this host has settings of its own in that folder. What a try of the pool made known is the pool's as well.
		await this.#note(poolId, [...(await this.#notes()).values()].includes(wwid) ? wwid : "");
		if ((await textOf(path)) === text) return;
		await mkdir(this.#confFolder, { recursive: true, mode: 0o755 });
		await writeFile(path, text, { mode: 0o644 });
		await this.#daemon(["reconfigure"]);
	}

	#confFile = (poolId: string): string => join(this.#confFolder, `limiquantix-${poolId}.conf`);

	/** After the LUN grew, and its paths were rescanned. */
	resize = (map: MultipathMap): Promise<void> => this.#daemon(["resize", "map", map.name]);

	/** Before the sessions end: a map without paths would stay. One that another pool of this node has set up, too, is that one's. */
	async remove(poolId: string, map: MultipathMap | null): Promise<void> {
		if (map !== null && !(await this.#isOthers(poolId, map))) await this.flush(map);
		await this.#forget(poolId);
	}

	async #isOthers(poolId: string, map: MultipathMap): Promise<boolean> {
		for (const id of (await this.#notes()).keys())
			if (id !== poolId && (await textOf(this.#confFile(id)))?.includes(wwidLine(wwidOf(map)))) return true;
		return false;
	}

	/** What fails leaves the note: at the next start it is tried again. */
	async #forget(poolId: string): Promise<void> {
		await rm(this.#confFile(poolId), { force: true });
		const notes = await this.#notes();
		const wwid = notes.get(poolId) ?? "";
		notes.delete(poolId);
		try {
			// Without it the LUN would become multipath wherever else it is used on this host.
			if (wwid !== "" && ![...notes.values()].includes(wwid))
				await this.#run("multipath", ["-w", wwid], { timeoutMs: limitMs });
		} catch (error) {
			if (!isAppError(error)) throw error;
			return;
		}
		await rm(join(this.#noteFolder, poolId), { force: true });
	}

	/** Takes a map away that nobody uses. */
	async flush(map: MultipathMap): Promise<void> {
		await this.#run("multipath", ["-f", map.name], { timeoutMs: limitMs });
	}

	/** Settings that this daemon has made, for pools that it has not. `isHere` is asked right before: pools come while a node starts. */
	async forgetOthers(isHere: (poolId: string) => boolean): Promise<void> {
		for (const id of (await this.#notes()).keys()) if (!isHere(id)) await this.#forget(id);
	}

	async #daemon(command: string[]): Promise<void> {
		const { stdout } = await this.#run("multipathd", command, { timeoutMs: limitMs }).catch((cause) => {
			if (!isAppError(cause, "internal")) throw cause;
			const message = `multipathd does not run on this node, or refuses (${command.join(" ")}): a pool with several portals needs it.`;
			throw new AppError("storage", message, { context: cause.context, cause });
		});
		if (/^(fail|error|timeout)/m.test(stdout))
			throw new AppError("storage", `multipathd refused: ${command.join(" ")}.`, { context: { stdout } });
	}
}

const wwidOf = ({ uuid }: MultipathMap): string => uuid.replace(/^mpath-/, "");
const wwidLine = (wwid: string): string => `\t\twwid "${wwid}"`;

async function textOf(path: string): Promise<string | null> {
	try {
		return await readFile(path, "utf8");
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return null;
		throw error;
	}
}
