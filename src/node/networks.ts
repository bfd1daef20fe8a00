/**
 * Networks on this node: made at start and when a VM needs them, removed on request. A network's health is written only
 * when it changes.
 */
import { AppError, toErrorInfo } from "../lib/errors.ts";
import type { Network, NetworkNodeStatus } from "../model/network.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";

export class Networks {
	readonly #context: NodeContext;

	constructor(context: NodeContext) {
		this.#context = context;
	}

	/** The bridge that NICs of this network join here; makes the network exist. */
	async bridge(networkId: string): Promise<string> {
		const network = this.#context.store.get("network", networkId);
		if (!network) throw new AppError("not-found", "The network of a NIC does not exist any more.");
		if (network.deleting) throw new AppError("wrong-state", `Network "${network.name}" is being deleted.`);
		return this.#ensure(network);
	}

	/** At start, and when libvirt came back: makes all of them exist. Failures are reported with the network. */
	async ensureAll(): Promise<void> {
		for (const network of this.#context.store.all("network")) {
			if (network.deleting || this.#context.stopping.aborted) continue;
			await this.#ensure(network).catch((error) =>
				this.#context.logger.warn("a network cannot be used here", { networkId: network.id, error }),
			);
		}
	}

	async create(networkId: string): Promise<string | null> {
		await this.bridge(networkId);
		return null;
	}

	async delete(networkId: string): Promise<string | null> {
		const network = this.#context.store.get("network", networkId);
		if (!network) return null;
		const users = this.#context.store
			.all("vm", { nodeId: this.#context.nodeId })
			.filter((vm) => vm.spec.nics.some((nic) => nic.networkId === networkId));
		if (users.length > 0)
			throw new AppError("in-use", `VM "${users[0]?.name}" has a NIC in network "${network.name}".`);
		await this.#context.locks.run(`network:${networkId}`, () =>
			limited(this.#context, "Removing the network", limits.networkMs, () => this.#context.network.remove(network)),
		);
		await this.#context.propose({ kind: "networkGone", id: networkId });
		return null;
	}

	async #ensure(network: Network): Promise<string> {
		const { nodeId } = this.#context;
		try {
			const { bridge } = await this.#context.locks.run(`network:${network.id}`, () =>
				limited(this.#context, "Making the network ready", limits.networkMs, () =>
					this.#context.network.ensure(network),
				),
			);
			await this.#report(network.id, { nodeId, health: "healthy", bridge, error: null });
			return bridge;
		} catch (error) {
			const known = this.#known(network.id);
			await this.#report(network.id, {
				nodeId,
				health: "error",
				bridge: known?.bridge ?? null,
				error: toErrorInfo(error),
			});
			throw error;
		}
	}

	#known(networkId: string): NetworkNodeStatus | null {
		const network = this.#context.store.get("network", networkId);
		return network?.nodes.find((node) => node.nodeId === this.#context.nodeId) ?? null;
	}

	async #report(id: string, status: NetworkNodeStatus): Promise<void> {
		const known = this.#known(id);
		const same =
			known !== null &&
			known.health === status.health &&
			known.bridge === status.bridge &&
			known.error?.code === status.error?.code &&
			known.error?.message === status.error?.message;
		if (same || !this.#context.store.get("network", id)) return;
		await this.#context.propose({ kind: "networkNodeStatus", id, status });
	}
}
