/** Work on the disks of a simulated domain: overlays, copies, commits. */
import { AppError } from "../lib/errors.ts";
import { type DiskSource, sourceName } from "../model/disk-source.ts";
import type { BlockJob, BlockJobOptions, DomainDisk } from "./driver.ts";
import type { DiskFacts } from "./facts.ts";
import type { FakeDomain } from "./fake-domain.ts";

export type FakeBlockJob = {
	kind: "copy" | "commit" | "active-commit";
	target: string;
	/** The layer that goes, for a commit. */
	top: string | null;
	/** With a limit it does not end by itself. */
	limited: boolean;
	perform(): void;
	/** What a job that is done waits for before the disk goes over; that of who adopted it last. */
	goOver: (() => void) | null;
	waiting: Set<{ resolve(): void; reject(error: AppError): void }>;
};

const layersOf = (disk: DiskFacts): string[] => [disk.path, ...disk.backing];

export function fakeDisk(domain: FakeDomain, diskId: string): DiskFacts {
	const disk = domain.running?.facts.disks.find((candidate) => candidate.id === diskId);
	if (!disk) throw new AppError("not-found", `The VM has no disk ${diskId}.`);
	return disk;
}

/** What runs is changed; and what is defined, as libvirt does it, where that has the disk on the same. */
function change(domain: FakeDomain, diskId: string, to: Pick<DiskFacts, "path" | "format" | "backing">): void {
	const running = fakeDisk(domain, diskId);
	const defined = domain.defined?.facts.disks.find((disk) => disk.id === diskId && disk.path === running.path);
	for (const disk of [running, ...(defined ? [defined] : [])]) Object.assign(disk, structuredClone(to));
}

export const fakeLayers = (domain: FakeDomain): { diskId: string; layers: string[] }[] =>
	(domain.running?.facts.disks ?? []).flatMap((disk) =>
		disk.id === null ? [] : [{ diskId: disk.id, layers: layersOf(disk) }],
	);

export const fakeJobs = (domain: FakeDomain): BlockJob[] =>
	[...domain.blockJobs].map(([diskId, { kind, target }]) => ({
		...{ diskId, kind, ready: false, progress: 0.5 },
		target: kind === "commit" ? null : target,
	}));

export function switchFakeDisks(domain: FakeDomain, wanted: readonly { diskId: string; disk: DomainDisk }[]): void {
	const switches = wanted.flatMap(({ diskId, disk }) => {
		if (disk.format !== "qcow2" || disk.source.kind === "rbd")
			throw new AppError("unsupported", "A disk can go on in an overlay that is a qcow2 file or device only.");
		const facts = fakeDisk(domain, diskId);
		if (facts.path === sourceName(disk.source)) return [];
		const [below] = disk.backing;
		if (!below || sourceName(below.source) !== facts.path)
			throw new AppError("wrong-state", `Disk ${diskId} is not on what its overlay rests on.`);
		return [{ diskId, backing: layersOf(facts), disk }];
	});
	for (const { diskId, disk, backing } of switches) {
		noteFormats(domain, [disk]);
		change(domain, diskId, { path: sourceName(disk.source), format: disk.format, backing });
	}
}

/** Null when it is there already. */
export function fakeCopy(
	domain: FakeDomain,
	diskId: string,
	target: DomainDisk,
	copied: (from: string, to: string) => void,
): FakeBlockJob | null {
	if (target.backing.length > 0) throw new AppError("invalid", "A copy of a disk rests on nothing.");
	const disk = fakeDisk(domain, diskId);
	const name = sourceName(target.source);
	if (disk.path === name) return null;
	noteFormats(domain, [target]);
	const perform = () => {
		copied(disk.path, name);
		change(domain, diskId, { path: name, format: target.format, backing: [] });
	};
	return { kind: "copy", target: name, top: null, limited: false, perform, goOver: null, waiting: new Set() };
}

/** Null when it is done already. */
export function fakeCommit(
	domain: FakeDomain,
	diskId: string,
	{ base, top }: { base: DiskSource; top: DiskSource },
): FakeBlockJob | null {
	const disk = fakeDisk(domain, diskId);
	const layers = layersOf(disk);
	const [at, downTo] = [layers.indexOf(sourceName(top)), layers.indexOf(sourceName(base))];
	if (at < 0 && downTo >= 0) return null;
	if (at < 0 || downTo <= at) throw new AppError("wrong-state", `Disk ${diskId} has no such layers above each other.`);
	const perform = () => {
		const [path = "", ...backing] = layers.toSpliced(at, downTo - at);
		change(domain, diskId, { path, backing, format: domain.formats.get(path) ?? disk.format });
	};
	const kind = at === 0 ? "active-commit" : "commit";
	return {
		kind,
		target: sourceName(base),
		top: sourceName(top),
		limited: false,
		perform,
		goOver: null,
		waiting: new Set(),
	};
}

/** Starts the job or adopts the one that is there; settles when it has ended. `held`: it does not end by itself. */
export async function runFakeJob(
	domain: FakeDomain,
	diskId: string,
	wanted: FakeBlockJob | null,
	options: BlockJobOptions,
	held: boolean,
): Promise<void> {
	const { signal, progress, bytesPerSecond } = options;
	if (signal?.aborted) throw new AppError("canceled", "The work on the disk was canceled.");
	const job = domain.blockJobs.get(diskId) ?? wanted;
	if (job) {
		if (job.kind !== wanted?.kind || job.target !== wanted.target || job.top !== wanted.top)
			throw new AppError("wrong-state", `Something else is being done to disk ${diskId}.`);
		domain.blockJobs.set(diskId, job);
		job.limited = bytesPerSecond !== undefined;
		const { promise, resolve, reject } = Promise.withResolvers<void>();
		job.waiting.add({ resolve, reject });
		const cancel = () => {
			reject(new AppError("canceled", "The work on the disk was canceled."));
			endFakeJob(domain, diskId, "taken back");
		};
		signal?.addEventListener("abort", cancel);
		progress?.(0.5);
		const ended = promise.finally(() => signal?.removeEventListener("abort", cancel));
		job.goOver = goOver(domain, diskId, job, options, reject);
		if (!held && !job.limited) (job.goOver ?? (() => endFakeJob(domain, diskId, "done")))();
		await ended;
	}
	progress?.(1);
}

function goOver(
	domain: FakeDomain,
	diskId: string,
	job: FakeBlockJob,
	{ beforeSwitch }: BlockJobOptions,
	fail: (error: unknown) => void,
): (() => void) | null {
	if (!beforeSwitch) return null;
	const isThere = () => domain.blockJobs.get(diskId) === job;
	return () =>
		void beforeSwitch().then(
			() => isThere() && endFakeJob(domain, diskId, "done"),
			(error) => {
				fail(error);
				if (isThere()) endFakeJob(domain, diskId, "taken back");
			},
		);
}

/** No job is not an error. */
export function endFakeJob(domain: FakeDomain, diskId: string, how: "done" | "taken back"): void {
	const job = domain.blockJobs.get(diskId);
	if (!job) return;
	domain.blockJobs.delete(diskId);
	if (how === "done") job.perform();
	for (const { resolve, reject } of job.waiting)
		if (how === "done") resolve();
		else reject(new AppError("hypervisor", `The work on disk ${diskId} ended before it was done.`));
}

/** Whoever waits hears of it no more; without `keep` the jobs end too. */
export function leaveFakeJobs(domain: FakeDomain, error: AppError, { keep }: { keep: boolean }): void {
	for (const job of domain.blockJobs.values()) {
		for (const { reject } of job.waiting) reject(error);
		job.waiting.clear();
	}
	if (!keep) domain.blockJobs.clear();
}

/** XML of a real domain has the format of each layer; facts have not. */
export function noteFormats(domain: FakeDomain, disks: readonly DomainDisk[]): void {
	for (const disk of disks)
		for (const layer of [disk, ...disk.backing]) domain.formats.set(sourceName(layer.source), layer.format);
}
