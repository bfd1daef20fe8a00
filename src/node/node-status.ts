/** What the node says of itself: written when it changed, and only then. */
import { toRfc3339 } from "../lib/clock.ts";
import type { NodeStatus } from "../model/node.ts";
import { features } from "../store/command-features.ts";
import type { NodeContext } from "./context.ts";

const retryMs = 2_000;

type Facts = Omit<NodeStatus, "updatedAt">;

export class NodeStatusReporter {
	readonly #context: NodeContext;
	#bootedAt: string | null = null;
	#bridges: string[] = [];
	#reporting: Promise<void> | null = null;
	#again = false;

	constructor(context: NodeContext) {
		this.#context = context;
	}

	/** Reads what may have changed on the host, then reports. Never fails. */
	async refresh(): Promise<void> {
		const { host, network } = this.#context;
		this.#bootedAt ??= await host.bootedAtMs().then(toRfc3339, () => null);
		this.#bridges = await network.hostBridges().catch(() => this.#bridges);
		await this.report();
	}

	/** Reports that overlap are one. */
	report(): Promise<void> {
		if (this.#reporting) {
			this.#again = true;
			return this.#reporting;
		}
		this.#reporting = this.#report().finally(() => {
			this.#reporting = null;
			if (this.#again && !this.#context.stopping.aborted) {
				this.#again = false;
				void this.report();
			}
		});
		return this.#reporting;
	}

	async #report(): Promise<void> {
		const { store, nodeId, clock, logger } = this.#context;
		const node = store.get("node", nodeId);
		if (!node) return;
		const status = this.#status(node.status);
		const { updatedAt: _, ...known } = node.status;
		if (JSON.stringify(sorted(known)) === JSON.stringify(sorted(status))) return;
		try {
			await this.#context.propose({
				kind: "nodeStatus",
				id: nodeId,
				status: { ...status, updatedAt: toRfc3339(clock.nowMs()) },
			});
		} catch (error) {
			if (this.#context.stopping.aborted) return;
			logger.warn("the node's status was not recorded; it is tried again", { error });
			// The others would go by what it said before, until the next look at everything.
			clock.schedule(retryMs, () => {
				if (!this.#context.stopping.aborted) void this.report();
			});
		}
	}

	#status(known: NodeStatus): Facts {
		const info = this.#context.hypervisor.info();
		const connected = info.state === "connected";
		// What libvirt said last stays while it is away: the host has not changed its processor.
		return {
			phase: connected ? "ready" : "not-ready",
			reason: connected ? null : `libvirt does not answer${info.reason ? `: ${info.reason}` : "."}`,
			version: this.#context.version,
			features: [...features],
			hypervisor: info.state,
			hypervisorVersion: info.version ?? known.hypervisorVersion,
			accelerator: this.#context.accelerator.kind,
			acceleratorReason: this.#context.accelerator.reason,
			cpuModel: info.cpuModel ?? known.cpuModel,
			cpuCount: info.cpuCount || known.cpuCount,
			memoryBytes: info.memoryBytes || known.memoryBytes,
			bridges: this.#bridges,
			bootedAt: keepWithin(known.bootedAt, this.#bootedAt),
		};
	}
}

const sorted = (status: Facts): unknown[] => Object.entries(status).sort(([a], [b]) => (a < b ? -1 : 1));

/** The kernel computes the time of boot from the clock of now: a difference of seconds is none. */
function keepWithin(known: string | null, now: string | null): string | null {
	if (known === null || now === null) return now ?? known;
	return Math.abs(Date.parse(known) - Date.parse(now)) < 60_000 ? known : now;
}
