/** For QEMU's work on a disk of a running VM, which goes on without us, and goes over while nothing else happens to the VM. */
import { AppError } from "../lib/errors.ts";
import type { VolumeUsers } from "./volumes.ts";

/** Nothing else happens to the VM between `begin` and `end`. `stopped`: what `begin` fails with when it does not run any more. */
export class Stillness {
	readonly #users: Pick<VolumeUsers, "whileStill">;
	readonly #vmId: string;
	readonly #signal: AbortSignal;
	readonly #stopped: string;
	readonly #over = Promise.withResolvers<void>();
	#begun = false;

	constructor(users: Pick<VolumeUsers, "whileStill">, vmId: string, signal: AbortSignal, stopped: string) {
		this.#users = users;
		this.#vmId = vmId;
		this.#signal = signal;
		this.#stopped = stopped;
	}

	get isHeld(): boolean {
		return this.#begun;
	}

	begin(): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#users
				.whileStill(this.#vmId, this.#signal, (active) => {
					this.#begun = active;
					if (active) resolve();
					else reject(new AppError("wrong-state", this.#stopped));
					return active ? this.#over.promise : Promise.resolve();
				})
				.catch(reject);
		});
	}

	end(): void {
		this.#begun = false;
		this.#over.resolve();
	}
}

/** The daemon's end takes nothing back: QEMU goes on, and the next daemon adopts its work. */
export function orStopping(signal: AbortSignal, stopping: AbortSignal): AbortSignal {
	const taken = new AbortController();
	const onAbort = () => {
		if (!stopping.aborted) taken.abort(signal.reason);
	};
	signal.addEventListener("abort", onAbort, { once: true });
	if (signal.aborted) onAbort();
	return taken.signal;
}

/** Fails when the daemon ends, unless the work `mustEnd` by then. */
export function untilStopping<T>(
	work: Promise<T>,
	stopping: AbortSignal,
	mustEnd: () => boolean = () => false,
): Promise<T> {
	return new Promise((resolve, reject) => {
		const onAbort = () => {
			if (!mustEnd()) reject(stopping.reason);
		};
		stopping.addEventListener("abort", onAbort, { once: true });
		if (stopping.aborted) onAbort();
		work.then(resolve, reject).finally(() => stopping.removeEventListener("abort", onAbort));
	});
}
