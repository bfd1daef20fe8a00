/** Pictures of VMs' screens: at most one capture a second for each VM, shared by all who ask meanwhile; 32 are kept. */
import { limited, type NodeContext } from "./context.ts";
import { bounds, intervals, limits } from "./limits.ts";

type Picture = { takenAtMs: number; png: Promise<Uint8Array> };

export class Screenshots {
	readonly #context: NodeContext;
	/** In the order of their age. */
	readonly #pictures = new Map<string, Picture>();

	constructor(context: NodeContext) {
		this.#context = context;
	}

	take(vmId: string): Promise<Uint8Array> {
		const now = this.#context.clock.monotonicMs();
		const last = this.#pictures.get(vmId);
		if (last && now - last.takenAtMs < intervals.screenshotMs) return last.png;
		const png = limited(this.#context, "Taking a picture of the screen", limits.screenshotMs, () =>
			this.#context.hypervisor.screenshot(vmId),
		);
		this.forget(vmId);
		this.#pictures.set(vmId, { takenAtMs: now, png });
		// A failure is told to those who wait now, and not kept for others.
		png.catch(() => {
			if (this.#pictures.get(vmId)?.png === png) this.forget(vmId);
		});
		for (const oldest of this.#pictures.keys()) {
			if (this.#pictures.size <= bounds.screenshots) break;
			this.#pictures.delete(oldest);
		}
		return png;
	}

	/** The VM has ended: its last picture must not be shown for the next life. */
	forget(vmId: string): void {
		this.#pictures.delete(vmId);
	}
}
