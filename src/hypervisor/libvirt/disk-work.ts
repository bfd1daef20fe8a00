/**
 * What is done to the disks of a running domain while its guest goes on: growing, overlays, copies to another place, layers written
 * into each other. QEMU does the work, in jobs that outlive us and libvirt; here they are started, found again, waited for
 * and taken back. What is so is read from the XML of what runs each time: a job's end may have come while nobody listened.
 */
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { writeXml } from "../../lib/xml-writer.ts";
import { sourceName } from "../../model/disk-source.ts";
import type { BlockJob, BlockJobOptions, DomainDisk, LayersToMerge } from "../driver.ts";
import { blockCopyXml, overlaysXml } from "./domain/disk-work-xml.ts";
import { type RunningDisk, runningDisks, withDefinedIds } from "./domain/running-disks.ts";
import type { DomainLookup } from "./domain-lookup.ts";
import { expectEvent } from "./expect-event.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { isLibvirtError, libvirtErrors } from "./rpc/errors.ts";
import { blockCommitFlags, blockCopyFlags, blockJobAbortFlags, snapshotFlags, xmlFlags } from "./rpc/flags.ts";
import type { BlockJobInfo } from "./rpc/types.ts";
import { withKeys } from "./secrets.ts";

/** How often progress is looked at; the end of a job is an event. */
const pollMs = 500;

/** A job that somebody waits for: what it is, and how one sees that it has done what it was for. */
type Awaited = { what: string; isDone(disk: RunningDisk): boolean; options: BlockJobOptions };

export class DiskWork {
	readonly #client: LibvirtClient;
	readonly #clock: Clock;
	readonly #domains: DomainLookup;

	constructor(client: LibvirtClient, clock: Clock, domains: DomainLookup) {
		this.#client = client;
		this.#clock = clock;
		this.#domains = domains;
	}

	async resize(id: string, diskId: string, sizeBytes: number): Promise<void> {
		const { target, isDevice } = diskIn(await this.#disks(id), diskId);
		const { capacityBytes, physicalBytes } = await this.#client.domainGetBlockInfo({ uuid: id }, target);
		if (capacityBytes > sizeBytes) throw new AppError("invalid", "A disk in use cannot be made smaller.");
		if (isDevice && physicalBytes < sizeBytes)
			throw new AppError("wrong-state", "The device of the disk has not been grown yet.");
		// QEMU takes no other size of a device than what it has.
		const grown = isDevice ? physicalBytes : sizeBytes;
		if (capacityBytes < grown) await this.#client.domainBlockResize({ uuid: id }, target, grown);
	}

	async layers(id: string): Promise<{ diskId: string; layers: string[] }[]> {
		return (await this.#disks(id)).flatMap(({ id: diskId, layers }) =>
			diskId === null ? [] : [{ diskId, layers: layers.map(({ name }) => name) }],
		);
	}

	async switch(id: string, wanted: readonly { diskId: string; disk: DomainDisk }[]): Promise<void> {
		const disks = await this.#disks(id);
		const overlays = new Map<string, DomainDisk>();
		for (const { diskId, disk } of wanted) {
			if (disk.format !== "qcow2" || disk.source.kind === "rbd")
				throw new AppError("unsupported", "A disk can go on in an overlay that is a qcow2 file or device only.");
			const found = diskIn(disks, diskId);
			const [now] = found.layers;
			const [below] = disk.backing;
			if (now?.name === sourceName(disk.source)) continue;
			if (!below || now?.name !== sourceName(below.source))
				throw new AppError("wrong-state", `Disk ${diskId} is not on what its overlay rests on.`, {
					context: { now: now?.name, below },
				});
			overlays.set(found.target, disk);
		}
		if (overlays.size === 0) return;
		const { noMetadata, diskOnly, reuseExternal, atomic } = snapshotFlags;
		const xml = writeXml(overlaysXml(disks, overlays));
		await this.#client.domainSnapshotCreateXML({ uuid: id }, xml, noMetadata | diskOnly | reuseExternal | atomic);
	}

	async copy(id: string, diskId: string, target: DomainDisk, options: BlockJobOptions): Promise<void> {
		const name = sourceName(target.source);
		if (target.backing.length > 0) throw new AppError("invalid", "A copy of a disk rests on nothing.");
		const isDone = (disk: RunningDisk) => disk.layers[0]?.name === name;
		const start = (disk: RunningDisk) => {
			// A definition that is there to stay could be started again without the job; ours is made anew before each start.
			const flags = blockCopyFlags.reuseExternal | blockCopyFlags.transientJob;
			return withKeys(
				this.#client.domainBlockCopy({ uuid: id }, disk.target, writeXml(blockCopyXml(target)), {
					flags,
					...limitOf(options),
				}),
			);
		};
		const isOurs = ({ mirror }: RunningDisk) => mirror?.job === "copy" && mirror.target === name;
		await this.#run(id, diskId, { what: "The copy", isDone, options }, isOurs, start);
	}

	async commit(
		id: string,
		diskId: string,
		{ base, top, relative = false }: LayersToMerge,
		options: BlockJobOptions,
	): Promise<void> {
		const [baseName, topName] = [sourceName(base), sourceName(top)];
		const placeOf = (disk: RunningDisk, name: string) => disk.layers.findIndex((layer) => layer.name === name);
		const isDone = (disk: RunningDisk) => placeOf(disk, baseName) >= 0 && placeOf(disk, topName) < 0;
		const start = (disk: RunningDisk) => {
			const [at, downTo] = [placeOf(disk, topName), placeOf(disk, baseName)];
			if (at < 0 || downTo <= at)
				throw new AppError("wrong-state", `Disk ${diskId} has no such layers above each other.`, {
					context: { layers: disk.layers, base: baseName, top: topName },
				});
			return this.#client.domainBlockCommit({ uuid: id }, disk.target, {
				base: `${disk.target}[${disk.layers[downTo]?.index}]`,
				top: `${disk.target}[${disk.layers[at]?.index}]`,
				flags: at === 0 ? blockCommitFlags.active : relative ? blockCommitFlags.relative : 0,
				...limitOf(options),
			});
		};
		// Of a commit below what the guest writes to, libvirt does not say into which layer it goes.
		const isOurs = (disk: RunningDisk, info: BlockJobInfo | null) =>
			disk.mirror
				? disk.mirror.job === "active-commit" && disk.mirror.target === baseName && placeOf(disk, topName) === 0
				: info?.type === "commit" && placeOf(disk, topName) > 0;
		await this.#run(id, diskId, { what: "The commit", isDone, options }, isOurs, start);
	}

	async list(id: string): Promise<BlockJob[]> {
		const jobs: BlockJob[] = [];
		for (const disk of await this.#disks(id)) {
			if (disk.id === null) continue;
			const info = await this.#client.domainGetBlockJobInfo({ uuid: id }, disk.target);
			if (!info && !disk.mirror) continue;
			const { job = info?.type, target = null, ready = false } = disk.mirror ?? {};
			const kind = job === "copy" || job === "commit" || job === "active-commit" ? job : "other";
			jobs.push({ diskId: disk.id, kind, ready, target, progress: ready ? 1 : doneOf(info) });
		}
		return jobs;
	}

	async abort(id: string, diskId: string): Promise<void> {
		const disk = diskIn(await this.#disks(id), diskId);
		if (!disk.mirror && !(await this.#client.domainGetBlockJobInfo({ uuid: id }, disk.target))) return;
		await this.#takeBack(id, disk.target);
	}

	/** Starts the job, or adopts the one that is there, and sees it through. */
	async #run(
		id: string,
		diskId: string,
		job: Awaited,
		isOurs: (disk: RunningDisk, info: BlockJobInfo | null) => boolean,
		start: (disk: RunningDisk) => Promise<void>,
	): Promise<void> {
		throwIfCanceled(job.options.signal);
		const disk = diskIn(await this.#disks(id), diskId);
		const info = await this.#client.domainGetBlockJobInfo({ uuid: id }, disk.target);
		if (!info && !disk.mirror) {
			if (!job.isDone(disk)) await start(disk);
		} else {
			if (!isOurs(disk, info)) throw new AppError("wrong-state", `Something else is being done to disk ${diskId}.`);
			await this.#setSpeed(id, disk.target, job.options.bytesPerSecond ?? 0);
		}
		await this.#seeThrough(id, diskId, disk.target, job);
	}

	async #seeThrough(id: string, diskId: string, target: string, { what, isDone, options }: Awaited): Promise<void> {
		const { signal } = options;
		let told = 0;
		let mayGoOver = options.beforeSwitch === undefined;
		const tell = (done: number) => {
			told = Math.max(told, done);
			options.progress?.(told);
		};
		for (;;) {
			// Listening begins before looking, so that nothing falls between.
			const news = expectEvent(this.#client, this.#clock, pollMs, ({ domain, ...event }) =>
				domain.uuid === id && event.kind === "block-job" && event.disk === target ? true : null,
			);
			const wake = () => news.cancel();
			signal?.addEventListener("abort", wake);
			try {
				const disk = diskIn(await this.#disks(id), diskId);
				const info = await this.#client.domainGetBlockJobInfo({ uuid: id }, target);
				if (!info && !disk.mirror) {
					// It may have ended between the two questions.
					if (!isDone(diskIn(await this.#disks(id), diskId)))
						throw new AppError(
							"hypervisor",
							`${what} of disk ${diskId} ended before it was done: it was taken back, or where it went to has another size, has no room, or cannot be written.`,
						);
					return tell(1);
				}
				if (signal?.aborted) {
					await this.#takeBack(id, target);
					if (isDone(diskIn(await this.#disks(id), diskId))) return tell(1);
					throwIfCanceled(signal);
				}
				tell(doneOf(info));
				if (disk.mirror?.ready && !mayGoOver) {
					await options.beforeSwitch?.().catch(async (error: unknown) => {
						await this.#takeBack(id, target);
						throw error;
					});
					mayGoOver = true;
				}
				if (!(disk.mirror?.ready && (await this.#goOver(id, target)))) await news.result;
			} finally {
				signal?.removeEventListener("abort", wake);
				news.cancel();
			}
		}
	}

	/** False when it is not ready after all. */
	async #goOver(id: string, target: string): Promise<boolean> {
		try {
			await this.#unlessEnded(id, target, () =>
				this.#client.domainBlockJobAbort({ uuid: id }, target, blockJobAbortFlags.pivot),
			);
			return true;
		} catch (error) {
			if (isLibvirtError(error, libvirtErrors.blockCopyActive)) return false;
			throw error;
		}
	}

	#takeBack(id: string, target: string): Promise<void> {
		return this.#unlessEnded(id, target, () => this.#client.domainBlockJobAbort({ uuid: id }, target, 0));
	}

	#setSpeed(id: string, target: string, bytesPerSecond: number): Promise<void> {
		return this.#unlessEnded(id, target, () =>
			this.#client.domainBlockJobSetSpeed({ uuid: id }, target, bytesPerSecond),
		);
	}

	/** For calls about a job that may have ended meanwhile, for which libvirt has more than one error. */
	async #unlessEnded(id: string, target: string, call: () => Promise<void>): Promise<void> {
		try {
			await call();
		} catch (error) {
			if (!isLibvirtError(error) || (await this.#client.domainGetBlockJobInfo({ uuid: id }, target))) throw error;
		}
	}

	async #disks(id: string): Promise<RunningDisk[]> {
		const running = runningDisks(await this.#domains.readActive(id));
		if (running.every((disk) => disk.id !== null || disk.isCdrom)) return running;
		return withDefinedIds(running, runningDisks(await this.#domains.read(id, xmlFlags.inactive)));
	}
}

function diskIn(disks: readonly RunningDisk[], diskId: string): RunningDisk {
	const disk = disks.find((candidate) => candidate.id === diskId);
	if (!disk) throw new AppError("not-found", `The VM has no disk ${diskId}.`);
	return disk;
}

function throwIfCanceled(signal: AbortSignal | undefined): void {
	if (signal?.aborted) throw new AppError("canceled", "The work on the disk was canceled.");
}

const doneOf = (info: BlockJobInfo | null): number =>
	info && info.endBytes > 0 ? Math.min(1, info.currentBytes / info.endBytes) : 0;

const limitOf = ({ bytesPerSecond }: BlockJobOptions) => (bytesPerSecond === undefined ? {} : { bytesPerSecond });
