/**
 * One NFS file system at one place of this node, mounted and unmounted by mount.nfs(8) and umount(8), each with a limit. Nothing here
 * looks into the mounted folder, nor at it: that alone may take for ever. What is mounted is read from /proc/self/mountinfo.
 */
import { lstat, readFile, rmdir } from "node:fs/promises";
import { AppError, isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { errnoOf, withFileErrors } from "../file-errors.ts";
import { makeFolders } from "../local/pool-place.ts";
import { isNfs, type MountEntry, mountsAt, parseMountinfo } from "./mountinfo.ts";
import { isOpenBelow } from "./open-below.ts";

const unmountLimitMs = 8000;
/** One over the other, by whatever mistake. */
const maxStacked = 8;

/** What is asked of this node; another one in tests. */
export type MountHost = {
	run: typeof run;
	mountinfo(): Promise<string>;
	/** Whether a process has something below the path open. */
	isOpenBelow(path: string): Promise<boolean>;
};
export const thisHost: MountHost = { run, mountinfo: () => readFile("/proc/self/mountinfo", "utf8"), isOpenBelow };

export type NfsMountOptions = { source: string; options: string; limitMs: number; host?: MountHost | undefined };

export class NfsMount {
	readonly path: string;
	readonly source: string;
	readonly options: string;
	readonly #limitMs: number;
	readonly #host: MountHost;
	/** Id of the mount that this has made: it is as it was to be. */
	#made: string | null = null;

	/** `path`: real, on a file system of this node, and nobody else's. */
	constructor(path: string, { source, options, limitMs, host = thisHost }: NfsMountOptions) {
		this.path = path;
		this.source = source;
		this.options = options;
		this.#limitMs = limitMs;
		this.#host = host;
	}

	/** What is mounted here now; null when nothing is. */
	async find(): Promise<MountEntry | null> {
		return mountsAt(parseMountinfo(await this.#host.mountinfo()), this.path).at(-1) ?? null;
	}

	/** Not of somebody before, who may have mounted it in another way. */
	isOurs = ({ id }: MountEntry): boolean => id === this.#made;

	/** Mounts it, unless an NFS file system is there. `in-use` when something else is; `timeout`, `storage` with the words of mount.nfs(8). */
	async mount(): Promise<MountEntry> {
		const there = await this.find();
		if (there !== null) {
			if (!isNfs(there))
				throw new AppError("in-use", `Something else is mounted at ${this.path}: ${there.source} (${there.fsType}).`);
			return there;
		}
		await withFileErrors("making the folder to mount at", async () => {
			await makeFolders(this.path);
			if (!(await lstat(this.path)).isDirectory()) throw new AppError("invalid", `${this.path} is no folder.`);
		});
		try {
			// Not by mount(8), whose child it would be, and go on, when that is ended: past the limit, and with a mount in the end.
			await this.#host.run("mount.nfs", [this.source, this.path, "-o", this.options], { timeoutMs: this.#limitMs });
		} catch (error) {
			if ((await this.find()) !== null) await this.#detach();
			throw mountError(error, this.source, this.#limitMs);
		}
		const mounted = await this.find();
		if (mounted === null) throw new AppError("storage", `${this.source} was mounted and is not there.`, unmounted);
		this.#made = mounted.id;
		return mounted;
	}

	/**
	 * Unmounts, when it must be without waiting for the server, and removes the folder. `busy`: what becomes of it while somebody has
	 * files of it open; refused is `in-use`. That it cannot be unmounted because its server is gone is no such case: then it is looked up who has.
	 */
	async unmount({ busy }: { busy: "refuse" | "detach" }): Promise<void> {
		for (let count = 0; (await this.find()) !== null; count++) {
			if (count >= maxStacked) throw new AppError("storage", `${this.path} cannot be unmounted.`);
			try {
				await this.#host.run("umount", ["-c", "-i", "--", this.path], { timeoutMs: unmountLimitMs });
			} catch (error) {
				if ((await this.find()) === null) continue;
				const words = isAppError(error) ? String(error.context.stderr) : "";
				if (busy === "refuse" && (/busy/.test(words) || (await this.#host.isOpenBelow(this.path))))
					throw new AppError("in-use", "The pool cannot be unmounted: files of it are open.", { cause: error });
				await this.#detach();
			}
		}
		try {
			await rmdir(this.path);
		} catch (error) {
			if (!["ENOENT", "EBUSY", "ENOTEMPTY"].includes(errnoOf(error) ?? "")) throw error;
		}
	}

	/** Takes it from its place now, whoever has files of it open; the kernel lets go of it when they have not. */
	async #detach(): Promise<void> {
		try {
			await this.#host.run("umount", ["-c", "-i", "-l", "--", this.path], { timeoutMs: unmountLimitMs });
		} catch (error) {
			if ((await this.find()) === null) return;
			throw new AppError("storage", `${this.path} cannot be unmounted.`, { cause: error });
		}
	}
}

export const unmounted = { context: { health: "unmounted" } };

function mountError(error: unknown, source: string, limitMs: number): AppError {
	if (!isAppError(error)) return new AppError("internal", `${source} could not be mounted.`, { cause: error });
	const options = { cause: error, context: { ...error.context, ...unmounted.context } };
	if (error.code === "timeout")
		return new AppError("timeout", `${source} could not be mounted within ${limitMs / 1000} s: no answer.`, options);
	if (error.code === "unavailable")
		return new AppError(
			"unavailable",
			"NFS cannot be mounted on this node: the package nfs-common is missing.",
			options,
		);
	const stderr = typeof error.context.stderr === "string" ? error.context.stderr : "";
	if (/bad option|helper program|unknown filesystem type/.test(stderr))
		return new AppError(
			"unavailable",
			"NFS cannot be mounted on this node: nfs-common or the kernel's NFS is missing.",
			options,
		);
	const line =
		stderr
			.trim()
			.split("\n")
			.find((one) => /^mount(\.nfs4?)?:/.test(one)) ?? stderr.trim();
	// Where it is mounted is our matter, and the server was named already.
	const words = line
		.replace(/^mount(\.nfs4?)?: /, "")
		.replace(/ for \S+ on \/\S+$/, "")
		.replace(/[.\s]+$/, "")
		.slice(0, 300);
	const code = /timed out/i.test(words) ? "timeout" : "storage";
	return new AppError(code, `${source} could not be mounted: ${words || "no message"}.`, options);
}
