/**
 * What is done with images of RBD, by their names in the pool. New ones have these features, whatever the cluster's default is:
 * layering for copy-on-write copies; exclusive-lock, so that two writers do not mix and a dead node can be shut out; object-map and
 * fast-diff, without which measuring and deleting look at every object that could be there; deep-flatten, so that snapshots do
 * not tie a copy to its source for ever. No journaling: it halves the speed and is for mirroring to another site.
 */
import { AppError } from "../../lib/errors.ts";
import type { LongOptions } from "../driver.ts";
import { ChildrenAnswer, InfoAnswer, ListAnswer, readAnswer, SnapshotsAnswer, StatusAnswer } from "./answers.ts";
import { errno, errnoOfCeph } from "./ceph-error.ts";
import { imageSpec, volumeIdOf } from "./names.ts";
import { type CephRunner, orMissing } from "./runner.ts";

const features = ["layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"];
const json = ["--format", "json"];

export class RbdImages {
	readonly #runner: CephRunner;
	readonly #newImage: string[];

	constructor(runner: CephRunner, dataPool: string | null) {
		this.#runner = runner;
		this.#newImage = ["--image-feature", features.join(","), ...(dataPool === null ? [] : ["--data-pool", dataPool])];
	}

	spec = (name: string, snapshot?: string): string => imageSpec(this.#runner.place, name, snapshot);

	/** Null when there is no such image. */
	async info(name: string): Promise<InfoAnswer | null> {
		const text = await orMissing(this.#runner.rbd(["info", ...json, "--", this.spec(name)]));
		return text === null ? null : readAnswer(InfoAnswer, text, "rbd info");
	}

	/** Of all images in the pool and namespace, ours or not. */
	async names(): Promise<string[]> {
		return readAnswer(ListAnswer, await this.#runner.rbd(["ls", ...json, ...this.poolArguments()]), "rbd ls");
	}

	async create(name: string, sizeBytes: number): Promise<void> {
		await this.#runner.requireRoom();
		await this.#runner.changeRbd(["create", "--size", `${sizeBytes}B`, ...this.#newImage, "--", this.spec(name)]);
	}

	async clone(from: { name: string; snapshot: string }, to: string): Promise<void> {
		await this.#runner.requireRoom();
		// Version 2: no protecting before, and the snapshot goes by itself with the last copy that rests on it.
		const clone = ["clone", "--rbd-default-clone-format", "2", ...this.#newImage];
		await this.#runner.changeRbd([...clone, "--", this.spec(from.name, from.snapshot), this.spec(to)]);
	}

	/** A copy that stands alone. */
	async copy(from: { name: string; snapshot?: string }, to: string, options: LongOptions): Promise<void> {
		await this.#runner.requireRoom();
		const source = this.spec(from.name, from.snapshot);
		await this.#runner.writeRbd(["cp", ...this.#newImage, "--", source, this.spec(to)], options);
		options.progress?.(1);
	}

	async importStream(name: string, input: AsyncIterable<Uint8Array>, options: LongOptions): Promise<void> {
		await this.#runner.requireRoom();
		const args = ["import", "--no-progress", ...this.#newImage, "--", "-", this.spec(name)];
		await this.#runner.importRbd(args, input, options);
	}

	exportStream(from: { name: string; snapshot?: string }, options: LongOptions): ReadableStream<Uint8Array> {
		return this.#runner.outputOfRbd(
			["export", "--no-progress", "--", this.spec(from.name, from.snapshot), "-"],
			options,
		);
	}

	async resize(name: string, sizeBytes: number): Promise<void> {
		await this.#runner.changeRbd(["resize", "--no-progress", "--size", `${sizeBytes}B`, "--", this.spec(name)]);
	}

	/**
	 * What it has from its parent is copied into it and its snapshots; then it has none. Whoever has it open does that when another client asks
	 * for it. Begun anew it goes on where it was; an image without a parent is EINVAL.
	 */
	async flatten(name: string, options: LongOptions): Promise<void> {
		await this.#runner.requireRoom();
		await this.#runner.writeRbd(["flatten", "--", this.spec(name)], options);
		options.progress?.(1);
	}

	async rename(from: string, to: string): Promise<void> {
		await this.#runner.changeRbd(["rename", "--", this.spec(from), this.spec(to)]);
	}

	/** With its snapshots; `has`: that there are some, which saves a trial. Missing is not an error; `in-use` when copies rest on it or somebody has it open. */
	async remove(
		name: string,
		has: { snapshots: boolean } = { snapshots: false },
		options: LongOptions = {},
	): Promise<void> {
		const long = (args: string[]) => orMissing(this.#runner.changeRbdLong([...args, "--", this.spec(name)], options));
		const purge = () => long(["snap", "purge"]);
		const remove = () => long(["rm"]);
		try {
			if (has.snapshots) await purge();
			await remove();
		} catch (error) {
			if (has.snapshots || errnoOfCeph(error) !== errno.notEmpty) throw error;
			await purge();
			await remove();
		}
	}

	async snapshots(name: string): Promise<SnapshotsAnswer> {
		const text = await orMissing(this.#runner.rbd(["snap", "ls", "--all", ...json, "--", this.spec(name)]));
		return text === null ? [] : readAnswer(SnapshotsAnswer, text, "rbd snap ls");
	}

	/** Done already is done. */
	async makeSnapshot(name: string, snapshot: string): Promise<void> {
		await this.#runner.requireRoom();
		try {
			await this.#runner.changeRbd(["snap", "create", "--no-progress", "--", this.spec(name, snapshot)]);
		} catch (error) {
			if (errnoOfCeph(error) !== errno.exists) throw error;
		}
	}

	/** Missing is not an error. Copies that rest on it go on doing so; it is gone from the lists at once, and with the last of them. */
	async removeSnapshot(name: string, snapshot: string): Promise<void> {
		await orMissing(this.#runner.changeRbdLong(["snap", "rm", "--no-progress", "--", this.spec(name, snapshot)], {}));
	}

	async rollBack(name: string, snapshot: string, options: LongOptions): Promise<void> {
		await this.#runner.writeRbd(["snap", "rollback", "--", this.spec(name, snapshot)], options);
	}

	/** What is kept with the image under the key; null when there is none, or no such image. */
	async readMeta(name: string, key: string): Promise<string | null> {
		return orMissing(this.#runner.rbd(["image-meta", "get", "--", this.spec(name), key]));
	}

	async writeMeta(name: string, key: string, value: string): Promise<void> {
		await this.#runner.changeRbd(["image-meta", "set", "--", this.spec(name), key, value]);
	}

	/** Names of the images that rest on it: ids of volumes where they are ours. */
	async children(name: string): Promise<string[]> {
		const text = await orMissing(this.#runner.rbd(["children", "--all", ...json, "--", this.spec(name)]));
		const { cephPool, namespace } = this.#runner.place;
		return (text === null ? [] : readAnswer(ChildrenAnswer, text, "rbd children")).map((child) => {
			const own = child.pool === cephPool && (child.pool_namespace ?? "") === (namespace ?? "");
			return (
				(own ? volumeIdOf(child.image) : null) ??
				[child.pool, child.pool_namespace, child.image].filter(Boolean).join("/")
			);
		});
	}

	/** Addresses ("10.0.0.1:0/4711") of the clients that have it open for writing; one that died is one of them for half a minute. */
	async watchers(name: string): Promise<string[]> {
		const text = await orMissing(this.#runner.rbd(["status", ...json, "--", this.spec(name)]));
		return text === null ? [] : readAnswer(StatusAnswer, text, "rbd status").watchers.map(({ address }) => address);
	}

	/** Addresses ("10.0.0.1") of their hosts. */
	async writers(name: string): Promise<string[]> {
		return (await this.watchers(name)).map(hostOf);
	}

	/** Fails with `in-use` when a VM has it open. */
	async requireNotOpen(name: string): Promise<void> {
		const [host] = await this.writers(name);
		if (host !== undefined) throw new AppError("in-use", `A running VM has this disk open (on the host ${host}).`);
	}

	/** For commands that are about all of the pool. */
	poolArguments(): string[] {
		const { cephPool, namespace } = this.#runner.place;
		return ["--pool", cephPool, ...(namespace === null ? [] : ["--namespace", namespace])];
	}
}

/** Of a client's address: "fd00::1" of "[fd00::1]:0/4711". */
export const hostOf = (address: string): string => address.replace(/:\d+\/\d+$/, "").replace(/^\[(.*)\]$/, "$1");
