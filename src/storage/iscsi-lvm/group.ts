/**
 * The volume group of a pool: made once, on an empty LUN, by one node; found again by its name and its tag. A private group (one
 * node) has that node's system id. A shared one is LVM's "sanlock": lvmlockd on each node asks sanlock, which keeps leases on the
 * LUN itself, for every change of the group and for every activation (docs/decisions/0054-iscsi-lvm.md).
 */
import { AppError, isAppError } from "../../lib/errors.ts";
import { formatBytes, GiB, MiB } from "../../lib/units.ts";
import type { PoolUsage } from "../driver.ts";
import type { Step } from "../durable.ts";
import { boundedRun, stderrOf } from "./bounded-run.ts";
import { type Lvm, type LvmCall, systemId } from "./lvm.ts";
import {
	type AnyLv,
	type Group,
	lvFields,
	type PhysicalVolume,
	parseAnyLvs,
	parseGroups,
	parseLvs,
	parsePhysicalVolumes,
	pvFields,
	unknownGroup,
	vgFields,
} from "./lvm-report.ts";
import { removeLeases, removeMapped } from "./mapped-devices.ts";
import { groupName, makingTag, poolTag, thinPoolName } from "./names.ts";
import type { Lv, LvRecord } from "./records.ts";
import { tagChanges, tagsOf } from "./records.ts";
import { otherHosts } from "./sanlock.ts";
import { memberOf, requireConfirmed, whatIsOn } from "./signatures.ts";
import { reviveThinPool } from "./thin-health.ts";
import { ThinPool } from "./thin-pool.ts";

/** Volumes of raw disks have whole extents. */
export const extentBytes = MiB;
/** sanlock waits for old leases of this host id to run out: up to twice its 20 s of io timeout, and more. */
const lockStartMs = 180_000;
const lockManagerQuestions: [string, string[]][] = [
	["sanlock", ["client", "status"]],
	["lvmlockctl", ["--info"]],
];
const smallestBytes = 512 * MiB;

export type GroupOptions = {
	poolId: string;
	nodeId: string;
	shared: boolean;
	layout: "thick" | "thin";
	lvm: Lvm;
	/** Called before each change of what is active. */
	step?: Step | undefined;
};

export class VolumeGroup {
	readonly name: string;
	readonly #options: GroupOptions;
	readonly #thin: ThinPool | null;
	/** Set by the driver when it has found the LUN. */
	device: string | null = null;

	constructor(options: GroupOptions) {
		this.#options = options;
		this.name = groupName(options.poolId);
		this.#thin = options.layout === "thin" ? new ThinPool({ lvm: options.lvm, group: this.name }) : null;
	}

	/** Nodes share it, and lock each other out. */
	get hasLocks(): boolean {
		return this.#options.shared;
	}

	get #devices() {
		if (this.device === null)
			throw new AppError("storage", "The pool is not connected on this node.", { context: { health: "unmounted" } });
		return { devices: [this.device] };
	}

	/** What LVM knows of the LUN, be it somebody else's; a row without a group also for a device that is not LVM's. */
	async #physicalVolume(): Promise<PhysicalVolume | null> {
		const operands = ["--foreign", "--shared", "--all"];
		const reported = parsePhysicalVolumes(await this.#options.lvm.report("pvs", pvFields, operands, this.#devices));
		return reported.find(({ device }) => device === this.device) ?? reported[0] ?? null;
	}

	/**
	 * LVM's, and no more than what this node began to make: the device that it gave this id, in no group, or our group before it was finished.
	 * Nobody uses one before.
	 */
	async isUnfinished(uuid: string | null): Promise<boolean> {
		const pv = await this.#physicalVolume();
		if (pv === null) return false;
		if (pv.group === this.name) return pv.tags.includes(makingTag(this.#options.nodeId));
		// Cleared half-way, it still says that it was in a group.
		return pv.uuid === uuid && ["", unknownGroup].includes(pv.group);
	}

	/** LVM's id of the device; null for what is not LVM's. */
	async deviceUuid(): Promise<string | null> {
		return (await this.#physicalVolume())?.uuid || null;
	}

	/** The name of the group that the LUN is in, when it is not this pool's; else null. */
	async otherGroup(): Promise<string | null> {
		const group = (await this.#physicalVolume())?.group ?? "";
		return group === "" || group === this.name ? null : group;
	}

	/**
	 * Null when the LUN holds no group of ours; fails when it holds another one, unless that may go (`confirmed` names it as `memberOf`
	 * does), or one of ours that is not finished; `context.isOthers` says that it is no business of this pool. `leaving`: also a shared one whose locks this node has ended already, to remove it.
	 */
	async find(
		confirmed: readonly string[] = [],
		{ leaving = false }: { leaving?: boolean } = {},
	): Promise<Group | null> {
		const pv = await this.#physicalVolume();
		if (pv === null || pv.group === "") return null;
		if (pv.group !== this.name) {
			const what = memberOf(pv.group);
			if (confirmed.includes(what)) return null;
			throw new AppError("wrong-state", `The LUN is in use by another volume group, ${pv.group.slice(0, 128)}.`, {
				context: { found: [what], isOthers: true },
			});
		}
		const output = await this.#options.lvm.report("vgs", vgFields, ["--foreign", "--shared", this.name], this.#devices);
		const [group] = parseGroups(output);
		if (!group) return null;
		if (!(leaving && this.#options.shared && group.lockType !== "sanlock")) this.#requireOurs(group);
		else if (!group.tags.includes(poolTag(this.#options.poolId))) return null;
		return group;
	}

	#requireOurs({ tags, lockType, systemId: of }: Group): void {
		const { poolId, nodeId, shared } = this.#options;
		if (tags.some((tag) => tag.startsWith(makingTag(""))))
			throw new AppError("wrong-state", "The node that makes the volume group on the LUN has not finished it yet.");
		if (!tags.includes(poolTag(poolId)))
			throw new AppError("wrong-state", "The volume group on the LUN was not made by this pool.", {
				context: { isOthers: true },
			});
		if (shared !== (lockType === "sanlock"))
			throw new AppError(
				"wrong-state",
				shared
					? "The volume group on the LUN was made for one node and has no locks: it cannot be shared."
					: "The volume group on the LUN is shared by nodes; this pool says that it is one node's.",
			);
		if (!shared && of !== systemId(nodeId))
			throw new AppError("wrong-state", "The volume group on the LUN belongs to another node.");
	}

	/** Fails for a LUN that no group fits on. */
	requireRoom(sizeBytes: number): void {
		if (sizeBytes < smallestBytes)
			throw new AppError("invalid", `A LUN of ${formatBytes(sizeBytes)} is too small for a pool.`);
	}

	/**
	 * Makes the group, unfinished: until `finishInitializing` no node uses it. The caller has found the device by its WWID, and has taken
	 * away what was on it: nothing is overwritten here. `uuid`: for LVM to know the device by.
	 */
	async initialize(device: string, sizeBytes: number, uuid: string): Promise<void> {
		const { nodeId, shared, lvm } = this.#options;
		requireConfirmed(await whatIsOn(device, sizeBytes), []);
		const metadataMiB = sizeBytes >= 64 * GiB ? 64 : sizeBytes >= 4 * GiB ? 8 : 1;
		const known = ["--uuid", uuid, "--norestorefile", "--metadatasize", `${metadataMiB}m`];
		await lvm.change(["pvcreate", "--yes", ...known, "--", device], { devices: [device] });
		const args = ["--yes", "--physicalextentsize", `${extentBytes}b`];
		const tags = ["--addtag", makingTag(nodeId), "--setautoactivation", "n"];
		const lock = shared ? ["--shared", "--locktype", "sanlock"] : [];
		await lvm.change(["vgcreate", ...args, ...tags, ...lock, "--", this.name, device], {
			devices: [device],
			timeoutMs: lockStartMs,
		});
	}

	/** From here on other nodes use it, and nobody makes it anew. */
	async finishInitializing(): Promise<void> {
		const { poolId, nodeId, lvm } = this.#options;
		const tags = ["--deltag", makingTag(nodeId), "--addtag", poolTag(poolId)];
		await lvm.change(["vgchange", ...tags, "--", this.name], { ...this.#devices, timeoutMs: lockStartMs });
	}

	/** Of a shared group that was not finished: the device that LVM keeps its leases on, which would hold the LUN. */
	async dropLeases(): Promise<void> {
		if (this.#options.shared) await removeLeases(this.name);
	}

	/** What is active of it, of a group whose LUN is away; `in-use` when anything is open. Asks neither LVM nor the LUN. */
	dropDevices = (): Promise<void> => removeMapped(this.name);

	/** Shared groups: this node takes part in the locks. Done already is done. */
	async startLocks(): Promise<void> {
		if (!this.#options.shared) return;
		await this.#options.lvm.change(["vgchange", "--lockstart", "--lockopt", "wait", "--", this.name], {
			...this.#devices,
			timeoutMs: lockStartMs,
		});
	}

	async stopLocks(): Promise<void> {
		if (!this.#options.shared) return;
		await this.#options.lvm.change(["vgchange", "--lockstop", "--lockopt", "wait", "--", this.name], {
			...this.#devices,
			timeoutMs: lockStartMs,
		});
	}

	/** Thin layouts: the pool is there, takes what the group has, and is active: only then it says how full it is. */
	async ensureThinPool(group: Group): Promise<void> {
		if (this.#thin === null) return;
		await this.#thin.ensure(group, this.#devices);
		await this.activate(thinPoolName, "exclusive");
	}

	/** Thin layouts: whether the pool's metadata had to be made larger, and was. */
	async growThinMetadata(): Promise<boolean> {
		return (await this.#thin?.growMetadata(this.#devices)) ?? false;
	}

	/** A thin pool that the kernel has given up is started again; fails while it is used. True when that was done. */
	async reviveThinPool(isUsed: () => Promise<boolean>): Promise<boolean> {
		if (this.#thin === null) return false;
		const restart = async () => {
			await this.deactivateAll();
			await this.activate(thinPoolName, "exclusive");
		};
		const of = { lvm: this.#options.lvm, group: this.name, call: this.#devices };
		return reviveThinPool(of, { isUsed, restart });
	}

	/** The LUN grew: so does the group. */
	async grow(): Promise<void> {
		if (this.device === null) return;
		await this.#options.lvm.change(["pvresize", "--", this.device], this.#devices);
	}

	async usage(limits: Pick<LvmCall, "timeoutMs" | "graceMs"> = {}): Promise<PoolUsage> {
		const call = { ...this.#devices, ...limits };
		return (await this.#thin?.usage(call)) ?? this.#usage([], call);
	}

	/** Of a group whose locks this node may not take part in yet. */
	async usageWithoutLocks(): Promise<PoolUsage> {
		return this.#usage(["--foreign", "--shared"], this.#devices);
	}

	async #usage(operands: string[], call: LvmCall): Promise<PoolUsage> {
		const [group] = parseGroups(await this.#options.lvm.report("vgs", vgFields, [...operands, this.name], call));
		if (!group) throw new AppError("storage", "The volume group is not on the LUN.");
		const { sizeBytes, freeBytes } = group;
		return { totalBytes: sizeBytes, usedBytes: sizeBytes - freeBytes, availableBytes: freeBytes };
	}

	/** Fails with `unavailable` when lvmlockd or sanlock does not run on this node. */
	async requireLockManager(): Promise<void> {
		for (const [program, args] of lockManagerQuestions)
			try {
				await boundedRun(program, args, { timeoutMs: 5000 });
			} catch (cause) {
				const isMissing = isAppError(cause, "unavailable");
				const why = isMissing ? "is not installed on this node" : "does not run on this node";
				throw new AppError("unavailable", `A shared volume group needs ${program}, which ${why}.`, { cause });
			}
	}

	/** How much of the LUN the group knows of. */
	async coveredBytes(): Promise<number> {
		const pv = await this.#physicalVolume();
		return pv?.group === this.name ? pv.pvBytes : 0;
	}

	/** Ours, all of them; what is damaged is apart. */
	async lvs(): Promise<ReturnType<typeof parseLvs>> {
		return parseLvs(await this.#options.lvm.report("lvs", lvFields, [this.name], this.#devices));
	}

	/** Others' too, and what LVM itself has there. */
	async anyLvs(): Promise<AnyLv[]> {
		return parseAnyLvs(
			await this.#options.lvm.report("lvs", "lv_name,lv_size,data_percent", ["-a", this.name], this.#devices),
		);
	}

	/** Inactive; with its record from the first moment. */
	async create(lv: string, bytes: number, record: Partial<LvRecord>): Promise<void> {
		const { layout, lvm } = this.#options;
		const size = `${roundUp(bytes)}b`;
		const space =
			layout === "thin"
				? ["--type", "thin", "--thinpool", thinPoolName, "--virtualsize", size]
				: ["--setautoactivation", "n", "--activate", "n", "--zero", "n", "--wipesignatures", "n", "--size", size];
		const tags = tagsOf(record).flatMap((tag) => ["--addtag", tag]);
		const args = ["--yes", ...space, ...tags, "--name", lv];
		await lvm.change(["lvcreate", ...args, "--", this.name], this.#devices);
		// LVM makes a thin volume by telling the active pool, and leaves it active.
		if (layout === "thin") await this.deactivate(lv);
	}

	/** Thin layouts: what `origin` holds now, as a logical volume of its own that shares the space. */
	async snapshot(origin: string, lv: string, record: Partial<LvRecord>): Promise<void> {
		const tags = tagsOf(record).flatMap((tag) => ["--addtag", tag]);
		const args = ["--yes", "--snapshot", "--setactivationskip", "n", ...tags, "--name", lv];
		await this.#options.lvm.change(["lvcreate", ...args, "--", `${this.name}/${origin}`], this.#devices);
		await this.deactivate(lv);
	}

	/** One commit. */
	async record(lv: Pick<Lv, "lv" | "record">, change: Partial<LvRecord>, more: readonly string[] = []): Promise<void> {
		const { add, remove } = tagChanges(lv.record, change);
		if (add.length + remove.length + more.length === 0) return;
		const tags = [...remove.flatMap((tag) => ["--deltag", tag]), ...add.flatMap((tag) => ["--addtag", tag])];
		await this.#options.lvm.change(["lvchange", ...tags, ...more, "--", `${this.name}/${lv.lv}`], this.#devices);
	}

	/** What `nodeId` made is whole from here on. */
	async finish(lv: string, nodeId: string, more: readonly string[]): Promise<void> {
		const tags = tagsOf({ half: nodeId }).flatMap((tag) => ["--deltag", tag]);
		await this.#options.lvm.change(["lvchange", ...tags, ...more, "--", `${this.name}/${lv}`], this.#devices);
	}

	async extend(lv: string, bytes: number): Promise<void> {
		await this.#options.lvm.change(
			["lvextend", "--size", `${roundUp(bytes)}b`, "--", `${this.name}/${lv}`],
			this.#devices,
		);
	}

	/** Takes its end away, whatever is there. */
	async reduce(lv: string, bytes: number): Promise<void> {
		const args = ["--yes", "--force", "--size", `${roundUp(bytes)}b`, "--", `${this.name}/${lv}`];
		const change = (...more: string[]) => this.#options.lvm.change(["lvreduce", ...more, ...args], this.#devices);
		// Newer ones would look for a file system, which is the guest's.
		await change("--fs", "ignore").catch((error: unknown) => {
			if (!/unrecogni[sz]ed option/i.test(stderrOf(error))) throw error;
			return change();
		});
	}

	/** Missing is not an error. */
	async removeLv(lv: string): Promise<void> {
		try {
			await this.#options.lvm.change(["lvremove", "--yes", "--", `${this.name}/${lv}`], this.#devices);
		} catch (error) {
			if (!isAppError(error, "not-found")) throw error;
		}
	}

	/** `shared`: for reading, by several nodes. `in-use` when another node's way of using it rules that out. What is active changes its lock. */
	async activate(lv: string, mode: "exclusive" | "shared"): Promise<void> {
		await this.#options.step?.("activate a logical volume");
		const flag = !this.#options.shared ? "y" : mode === "exclusive" ? "ey" : "sy";
		await this.#options.lvm.change(
			["lvchange", "--activate", flag, "--ignoreactivationskip", "--", `${this.name}/${lv}`],
			this.#devices,
		);
	}

	async deactivate(lv: string): Promise<void> {
		await this.#options.step?.("deactivate a logical volume");
		await this.#options.lvm.change(["lvchange", "--activate", "n", "--", `${this.name}/${lv}`], this.#devices);
	}

	async deactivateAll(): Promise<void> {
		await this.#options.lvm.change(["vgchange", "--activate", "n", "--", this.name], this.#devices);
	}

	/** It is nobody's from here on; what is in it stays. */
	async disown(): Promise<void> {
		const { poolId, lvm } = this.#options;
		await lvm.change(["vgchange", "--deltag", poolTag(poolId), "--", this.name], this.#devices);
	}

	/** `in-use` while other nodes take part in the locks of a shared group, or while that is not known yet. This node has to take part. */
	async requireAlone({ lockType }: Group): Promise<void> {
		if (lockType === "sanlock" && (await otherHosts(this.#options.poolId)).length > 0)
			throw new AppError("in-use", "Other nodes still take part in the locks of the volume group.");
	}

	/**
	 * The group goes for good, with everything in it; the device stays LVM's. Of a shared one the locks go first, which LVM would do itself: its
	 * lvmlockd (2.03.31, Debian 13's) gives sanlock a lease back that it does not hold, and then waits for ever. `in-use`: as requireAlone.
	 */
	async remove(found: Group): Promise<void> {
		const { lvm } = this.#options;
		await this.requireAlone(found);
		if (found.lockType === "sanlock") {
			await this.stopLocks();
			const args = ["--yes", "--locktype", "none", "--lockopt", "force", "--", this.name];
			await lvm.change(["vgchange", ...args], this.#devices);
		}
		await lvm.change(["vgremove", "--yes", "--force", "--", this.name], {
			...this.#devices,
			timeoutMs: lockStartMs,
		});
	}
}

export const roundUp = (bytes: number): number => Math.max(1, Math.ceil(bytes / extentBytes)) * extentBytes;
