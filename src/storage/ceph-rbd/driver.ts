/**
 * Pools of type `ceph-rbd`: a pool (and namespace) of a Ceph cluster that somebody else runs; volumes and images are images of
 * RBD. Everything is done by Ceph's own programs, with a configuration and keyring of the pool's own. See names.ts for what is in
 * the pool, work.ts for what is half done. One instance serves one pool; `activate()` comes first.
 */
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import type { run } from "../../lib/run.ts";
import type { HostSecret, RbdSource } from "../../model/disk-source.ts";
import type { CephRbdPoolConfig } from "../../model/pool-config.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { ContentOptions } from "../content.ts";
import type {
	Adoptable,
	FileToAdopt,
	ListedVolume,
	LongOptions,
	PoolFencing,
	PoolUsage,
	StorageDriver,
	UploadOptions,
	VolumeInfo,
	VolumeSnapshots,
} from "../driver.ts";
import type { Step } from "../durable.ts";
import { inspectLimits } from "../inspect/inspect-image.ts";
import { requireId } from "../names.ts";
import { OperationLocks } from "../operation-locks.ts";
import { requireProvisioning, requireReceivable } from "../provisioning.ts";
import type { StorageContext } from "../registry.ts";
import { probeFolder } from "../trial-names.ts";
import { cephRbdCapabilities } from "./capabilities.ts";
import { type ClientFiles, clientFiles, removeClientFiles, writeClientFiles } from "./client-files.ts";
import { listContent } from "./content.ts";
import type { RbdContext } from "./context.ts";
import { describeVolume, listVolumes } from "./describe.ts";
import { RbdFencing } from "./fencing.ts";
import { hostSecret, sourceIn } from "./host-secret.ts";
import { RbdDiskImages } from "./images.ts";
import { PoolCalls } from "./pool-calls.ts";
import { claimPool, leavePlace, requireOwner } from "./pool-marker.ts";
import { RbdImages } from "./rbd-images.ts";
import { CephRunner } from "./runner.ts";
import { RbdSnapshots } from "./snapshots.ts";
import { Staging } from "./staging.ts";
import { RbdTransfer } from "./transfer.ts";
import { checkPool, found, probePool } from "./usage.ts";
import { RbdVolumes } from "./volumes.ts";
import { RbdWork } from "./work.ts";

export type CephRbdDriverOptions = StorageContext & {
	poolId: string;
	config: CephRbdPoolConfig;
	/** Base64, as in a keyring. */
	key: string;
	/** False once the pool has been ready: then a place without its mark is not a new pool. Default true. */
	mayInitialize?: boolean;
	/** That the hypervisor opens images in a namespace: libvirt itself does not, as far as we know all its versions. Default false. */
	opensNamespaces?: boolean;
	/** How long one operation waits for another on the same object (default 10 s). */
	lockWaitMs?: number;
	/** Called before each change in the cluster and in the staging folder; for tests that end the process there. */
	onStep?: Step;
	/** What Ceph's programs are run by, but for tests (default lib/run.ts). */
	run?: typeof run;
};

const noFiles =
	"A Ceph pool holds no files, so it takes none over where they lie. Import the file as an image instead.";

export class CephRbdDriver implements StorageDriver {
	readonly type = "ceph-rbd";
	readonly capabilities = cephRbdCapabilities;
	readonly hostSecrets: readonly HostSecret[];
	readonly snapshots: VolumeSnapshots;
	readonly fencing: PoolFencing;
	readonly #options: CephRbdDriverOptions;
	readonly #files: ClientFiles;
	readonly #staging: Staging;
	readonly #calls: PoolCalls;
	readonly #context: RbdContext;
	readonly #volumes: RbdVolumes;
	readonly #diskImages: RbdDiskImages;
	readonly #transfer: RbdTransfer;

	constructor(options: CephRbdDriverOptions) {
		requireId(options.poolId, "pool");
		const { poolId, config } = options;
		this.#options = options;
		this.#files = clientFiles(join(options.runFolder, poolId), config.user);
		this.hostSecrets = [hostSecret(poolId, options.key)];
		const calls = new PoolCalls(options.clock);
		this.#calls = calls;
		const runner = new CephRunner(this.#files, config, options.onStep, options.run);
		const images = new RbdImages(runner, config.dataPool);
		const locks = new OperationLocks(options.lockWaitMs, options.clock);
		const log = options.log.with({ poolId });
		const shared = { locks, log, inspectLimits, protectedPaths: [...options.protectedPaths] };
		this.#context = {
			...{ poolId, runner, images, ...shared },
			work: new RbdWork(runner, images, { ...options, log }),
			source: (name): RbdSource => sourceIn(poolId, config, name),
		};
		const root = join(options.stagingFolder, poolId);
		const { random, clock } = options;
		this.#staging = new Staging({ ...shared, root, random, clock, step: runner.step });
		this.#diskImages = new RbdDiskImages(this.#context, this.#staging);
		this.#volumes = new RbdVolumes(this.#context, this.#diskImages);
		this.#transfer = new RbdTransfer(this.#context, this.#volumes, this.#staging);
		const [snapshots, fencing] = [new RbdSnapshots(this.#context), new RbdFencing(this.#context)];
		this.snapshots = {
			take: (...args) => calls.change(() => snapshots.take(...args)),
			revert: (...args) => calls.change(() => snapshots.revert(...args)),
			delete: (...args) => calls.change(() => snapshots.delete(...args)),
			list: (...args) => calls.look(() => snapshots.list(...args)),
		};
		this.fencing = {
			clients: (...args) => calls.look(() => fencing.clients(...args)),
			fence: (...args) => calls.change(() => fencing.fence(...args)),
			unfence: (...args) => calls.change(() => fencing.unfence(...args)),
			fenced: () => calls.look(() => fencing.fenced()),
			takeFrom: (...args) => calls.change(() => fencing.takeFrom(...args)),
		};
	}

	async activate(): Promise<void> {
		const { runner, work, images } = this.#context;
		const { poolId, mayInitialize } = this.#options;
		this.#begin();
		await this.#staging.prepare();
		const names = await found(runner, () => images.names());
		if (mayInitialize ?? true) await claimPool(runner, poolId);
		else await requireOwner(runner, poolId);
		await work.tidy(names);
	}

	#begin(): void {
		this.#writeFiles();
		this.#context.runner.open();
		this.#context.work.begin();
		this.#calls.begin();
	}

	/**
	 * A VM that has disks of the pool open is no obstacle: QEMU has its connections to the cluster, and its key from libvirt. So a key that
	 * the cluster takes no more, say, can be changed while VMs run.
	 */
	async deactivate(): Promise<void> {
		await this.#leave(async () => {});
	}

	async remove(): Promise<void> {
		const { runner, work } = this.#context;
		await this.#leave(async () => {
			this.#writeFiles();
			runner.open();
			work.begin();
			await leavePlace(runner, this.#options.poolId, () => work.tidy());
		});
	}

	/** What this driver tidies up by itself is called off: whoever opens the pool goes on with it. */
	async #leave(last: () => Promise<void>): Promise<void> {
		const { runner, work } = this.#context;
		await this.#calls.leave(
			() => work.isBusy || !this.#isFree(),
			async () => {
				await work.stop();
				try {
					await last();
					await work.stop();
					removeClientFiles(this.#files);
					runner.close();
				} catch (error) {
					work.begin();
					work.tidyLater();
					throw error;
				}
			},
		);
	}

	/** A stream, or an upload, has a lock until it ends. */
	#isFree(): boolean {
		using free = this.#context.locks.close([]);
		return free !== null;
	}

	async end(): Promise<void> {
		this.#context.runner.close();
		await this.#context.work.stop();
	}

	async probe(): Promise<PoolUsage> {
		this.#requireOpenable();
		// Files of its own: a pool that is in use goes on with its.
		const { poolId, nodeId, config, runFolder, clock, random } = this.#options;
		const files = clientFiles(probeFolder(runFolder, poolId, random), config.user);
		const runner = new CephRunner(files, config, undefined, this.#options.run);
		try {
			this.#writeFiles(files);
			return await probePool(runner, new RbdImages(runner, config.dataPool), { poolId, nodeId, config, clock });
		} finally {
			removeClientFiles(files);
		}
	}

	check = (): Promise<PoolUsage> =>
		this.#calls.look(() => checkPool(this.#context.runner, this.#options.poolId, this.#options.config.dataPool));

	listContent = (folder: string, options?: ContentOptions) =>
		this.#calls.look(() => listContent(this.#context, folder, options));

	createVolume: StorageDriver["createVolume"] = async (id, options) => {
		requireProvisioning(this.capabilities, options.provisioning);
		return this.#calls.change(() => this.#volumes.create(id, options));
	};
	deleteVolume = (id: string, options: LongOptions = {}) => this.#calls.change(() => this.#volumes.delete(id, options));
	resizeVolume = (id: string, sizeBytes: number) => this.#calls.change(() => this.#volumes.resize(id, sizeBytes));
	flattenVolume = (id: string, options: LongOptions) => this.#calls.change(() => this.#volumes.flatten(id, options));
	getVolume = (id: string) => this.#calls.look(() => describeVolume(this.#context, id));
	listVolumes = (): Promise<ListedVolume[]> => this.#calls.look(() => listVolumes(this.#context));
	attachInfo = (id: string) => this.#calls.look(() => this.#volumes.attachInfo(id));
	checkVolume: StorageDriver["checkVolume"] = (id, options) =>
		this.#calls.change(() => this.#volumes.check(id, options));
	damagedVolumes = (ids: readonly string[]) => this.#calls.look(() => this.#volumes.damaged(ids));
	exportVolume = (id: string, format: VolumeFormat, options: LongOptions) =>
		this.#calls.change(() => this.#transfer.export(id, format, options));
	readVolume = (id: string, options: LongOptions) => this.#calls.change(() => this.#transfer.read(id, options));
	receiveVolume: StorageDriver["receiveVolume"] = async (id, content, { provisioning, ...options }) => {
		await requireReceivable(this.capabilities, provisioning, content);
		return this.#calls.change(() => this.#transfer.receive(id, content, options));
	};

	openVolume = (id: string): Promise<void> =>
		this.#calls.look(async () => {
			await this.#volumes.open(id, isOwnAddress);
			this.#requireOpenable();
		});

	/** An image of RBD is open while QEMU has it, and no longer. */
	async closeVolume(id: string): Promise<void> {
		requireId(id, "volume");
	}
	openVolumes = async (): Promise<string[]> => [];

	async adoptVolume(id: string, _options: FileToAdopt): Promise<VolumeInfo> {
		requireId(id, "volume");
		throw new AppError("unsupported", noFiles);
	}
	adoptableFiles = async (files: readonly FileToAdopt[]): Promise<Adoptable[]> =>
		files.map(() => ({ refusal: noFiles, heldBy: null }));
	async releaseVolume(id: string): Promise<void> {
		if ((await this.getVolume(id)) !== null)
			throw new AppError("wrong-state", `Volume ${id} was made here; it was not taken over.`);
	}

	openUpload = (id: string, totalBytes: number | null, options?: UploadOptions) =>
		this.#calls.change(() => this.#diskImages.openUpload(id, totalBytes, options));
	getUpload = (id: string) => this.#calls.look(() => this.#diskImages.upload(id));
	finishImage: StorageDriver["finishImage"] = (id, options) =>
		this.#calls.change(() => this.#diskImages.finish(id, options));
	importFile = (id: string, path: string, options: LongOptions) =>
		this.#calls.change(() => this.#diskImages.importFile(id, path, options));
	imageFromVolume: StorageDriver["imageFromVolume"] = (id, volumeId, options) =>
		this.#calls.change(() => this.#diskImages.fromVolume(id, volumeId, options));
	getImage = (id: string) => this.#calls.look(() => this.#diskImages.get(id));
	imageSource = (id: string) => this.#calls.look(() => this.#diskImages.source(id));
	listImages = () => this.#calls.look(() => this.#diskImages.list());
	deleteImage = (id: string, options: LongOptions = {}) =>
		this.#calls.change(() => this.#diskImages.delete(id, options));
	async openImage(id: string) {
		const held = await this.#calls.hold();
		try {
			return await this.#diskImages.open(id, async () => held[Symbol.dispose]());
		} catch (error) {
			held[Symbol.dispose]();
			throw error;
		}
	}

	#requireOpenable(): void {
		const { config, opensNamespaces } = this.#options;
		if (config.namespace !== null && opensNamespaces !== true)
			throw new AppError(
				"unsupported",
				"No VM starts from a namespace of a Ceph pool: libvirt looks for its disks in the default one. Use a pool without a namespace.",
			);
	}

	#writeFiles(files = this.#files): void {
		const { config, key } = this.#options;
		writeClientFiles(files, { monitors: config.monitors, user: config.user, key });
	}
}

function isOwnAddress(address: string): boolean {
	return Object.values(networkInterfaces()).some((all) => all?.some((one) => one.address === address));
}
