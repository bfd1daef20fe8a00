/**
 * The `nfs` pool: a folder of an export, mounted at <run folder>/<pool id>/mount, its files handled by a storage worker
 * (../worker). The daemon itself touches no path below the mount.
 *
 * Whose the files are: where the server leaves root as root, root's, as in a local pool, and libvirt gives them to QEMU. Where root is
 * squashed, nobody but QEMU's own user could use what that user has made, so the worker runs as QEMU's user; the export's
 * folder must be writable to it then.
 *
 * An export that went away and came back (ESTALE) is mounted anew; so is one that somebody has unmounted.
 */
import { readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { NfsPoolConfig } from "../../model/pool-config.ts";
import type { PoolCapabilities } from "../../model/storage.ts";
import type { PoolUsage } from "../driver.ts";
import { withFileErrors } from "../file-errors.ts";
import { withoutThick } from "../local/capabilities.ts";
import { isNotOurs } from "../local/pool-folder.ts";
import { makeFolders } from "../local/pool-place.ts";
import { requireId } from "../names.ts";
import type { StorageContext } from "../registry.ts";
import { isProbeMountName, probeMountName } from "../trial-names.ts";
import { workerCommand } from "../worker/command.ts";
import { WorkerDriver } from "../worker/driver.ts";
import { PoolWorker, type User } from "../worker/worker-pool.ts";
import type { WorkerCommand, WorkerLimits } from "../worker/worker-process.ts";
import { mountOptions, mountSource, otherOptions } from "./mount-options.ts";
import { type MountEntry, nfsVersion } from "./mountinfo.ts";
import { type MountHost, NfsMount, unmounted } from "./nfs-mount.ts";
import { qemuUser } from "./qemu-user.ts";

export type NfsDriverOptions = {
	poolId: string;
	config: NfsPoolConfig;
	/** False once the pool has been ready: an empty folder then is an error. Default true. */
	mayInitialize?: boolean;
	limits?: Partial<WorkerLimits> & { mountMs?: number };
	/** Default: this very program. */
	worker?: WorkerCommand;
	/** This node, but for tests. */
	host?: MountHost;
} & Pick<StorageContext, "nodeId" | "random" | "clock" | "log" | "protectedPaths" | "runFolder">;

/** `check` waits so long for mounting it anew; that goes on by itself. */
const healWaitMs = 4000;
const mountLimitMs = 20_000;
/** A mount of before that has other settings is tried to be let go of so often: as the node does with a pool whose settings change. */
const askEveryMs = 30_000;

export class NfsDriver extends WorkerDriver {
	readonly #options: NfsDriverOptions;
	readonly #mount: NfsMount;
	/** Mounting and unmounting, one after the other. */
	#turn: Promise<unknown> = Promise.resolve();
	#healing: Promise<void> | null = null;
	#active = false;
	/** Whom the worker runs as; null while that is not known. */
	#user: { user: User | null } | null = null;
	#version: string | null = null;
	/** In what way the mount is not as the settings say: it was there, and somebody uses it. Null when it is. */
	#otherwise: string | null = null;
	#askedMonotonicMs = Number.NEGATIVE_INFINITY;
	/** Volumes that VMs may be about to open, as far as this process has been told. */
	readonly #opened = new Set<string>();
	readonly #probes = new Set<string>();

	constructor(options: NfsDriverOptions) {
		requireId(options.poolId, "pool");
		const mount = mountAt(options, "mount");
		super("nfs", workerOptions(options, mount.path, options.mayInitialize ?? true));
		this.#options = options;
		this.#mount = mount;
	}

	override get capabilities(): PoolCapabilities {
		const known = super.capabilities;
		if (this.#version === null || this.#version === "4.2") return known;
		const thick = `Volumes here are thin: setting space aside on the server needs NFS 4.2, and this is ${this.#version}.`;
		const found = withoutThick(known, thick);
		const discard = `Space that guests give back is not freed on the server: that needs NFS 4.2, and this is ${this.#version}.`;
		return { ...found, reasons: { ...found.reasons, discard } };
	}

	override activate(): Promise<void> {
		return this.#inTurn(async () => {
			await this.#removeProbes();
			await this.#mountWhole();
			this.#active = true;
		});
	}

	async #mountWhole(): Promise<void> {
		this.#version = nfsVersion(await this.#mountAsSet());
		try {
			await this.#prepare();
		} catch (error) {
			if (!isStale(error)) throw error;
			await this.#mountAnew();
		}
	}

	/**
	 * A mount that was there is perhaps one of before the settings were changed, while no daemon ran: mounted anew when nobody uses it, else taken as
	 * it is for now.
	 */
	async #mountAsSet(): Promise<MountEntry> {
		const there = await this.#mount.mount();
		this.#otherwise = this.#mount.isOurs(there) ? null : otherwise(this.#mount, there);
		if (this.#otherwise === null) return there;
		this.#askedMonotonicMs = this.#options.clock.monotonicMs();
		try {
			if (this.#opened.size > 0) return there;
			await this.worker.leave(() => this.#mount.unmount({ busy: "refuse" }));
		} catch (error) {
			if (!isAppError(error)) throw error;
			const still = await this.#mount.find();
			if (still !== null) return still;
		}
		this.#otherwise = null;
		this.#user = null;
		return this.#mount.mount();
	}

	async #mountAnew(): Promise<void> {
		await this.worker.end("works on a mount that is gone");
		this.#user = null;
		this.#otherwise = null;
		await this.#mount.unmount({ busy: "detach" });
		this.#version = nfsVersion(await this.#mount.mount());
		await this.#prepare();
	}

	async #prepare(): Promise<void> {
		// Asked once for a mount: a worker that is at work is not ended for that.
		this.#user ??= { user: await workerUser(this.worker, this.#mount.path) };
		const { user } = this.#user;
		this.worker.runAs(user);
		await super.activate().catch((error: unknown) => {
			throw permissionError(error, user, this.#options.config);
		});
	}

	/** `in-use`, and all goes on as it was, while a VM or the worker itself is at work there. */
	override deactivate(): Promise<void> {
		return this.#inTurn(async () => {
			await this.worker.leave(() => this.#mount.unmount({ busy: "refuse" }));
			this.#active = false;
			this.#user = null;
			this.#otherwise = null;
		});
	}

	override async remove(): Promise<void> {
		try {
			await this.#inTurn(() => this.#mountWhole());
			await super.remove();
		} catch (error) {
			// Done before, or the place is another pool's by now.
			if (!isNotOurs(error)) throw error;
		}
		await this.deactivate();
	}

	override openVolume = (id: string): Promise<void> => {
		this.#opened.add(id);
		return this.ask("openVolume", [id], this.worker.limits.lookMs, { look: true });
	};

	override closeVolume = (id: string): Promise<void> => {
		this.#opened.delete(id);
		return this.ask("closeVolume", [id], this.worker.limits.lookMs, { look: true });
	};

	override async check(): Promise<PoolUsage> {
		const { clock } = this.#options;
		if (this.#otherwise !== null && clock.monotonicMs() - this.#askedMonotonicMs >= askEveryMs) await this.#heal(false);
		const usage = await this.#check();
		return this.#otherwise === null ? usage : { ...usage, warning: this.#otherwise };
	}

	async #check(): Promise<PoolUsage> {
		if ((await this.#mount.find()) === null) {
			if (!this.#active)
				throw new AppError("storage", `${mountSource(this.#options.config)} is not mounted.`, unmounted);
			await this.#heal(false);
		}
		try {
			return await super.check();
		} catch (error) {
			if (!this.#active || !isStale(error)) throw error;
			await this.#heal(true);
			return super.check();
		}
	}

	/** Goes on when the caller no longer waits; the next check finds what came of it. */
	async #heal(stale: boolean): Promise<void> {
		this.#healing ??= this.#inTurn(() => (stale ? this.#mountAnew() : this.#mountWhole())).finally(() => {
			this.#healing = null;
		});
		this.#healing.catch((error) => this.#options.log.warn("an NFS pool is not back yet", { error }));
		const { promise: late, reject } = Promise.withResolvers<never>();
		const gone = new AppError("timeout", `${mountSource(this.#options.config)} is being mounted anew.`, unmounted);
		const timer = this.#options.clock.schedule(healWaitMs, () => reject(gone));
		try {
			await Promise.race([this.#healing, late]);
		} finally {
			timer.cancel();
		}
	}

	/** Mounted aside, so that a pool that works is left alone. */
	override async probe(): Promise<PoolUsage> {
		const name = probeMountName(this.#options.random);
		const mount = mountAt(this.#options, name);
		const worker = new PoolWorker(workerOptions(this.#options, mount.path, true));
		this.#probes.add(name);
		try {
			await mount.mount();
			const user = await workerUser(worker, mount.path);
			worker.runAs(user);
			const { value } = await (await worker.get())
				.call("probe", [], { limitMs: worker.limits.lookMs })
				.catch((error: unknown) => {
					throw permissionError(error, user, this.#options.config);
				});
			return value as PoolUsage;
		} finally {
			await worker.end("was ended");
			await mount.unmount({ busy: "detach" }).finally(() => this.#probes.delete(name));
		}
	}

	/** What a daemon that was killed has left mounted. */
	async #removeProbes(): Promise<void> {
		const folder = join(this.#options.runFolder, this.#options.poolId);
		await withFileErrors("preparing the folder for the mount", async () => {
			await makeFolders(folder);
			// The worker works with real paths only; this one is of this node.
			if ((await realpath(folder)) !== folder)
				throw new AppError("invalid", `The folder ${folder} is reached by a link.`);
		});
		for (const name of await readdir(folder))
			if (isProbeMountName(name) && !this.#probes.has(name))
				await mountAt(this.#options, name).unmount({ busy: "detach" });
	}

	#inTurn<T>(work: () => Promise<T>): Promise<T> {
		const result = this.#turn.then(work);
		this.#turn = result.catch(() => {});
		return result;
	}
}

function mountAt({ config, runFolder, poolId, limits, host }: NfsDriverOptions, name: string): NfsMount {
	const source = mountSource(config);
	return new NfsMount(join(runFolder, poolId, name), {
		...{ source, options: mountOptions(config), limitMs: limits?.mountMs ?? mountLimitMs, host },
	});
}

/** Null when the mount is as it is to be, as far as that can be seen. */
function otherwise(wanted: NfsMount, there: MountEntry): string | null {
	const options = otherOptions(wanted.options, there);
	const [from, source] = [there.source, wanted.source].map((one) => one.replace(/(?<!:)\/+$/, ""));
	const all = from === source ? options : [{ found: there.source, wanted: wanted.source }, ...options];
	if (all.length === 0) return null;
	const list = (of: "found" | "wanted") => all.map((one) => one[of]).join(", ");
	return `The changed settings take effect here when nothing uses the pool: it is mounted with ${list("found")} still, and not with ${list("wanted")}.`;
}

const workerOptions = (options: NfsDriverOptions, mountPath: string, mayInitialize: boolean) => ({
	command: options.worker ?? workerCommand(),
	...{ clock: options.clock, log: options.log, limits: options.limits ?? {} },
	notImported: options.protectedPaths,
	pool: {
		...{ poolId: options.poolId, path: join(mountPath, options.config.folder ?? ""), mayInitialize },
		...{ protectedPaths: [...options.protectedPaths], otherPools: [], sharedBy: options.nodeId, lockWaitMs: null },
	},
});

/** Null: root stays root there, or we are not root. Else QEMU's user. */
async function workerUser(worker: PoolWorker, mountPath: string): Promise<User | null> {
	const user = process.geteuid?.() === 0 ? await qemuUser() : null;
	if (user === null) return null;
	worker.runAs(null);
	const { value: madeBy } = await (await worker.get()).call("madeBy", [mountPath], { limitMs: worker.limits.lookMs });
	return madeBy === 0 ? null : user;
}

const isStale = (error: unknown): boolean => isAppError(error) && error.context.errno === "ESTALE";

function permissionError(error: unknown, user: User | null, { exportPath, folder }: NfsPoolConfig): unknown {
	if (!isAppError(error, "storage") || !["EACCES", "EPERM"].includes(String(error.context.errno))) return error;
	const where = folder === null ? exportPath : `${exportPath}/${folder}`;
	const who = user === null ? "this node" : `QEMU's user (${user.uid}:${user.gid}), for root is nobody there`;
	return new AppError(
		"storage",
		`The server lets ${who} not write to ${where}. Change the owner or mode of that folder.`,
		{
			...{ cause: error, context: error.context },
		},
	);
}
