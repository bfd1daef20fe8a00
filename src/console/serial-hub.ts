/**
 * The serial consoles of running VMs, each opened once and shown to all who watch it: libvirt gives a domain's console to
 * one stream at a time, and a second would throw the first out. What the guest says goes to everybody; whoever may
 * type, types. A watcher that reads too slowly is cut off alone.
 */
import type { SerialStream } from "../hypervisor/driver.ts";
import type { GuestStream, GuestStreamHandlers, OpenGuestStream } from "./bridge.ts";

/** Bytes that may wait for one slow watcher. */
const maxWaitingBytes = 1024 * 1024;

type Watcher = { handlers: GuestStreamHandlers; paused: boolean; waiting: Uint8Array[]; waitingBytes: number };
type Shared = { serial: SerialStream; watchers: Set<Watcher>; writing: boolean };

export class SerialHub {
	readonly #open: (vmId: string) => Promise<SerialStream>;
	readonly #shared = new Map<string, Promise<Shared>>();

	constructor(open: (vmId: string) => Promise<SerialStream>) {
		this.#open = open;
	}

	/** A watcher of this VM's console; fails as opening it does. */
	watch(vmId: string): OpenGuestStream {
		return async (handlers) => {
			const shared = await this.#get(vmId);
			const watcher: Watcher = { handlers, paused: false, waiting: [], waitingBytes: 0 };
			shared.watchers.add(watcher);
			return this.#streamFor(vmId, shared, watcher);
		};
	}

	#get(vmId: string): Promise<Shared> {
		const known = this.#shared.get(vmId);
		if (known) return known;
		const opening = this.#open(vmId).then((serial) => {
			const shared: Shared = { serial, watchers: new Set(), writing: false };
			void this.#pump(vmId, shared);
			return shared;
		});
		this.#shared.set(vmId, opening);
		opening.catch(() => this.#shared.delete(vmId));
		return opening;
	}

	/** Only this console: another may have been opened since. */
	async #forget(vmId: string, shared: Shared): Promise<void> {
		if ((await this.#shared.get(vmId)?.catch(() => null)) === shared) this.#shared.delete(vmId);
	}

	async #pump(vmId: string, shared: Shared): Promise<void> {
		let reason: string | null = null;
		try {
			for await (const data of shared.serial.output)
				for (const watcher of [...shared.watchers]) deliver(shared, watcher, data);
		} catch (error) {
			reason = error instanceof Error ? error.message : String(error);
		}
		await this.#forget(vmId, shared);
		for (const watcher of shared.watchers) watcher.handlers.onEnd(reason);
		shared.watchers.clear();
	}

	#streamFor(vmId: string, shared: Shared, watcher: Watcher): GuestStream {
		return {
			write(data) {
				if (shared.writing) return 0;
				shared.writing = true;
				shared.serial.write(data).then(
					() => {
						shared.writing = false;
						for (const each of [...shared.watchers]) each.handlers.onWritable();
					},
					() => watcher.handlers.onEnd("The serial console does not take input."),
				);
				return data.length;
			},
			pause() {
				watcher.paused = true;
			},
			resume() {
				watcher.paused = false;
				const waiting = watcher.waiting.splice(0);
				watcher.waitingBytes = 0;
				for (const data of waiting) deliver(shared, watcher, data);
			},
			end: () => {
				shared.watchers.delete(watcher);
				if (shared.watchers.size > 0) return;
				void this.#forget(vmId, shared);
				shared.serial.close().catch(() => {});
			},
		};
	}
}

function deliver(shared: Shared, watcher: Watcher, data: Uint8Array): void {
	if (!watcher.paused) {
		watcher.handlers.onData(data);
		return;
	}
	watcher.waiting.push(data);
	watcher.waitingBytes += data.length;
	if (watcher.waitingBytes <= maxWaitingBytes) return;
	shared.watchers.delete(watcher);
	watcher.handlers.onEnd("The connection is too slow.");
}
