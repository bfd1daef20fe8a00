/** Every call of the fake driver passes here, so that a test can see it, hold it, or make it fail. */
import { AppError } from "../lib/errors.ts";
import type { StorageDriver } from "./driver.ts";
import { abortable } from "./fake-content.ts";
import type { FakeSnapshotMethod } from "./fake-snapshots.ts";

/** Methods that can be made to fail or to wait. */
export type FakeMethod =
	| Exclude<keyof StorageDriver, "type" | "capabilities" | "hostSecrets" | "snapshots" | "fencing">
	| FakeSnapshotMethod;

/** Those that change something, or read a disk, which takes a while. */
const works: ReadonlySet<FakeMethod> = new Set<FakeMethod>([
	...(["createVolume", "deleteVolume", "resizeVolume", "growOpenVolume", "fillVolume", "flattenVolume"] as const),
	...(["receiveVolume", "exportVolume", "readVolume", "checkVolume", "adoptVolume", "releaseVolume"] as const),
	...(["openUpload", "finishImage", "importFile", "imageFromVolume", "deleteImage"] as const),
	...(["snapshots.take", "snapshots.revert", "snapshots.delete", "snapshots.undoTake"] as const),
	...(["snapshots.planLiveDelete", "snapshots.finishLiveDelete"] as const),
]);

export class FakeCalls {
	readonly calls: FakeMethod[] = [];
	readonly #failures: { method: FakeMethod; error: AppError }[] = [];
	readonly #gates = new Map<FakeMethod, Promise<void>>();
	#working = 0;

	/** The next call of `method` fails with `error` and changes nothing. */
	failNext(method: FakeMethod, error: AppError): void {
		this.#failures.push({ method, error });
	}

	/** How many failures of `method` had not come yet: they do not come any more. */
	forgetFailures(method: FakeMethod): number {
		const before = this.#failures.length;
		const kept = this.#failures.filter((one) => one.method !== method);
		this.#failures.splice(0, before, ...kept);
		return before - kept.length;
	}

	/** Calls of `method` wait (abortably) until the returned function is called. */
	hold(method: FakeMethod): () => void {
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#gates.set(method, promise);
		return () => {
			if (this.#gates.get(method) === promise) this.#gates.delete(method);
			resolve();
		};
	}

	/** Something is under way that is not to be disturbed. */
	protected get isWorking(): boolean {
		return this.#working > 0;
	}

	protected async working<T>(work: Promise<T>): Promise<T> {
		this.#working += 1;
		try {
			return await work;
		} finally {
			this.#working -= 1;
		}
	}

	/** Until somebody has read it to its end, or does not want to any more. */
	protected workingUntilRead<T extends { stream: ReadableStream<Uint8Array> }>(content: T): T {
		const reader = content.stream.getReader();
		const { promise, resolve } = Promise.withResolvers<void>();
		void this.working(promise);
		const stream = new ReadableStream<Uint8Array>(
			{
				async pull(controller) {
					const { done, value } = await reader.read();
					if (!done) return controller.enqueue(value);
					resolve();
					controller.close();
				},
				async cancel(reason) {
					resolve();
					await reader.cancel(reason);
				},
			},
			{ highWaterMark: 0 },
		);
		return { ...content, stream };
	}

	protected async enter(method: FakeMethod, signal?: AbortSignal): Promise<void> {
		this.calls.push(method);
		const gate = this.#gates.get(method);
		if (gate) await (works.has(method) ? this.working(abortable(gate, signal)) : abortable(gate, signal));
		if (signal?.aborted) throw new AppError("canceled", "The operation was canceled.");
		const failure = this.#failures.findIndex((one) => one.method === method);
		if (failure >= 0) throw this.#failures.splice(failure, 1)[0]?.error;
	}
}
