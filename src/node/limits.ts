/**
 * How long things may take on this node, and how many may go on at once. Every in-between state of a VM, volume or
 * image has an owner (a task, or the node's own loops) and a limit from here: when it is over, the task fails with
 * `timeout` and the state is read anew, so that nothing is ever stuck. Times are milliseconds.
 */
import type { PoolType } from "../model/storage.ts";

export const limits = {
	/** One read from libvirt (list, state, XML). */
	readMs: 30_000,
	defineMs: 60_000,
	/** QEMU of a large VM on a busy host; libvirt itself gives up earlier on its monitor. */
	startMs: 180_000,
	requestShutdownMs: 30_000,
	/** SIGTERM, then SIGKILL; a process in uninterruptible sleep outlives both. */
	destroyMs: 60_000,
	controlMs: 30_000,
	liveChangeMs: 60_000,
	screenshotMs: 15_000,
	/** How long a sample of the node's figures waits for those of its VMs. */
	figuresWaitMs: 3_000,
	/** Figures older than this are not given any more: three samples failed, or were missed. */
	figuresAgeMs: 15_000,
	/** How long a start waits for a network that cannot be used on this node yet. */
	networkWaitMs: 600_000,
	/** How long a start by itself waits for pools that do not work yet: a server may boot longer than its clients. */
	autostartPoolsMs: 600_000,
	/** Making a network exist (libvirt starts dnsmasq). */
	networkMs: 60_000,
	seedMs: 30_000,
	/** Removing the folder of a VM. */
	removeFolderMs: 600_000,
	/** Looking at a volume, opening and closing it. */
	quickStorageMs: 120_000,
	/** Overwriting all of a disk, or setting space aside for it: as long as it makes progress (copyIdleMs), which is 12 TB at 10 MB/s. */
	wholeDiskMs: 14 * 24 * 3_600_000,
	/** One disk's part of a snapshot, while its guest stands still. */
	snapshotMs: 30_000,
	/** Without any progress: setting a disk back, or deleting a snapshot of it or a whole file, where the pool does not tell how far it is. */
	revertIdleMs: 3_600_000,
	/** Copying: as long as it makes progress, and never longer than this. */
	copyMs: 24 * 3_600_000,
	/** Copying, and other work on all of a disk, without any progress. */
	copyIdleMs: 600_000,
	/** An upload to which nothing is added. */
	uploadIdleMs: 24 * 3_600_000,
	/** An upload request that sends nothing. */
	uploadPartMs: 60_000,
	poolActivateMs: 60_000,
	/** Less than what the API of another node waits for it. */
	poolProbeMs: 25_000,
	/** How long a trial of a pool waits for deleted ones that may be in its place: less than poolProbeMs. */
	poolLeaveMs: 15_000,
	/** Looking into a folder of 10,000 things, or at as many images. */
	poolContentMs: 90_000,
	/** How long it counts that what is on a LUN may go: nobody looks again before it is done. */
	overwriteMs: 900_000,
	/** A pool whose server hangs is noticed within this and intervals.poolCheckMs. */
	poolCheckMs: 5_000,

	/** How long a task waits for libvirt to come (back) before it fails with `unavailable`. */
	hypervisorWaitMs: 60_000,
	/** libvirt away for longer: VMs that ran are reported `unknown`. A restart of libvirtd stays below it. */
	hypervisorAwayMs: 15_000,
	/** How long a volume waits for the VM that it belongs to, to be left alone. */
	exclusiveWaitMs: 600_000,
	/** A reset that is older than this is not repeated after a restart of the daemon. */
	staleResetMs: 600_000,
	/** Between two requests of one shut-down: a guest that was still booting has missed the first. */
	shutdownRepeatMs: 30_000,
	/** How long proposals are repeated while the cluster has no leader. */
	proposeRetryMs: 600_000,
	/** How long stop() waits for steps in flight. */
	stopMs: 10_000,
	/** How long it waits for the pools' drivers then. Together less than systemd waits for the daemon (TimeoutStopSec). */
	endPoolsMs: 5_000,
} as const;

/** How long deleting a disk or an image may say nothing: a file server takes as long as it likes, and tells nobody how far it is. */
export const deletionIdleOf = ({ type }: { type: PoolType }): number =>
	type === "local" || type === "nfs" ? limits.revertIdleMs : limits.copyIdleMs;

/** For a pool to become usable on this node, or to let go of it. */
export const settleLimitOf = (driver: { settleLimitMs?: number }): number =>
	driver.settleLimitMs ?? limits.poolActivateMs;

export const intervals = {
	resyncMs: 30_000,
	addressesMs: 10_000,
	poolCheckMs: 5_000,
	/** Between two attempts to let go of a pool that is in use, for settings that have changed. */
	poolLetGoMs: 30_000,
	/** Usage of a pool that changed by less than 1 % is reported at most this often. */
	poolUsageMs: 60_000,
	/** Between two lists of a pool for what the volumes of running VMs take up by now. */
	volumeUsageMs: 120_000,
	metricsMs: 5_000,
	metricsHistoryMs: 10_000,
	/** Between two attempts at a network that a start waits for. */
	networkRetryMs: 5_000,
	/** Between two progress reports of one task. */
	progressMs: 1_000,
	/** Between two pictures of one VM's screen. */
	screenshotMs: 1_000,
} as const;

export const bounds = {
	/** Steps of VM operations at once. */
	vmSteps: 8,
	/** Questions to one pool about what VMs are to open, at once. */
	poolLooks: 8,
	/** Volumes of one pool whose files are looked at with one check of the pool: 10,000 are seen in 200 s. */
	volumesPerCheck: 500,
	/** How many times as long as listing the volumes of a pool took, it is not listed again for what they take up. */
	restAfterListing: 20,
	/** What so many volumes take up is told with one entry of the log. */
	volumesPerUsage: 1_000,
	/** Copies of whole disks and images at once. */
	heavyCopies: 2,
	/** Steps of one task: more means that the planner goes round in circles. */
	stepsPerTask: 500,
	/** Merges of one disk while its VM runs: more than a chain has layers, and than anybody stops and starts the VM meanwhile. */
	mergesOfDisk: 100,
	/** Pictures kept for the screenshot cache. */
	screenshots: 32,
	/** One hour of intervals.metricsHistoryMs. */
	metricsHistorySamples: 360,
	serialLogBytes: 4 * 1024 * 1024,
	/** Waits for libvirt within one task. */
	hypervisorWaits: 5,
} as const;
