/**
 * The `iscsi-lvm` pool: a volume group on one LUN of an iSCSI target. One instance serves one pool on this node; `activate()` comes
 * first. What is in the pool is in LVM's own metadata (records.ts). Thick pools may be shared by nodes and keep qcow2 and raw disks
 * on logical volumes of their full size; thin pools belong to one node and keep raw disks. See docs/decisions/0054-iscsi-lvm.md.
 */
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Random } from "../../lib/random.ts";
import type { PoolCapabilities, VolumeFormat } from "../../model/storage.ts";
import type { ContentOptions } from "../content.ts";
import type {
	Adoptable,
	FileToAdopt,
	LongOptions,
	OverwriteOptions,
	PoolUsage,
	RemovalOptions,
	StorageDriver,
	UploadOptions,
	VolumeInfo,
	VolumeSnapshots,
} from "../driver.ts";
import type { Step } from "../durable.ts";
import { importHostFile } from "../import-host-file.ts";
import { requireId } from "../names.ts";
import { OperationLocks } from "../operation-locks.ts";
import { requireProvisioning, requireReceivable } from "../provisioning.ts";
import { workerCommand } from "../worker/command.ts";
import { hostFileApart } from "../worker/host-file.ts";
import { Activation } from "./activation.ts";
import { capabilitiesOf } from "./capabilities.ts";
import type { Connection } from "./connection.ts";
import { listContent } from "./content.ts";
import type { IscsiContext } from "./context.ts";
import { canceledOr } from "./device-io.ts";
import { flattenVolume } from "./flatten.ts";
import type { VolumeGroup } from "./group.ts";
import { IscsiImages } from "./images.ts";
import { PoolLifecycle } from "./lifecycle.ts";
import { OpenVolumes } from "./open-volumes.ts";
import { IscsiSnapshots } from "./snapshots.ts";
import { Staging } from "./staging.ts";
import { checkVolume, exportVolume, readVolume, receiveVolume } from "./transfer.ts";
import { IscsiVolumes } from "./volumes.ts";

export type IscsiLvmDriverOptions = {
	poolId: string;
	nodeId: string;
	layout: "thick" | "thin";
	shared: boolean;
	wipeOnDelete: boolean;
	connection: Connection;
	group: VolumeGroup;
	/** This node makes the volume group when the LUN is empty: one node of a pool, once. */
	mayInitialize: boolean;
	/** Folder for what is on its way; the pool has one of its id in it. */
	stagingFolder: string;
	protectedPaths: readonly string[];
	random: Random;
	clock: Clock;
	log: Logger;
	writes: IscsiContext["writes"];
	/** How long one operation waits for another on the same object (default 10 s). */
	lockWaitMs?: number;
	/** How long `remove` waits for other nodes to leave the locks of a shared group (default 180 s). */
	othersLeaveMs?: number | undefined;
	/** Called before each change; for tests that end the process there. */
	onStep?: Step;
};

const privateSettleMs = 120_000;
/** sanlock waits, for each of a few things, until what a host that is gone may hold has run out (group.ts). */
const sharedSettleMs = 600_000;
const noAdoption = "A storage pool on iSCSI takes over no files: import the disk instead.";

export class IscsiLvmDriver implements StorageDriver {
	readonly type = "iscsi-lvm";
	readonly capabilities: PoolCapabilities;
	readonly hostSecrets = [];
	readonly settleLimitMs: number;
	readonly snapshots: VolumeSnapshots;
	readonly #poolId: string;
	readonly #context: IscsiContext;
	readonly #lifecycle: PoolLifecycle;
	readonly #volumes: IscsiVolumes;
	readonly #open: OpenVolumes;
	readonly #images: IscsiImages;

	constructor(options: IscsiLvmDriverOptions) {
		requireId(options.poolId, "pool");
		const { poolId, nodeId, layout, shared, wipeOnDelete, group, random, clock, writes } = options;
		this.#poolId = poolId;
		const log = options.log.with({ poolId });
		const locks = new OperationLocks(options.lockWaitMs, clock);
		const { stagingFolder: folder, protectedPaths } = options;
		this.capabilities = capabilitiesOf(layout, shared);
		this.settleLimitMs = shared ? sharedSettleMs : privateSettleMs;
		this.#context = {
			...{ nodeId, layout, wipeOnDelete, group, locks, log, clock, random, writes, removals: new Map() },
			activation: new Activation(group, log),
			staging: new Staging({ folder, poolId, random, log, clock, protectedPaths, lockWaitMs: options.lockWaitMs }),
			step: options.onStep ?? (() => {}),
		};
		this.#volumes = new IscsiVolumes(this.#context);
		this.#open = new OpenVolumes(this.#context);
		this.#images = new IscsiImages(this.#context);
		this.snapshots = new IscsiSnapshots(this.#context, this.#volumes, this.#open);
		this.#lifecycle = new PoolLifecycle(this.#context, this.#open, {
			...options,
			releaseIdleImages: () => this.#images.releaseIdle(),
		});
	}

	probe = (options: OverwriteOptions = {}): Promise<PoolUsage> => this.#lifecycle.probe(options);
	/** `overwrite` counts once: when this node was cut short after it had cleared the LUN, it is not looked at any more. */
	activate = (options: OverwriteOptions = {}): Promise<void> => this.#lifecycle.activate(options);
	deactivate = (): Promise<void> => this.#lifecycle.deactivate();
	end = (): Promise<void> => this.#lifecycle.end();
	async remove(options: RemovalOptions = {}): Promise<void> {
		try {
			await this.#lifecycle.remove(options);
		} catch (error) {
			throw canceledOr(error, options.signal, "Removing the pool");
		}
	}
	check = (): Promise<PoolUsage> => this.#lifecycle.check();

	listContent = (folder: string, options?: ContentOptions) => listContent(this.#context, this.#poolId, folder, options);

	createVolume: StorageDriver["createVolume"] = async (id, options) => {
		requireProvisioning(this.capabilities, options.provisioning);
		return this.#volumes.create(id, options);
	};
	deleteVolume = (id: string, options: LongOptions = {}) => this.#volumes.delete(id, options);
	resizeVolume = (id: string, sizeBytes: number, options: LongOptions = {}) =>
		this.#volumes.resize(id, sizeBytes, { ...options, running: false });
	growOpenVolume = (id: string, sizeBytes: number, options: LongOptions = {}) =>
		this.#volumes.resize(id, sizeBytes, { ...options, running: true });
	async flattenVolume(id: string, options: LongOptions): Promise<VolumeInfo> {
		await flattenVolume(this.#context, id, options);
		const info = await this.#volumes.get(id);
		if (info === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
		return info;
	}
	getVolume = (id: string) => this.#volumes.get(id);
	listVolumes = () => this.#volumes.list();
	attachInfo = (id: string) => this.#volumes.attachInfo(id);
	openVolume = (id: string) => this.#open.open(id);
	async closeVolume(id: string): Promise<void> {
		await this.#open.close(id);
		await this.#images.releaseIdle();
	}
	openVolumes = () => this.#open.list();
	checkVolume: StorageDriver["checkVolume"] = (id, options) => checkVolume(this.#context, id, options);
	exportVolume = async (id: string, format: VolumeFormat, options: LongOptions) =>
		exportVolume(this.#context, id, format, options);
	readVolume = (id: string, options: LongOptions) => readVolume(this.#context, id, options);
	receiveVolume: StorageDriver["receiveVolume"] = async (id, content, { provisioning, ...options }) => {
		await requireReceivable(this.capabilities, provisioning, content);
		return receiveVolume(this.#context, this.#volumes, id, content, options);
	};
	damagedVolumes = (ids: readonly string[]) => this.#volumes.damaged(ids);

	async adoptVolume(id: string): Promise<never> {
		requireId(id, "volume");
		throw new AppError("unsupported", noAdoption);
	}
	adoptableFiles = async (files: readonly FileToAdopt[]): Promise<Adoptable[]> =>
		files.map(() => ({ refusal: noAdoption, heldBy: null }));
	async releaseVolume(id: string): Promise<void> {
		if ((await this.#volumes.get(id)) !== null) throw new AppError("wrong-state", "This volume was made in the pool.");
	}

	openUpload = (id: string, totalBytes: number | null, options?: UploadOptions) =>
		this.#images.openUpload(id, totalBytes, options);
	getUpload = (id: string) => this.#images.getUpload(id);
	finishImage: StorageDriver["finishImage"] = (id, options) => this.#images.finish(id, options);
	importFile = (id: string, path: string, options: LongOptions) =>
		importHostFile(
			this,
			() => {
				const { clock, log, staging } = this.#context;
				return hostFileApart({ command: workerCommand(), clock, log }, path, staging.context.protectedPaths);
			},
			...([id, path, options] as const),
		);
	imageFromVolume: StorageDriver["imageFromVolume"] = (id, volumeId, options) =>
		this.#images.fromVolume(id, volumeId, options);
	getImage = (id: string) => this.#images.get(id);
	imageSource = (id: string) => this.#images.source(id);
	listImages = () => this.#images.list();
	deleteImage = (id: string, options: LongOptions = {}) => this.#images.delete(id, options);
	openImage = (id: string) => this.#images.open(id);
}
