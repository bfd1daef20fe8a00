/**
 * Networks on this node: made at start and when a VM needs them, removed on request. A network's health is written only
 * when it changes.
 *
 * Another network of ours may serve as one of the cluster's (network/driver.ts), and is removed once nothing is plugged into it. Between
 * the look at its bridge and the VM that is plugged in there are several steps: whoever was given it holds it until then.
 */
import { AppError, isAppError, toErrorInfo } from "../lib/errors.ts";
import type { Network, NetworkNodeStatus } from "../model/network.ts";
import { powerStates, type Vm } from "../model/vm.ts";
import { bridgeName } from "../network/names.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { onceHypervisorAnswers, type TaskRun } from "./task-run.ts";
import { isActive } from "./vm-plan.ts";
import type { VolumeUsers } from "./volumes.ts";

const mayRun = powerStates.filter((state) => state !== "stopped" && state !== "failed");

export class Networks {
	readonly #context: NodeContext;
	/** Bridges by those that were given them. */
	readonly #held = new Map<object, Set<string>>();
	/** Nobody removes networks that may serve as another while somebody is about to be served by one, and the other way round. */
	#removing: Promise<void> | null = null;
	readonly #ensuring = new Set<Promise<unknown>>();

	constructor(context: NodeContext) {
		this.#context = context;
	}

	/** The bridge that NICs of this network join here; makes the network exist. It stays until `user`, if there is one, calls `release`. */
	async bridge(networkId: string, user: object | null): Promise<string> {
		const network = this.#usable(networkId);
		// What keeps it from working, or serves as it, may be one whose last VM has ended since.
		if (this.#known(networkId)?.health !== "healthy" || this.#isServed(network)) await this.removeForgotten();
		return this.#ensure(networkId, user);
	}

	release(user: object): void {
		this.#held.delete(user);
	}

	#isHeld(bridge: string): boolean {
		return [...this.#held.values()].some((bridges) => bridges.has(bridge));
	}

	/** Another network of ours does here what it would. */
	#isServed({ id, config }: Network): boolean {
		const bridge = this.#known(id)?.bridge ?? null;
		return config.kind === "nat" && bridge !== null && bridge !== bridgeName(id);
	}

	#usable(networkId: string): Network {
		const network = this.#context.store.get("network", networkId);
		if (!network) throw new AppError("not-found", "The network of a NIC does not exist any more.");
		if (network.deleting) throw new AppError("wrong-state", `Network "${network.name}" is being deleted.`);
		return network;
	}

	/** Of a time before this node joined, or deleted while it was away: their addresses may be another network's now. */
	async removeForgotten(): Promise<void> {
		const { store, network, connection, logger, stopping } = this.#context;
		if (!connection.connected) return;
		try {
			// A copy of the state that is behind may not know a network yet.
			await limited(this.#context, "Asking for the newest state", limits.networkMs, () => store.readIndex());
			const isKnown = (id: string) => store.get("network", id) !== null || this.#isHeld(bridgeName(id));
			while (this.#ensuring.size > 0 || this.#removing !== null)
				await Promise.allSettled([this.#removing, ...this.#ensuring]);
			this.#removing = limited(this.#context, "Removing networks that are not the cluster's", limits.networkMs, () =>
				network.removeOthers(isKnown),
			).finally(() => {
				this.#removing = null;
			});
			await this.#removing;
		} catch (error) {
			if (!stopping.aborted) logger.warn("networks that are not the cluster's stay for now", { error });
		}
	}

	/** At start, and when libvirt came back: makes all of them exist. Failures are reported with the network. */
	async ensureAll(): Promise<void> {
		await this.removeForgotten();
		await this.#ensureEach(this.#context.store.all("network"));
	}

	/** From time to time: what kept some of them from working, or served as one, may be gone, and nobody says so. */
	async ensureUnready(): Promise<void> {
		const { store, connection } = this.#context;
		const unready = store
			.all("network")
			.filter((network) => this.#known(network.id)?.health !== "healthy" || this.#isServed(network));
		if (unready.length === 0 || !connection.connected) return;
		await this.removeForgotten();
		await this.#ensureEach(unready);
	}

	/** Made by somebody: it is made here, too, so that VMs can be placed here. While libvirt is away, that is for later. */
	async ensureNew(networkId: string): Promise<void> {
		if (!this.#context.connection.connected) return;
		// One with the same addresses may have been deleted a moment ago, and is on its way out.
		await this.removeForgotten();
		const network = this.#context.store.get("network", networkId);
		if (network) await this.#ensureEach([network]);
	}

	async #ensureEach(networks: readonly Network[]): Promise<void> {
		for (const { id, deleting } of networks) {
			if (deleting || this.#context.stopping.aborted) continue;
			const wasHealthy = this.#known(id)?.health !== "error";
			await this.#ensure(id, null).catch((error) =>
				this.#context.logger[wasHealthy ? "warn" : "debug"]("a network cannot be used here", { networkId: id, error }),
			);
		}
	}

	async create(networkId: string, run: TaskRun): Promise<string | null> {
		await onceHypervisorAnswers(this.#context, run, () => this.bridge(networkId, null));
		return null;
	}

	/** `in-use` while a VM has a NIC in it, by its record or only in the process that runs. */
	async delete(networkId: string, run: TaskRun, users: Pick<VolumeUsers, "whileStill">): Promise<string | null> {
		const { store, nodeId } = this.#context;
		const network = store.get("network", networkId);
		if (!network) return null;
		const [vm] = store.all("vm", { nodeId, networkId });
		if (vm) throw new AppError("in-use", `VM "${vm.name}" has a NIC in network "${network.name}".`);
		const remove = async () => {
			await this.#requireUnplugged(network, run.signal, users);
			await this.#context.locks.run(`network:${networkId}`, () =>
				limited(this.#context, "Removing the network", limits.networkMs, () => this.#context.network.remove(network)),
			);
		};
		// A bridge that was there before us stays, with whatever is plugged into it.
		if (network.config.kind === "bridge") await this.#context.network.remove(network);
		else await onceHypervisorAnswers(this.#context, run, remove);
		await this.#context.propose({ kind: "networkGone", id: networkId });
		return null;
	}

	/** A guest may keep a NIC that was taken out of its VM's record. Domains that others made may use our bridge, too. */
	async #requireUnplugged(
		network: Network,
		signal: AbortSignal,
		users: Pick<VolumeUsers, "whileStill">,
	): Promise<void> {
		const bridge = this.#known(network.id)?.bridge;
		if (!bridge) return;
		const domains = await limited(this.#context, "Listing the VMs", limits.readMs, () =>
			this.#context.hypervisor.listDomains(),
		);
		for (const domain of domains.filter(isActive)) {
			if (!(await this.#hasPlugged(domain.id, [bridge]))) continue;
			const vm = this.#context.store.get("vm", domain.id);
			// Taking it out may be under way: what counts is how that ends.
			const stays = !vm || (await users.whileStill(vm.id, signal, () => this.#hasPlugged(vm.id, [bridge])));
			if (!stays) continue;
			const kept = vm ? `VM "${vm.name}" has kept a NIC` : `VM "${domain.name}", which was made elsewhere, has a NIC`;
			throw new AppError("in-use", `${kept} in network "${network.name}": stop that VM first.`);
		}
	}

	/** `in-use` when another VM's guest has kept a NIC with a MAC address that is now this VM's. */
	async requireFreeMacs(vm: Vm): Promise<void> {
		const macs = vm.spec.nics.map((nic) => nic.mac);
		if (macs.length === 0) return;
		// A guest that is off has kept nothing: of 10,000 VMs, only those are read that may run.
		for (const other of this.#context.store.all("vm", { nodeId: this.#context.nodeId, powerState: mayRun })) {
			const { pendingRestart, observedGeneration, taskId, powerState } = other.status;
			const behind = pendingRestart || observedGeneration !== other.generation || taskId !== null;
			if (other.id === vm.id || (!behind && powerState !== "unknown")) continue;
			const state = await limited(this.#context, "Reading a VM's state", limits.readMs, () =>
				this.#context.hypervisor.getDomain(other.id),
			);
			if (!isActive(state) || !(await this.#hasPlugged(other.id, macs))) continue;
			throw new AppError(
				"in-use",
				`VM "${other.name}" has kept a NIC with a MAC address that is now this VM's: stop that VM first.`,
			);
		}
	}

	async #hasPlugged(vmId: string, marks: readonly string[]): Promise<boolean> {
		try {
			const xml = await limited(this.#context, "Reading a VM's definition", limits.readMs, () =>
				this.#context.hypervisor.domainXml(vmId),
			);
			return marks.some((mark) => xml.includes(mark));
		} catch (error) {
			if (isAppError(error, "not-found")) return false;
			throw error;
		}
	}

	async #ensure(id: string, user: object | null): Promise<string> {
		const { nodeId, store, locks } = this.#context;
		const ensure = async () => {
			// It may have been deleted while others had the lock: nobody would remove what is made now.
			const { bridge } = await limited(this.#context, "Making the network ready", limits.networkMs, async () =>
				this.#context.network.ensure(this.#usable(id)),
			);
			if (user !== null) this.#held.set(user, (this.#held.get(user) ?? new Set()).add(bridge));
			return bridge;
		};
		try {
			const bridge = await locks.run(`network:${id}`, () => this.#whileNobodyRemoves(ensure));
			await this.#report(id, { nodeId, health: "healthy", bridge, error: null });
			return bridge;
		} catch (error) {
			const known = this.#known(id);
			if (store.get("network", id)?.deleting !== false) throw error;
			await this.#report(id, {
				nodeId,
				health: "error",
				bridge: known?.bridge ?? null,
				error: toErrorInfo(error),
			});
			throw error;
		}
	}

	/** Of several networks at the same time: one that hangs keeps nobody else waiting. */
	async #whileNobodyRemoves<T>(ensure: () => Promise<T>): Promise<T> {
		while (this.#removing !== null) await Promise.allSettled([this.#removing]);
		const ensured = ensure();
		this.#ensuring.add(ensured);
		return ensured.finally(() => this.#ensuring.delete(ensured));
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
