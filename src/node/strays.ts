/**
 * VMs that run on this host although their record is on another node: this one was cut off, or removed, and somebody took
 * them over. Two machines write to the same disks then. It is said where people look, in the VM's record (command vmElsewhere),
 * which also keeps the VM from being started, and in the log. Nothing is ended by itself: which of the two has what
 * is worth keeping is for a person to say.
 *
 * Nodes that share one libvirt see each other's VMs there. Those are told apart by the VM's folder, which is each node's own.
 */
import type { DomainState } from "../hypervisor/driver.ts";
import { isAppError } from "../lib/errors.ts";
import type { Event } from "../model/event.ts";
import type { Vm } from "../model/vm.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { vmFolder } from "./vm-folder.ts";
import { isActive } from "./vm-plan.ts";

/** The VM of another node that this domain is; null when it is this node's, nobody's, or was made by another node. */
export async function strayOf(context: NodeContext, { id }: Pick<DomainState, "id">): Promise<Vm | null> {
	const vm = context.store.get("vm", id);
	if (vm === null || vm.nodeId === context.nodeId) return null;
	try {
		const xml = await limited(context, "Reading the VM's definition", limits.readMs, () =>
			context.hypervisor.domainXml(id),
		);
		return xml.includes(vmFolder(context.dataDir, id)) ? vm : null;
	} catch (error) {
		if (isAppError(error, "not-found")) return null;
		throw error;
	}
}

export class Strays {
	readonly #context: NodeContext;
	/** VMs whose record says that they run here, too. Null: not looked at yet. */
	#said: Set<string> | null = null;

	constructor(context: NodeContext) {
		this.#context = context;
	}

	/** Call with all domains. */
	async look(domains: readonly DomainState[]): Promise<void> {
		const said = this.#known();
		const active = domains.filter((domain) => isActive(domain));
		const ids = new Set([...active.map(({ id }) => id), ...said]);
		for (const id of ids) await this.lookAt(id);
	}

	/** Of one VM that may have begun or ended here. */
	async lookAt(id: string): Promise<void> {
		const { store, nodeId, hypervisor, locks, stopping } = this.#context;
		const before = store.get("vm", id);
		if (before === null || (before.nodeId === nodeId && !this.#isSaid(before))) return;
		await locks.run(
			`stray:${id}`,
			async () => {
				const domain = await limited(this.#context, "Reading the VM's state", limits.readMs, () =>
					hypervisor.getDomain(id),
				);
				const runs = domain !== null && isActive(domain) && (await strayOf(this.#context, domain)) !== null;
				const vm = store.get("vm", id);
				if (vm !== null && this.#isSaid(vm) !== runs) await this.#say(vm, runs);
			},
			stopping,
		);
	}

	onStoreEvent({ target, type, object }: Event): void {
		if (target.kind !== "vm" || this.#said === null) return;
		if (type !== "deleted" && this.#isSaid(object as Vm)) this.#said.add(target.id);
		else this.#said.delete(target.id);
	}

	async #say(vm: Vm, runs: boolean): Promise<void> {
		const { nodeId, store, logger, propose } = this.#context;
		const facts = { vmId: vm.id, name: vm.name, node: store.get("node", vm.nodeId)?.name ?? vm.nodeId };
		if (runs)
			logger.error("a VM of another node runs on this host: shut one of them down, or its disks are destroyed", facts);
		else logger.info("a VM of another node does not run on this host any more", facts);
		try {
			await propose({ kind: "vmElsewhere", id: vm.id, nodeId, runs });
		} catch (error) {
			// It is this node's again, is gone, or some member is too old to know: the next comparison sees what is.
			const expected = (["wrong-state", "not-found", "unsupported"] as const).some((code) => isAppError(error, code));
			if (!expected) throw error;
			logger.warn("that was not recorded", { ...facts, error });
		}
	}

	#isSaid = ({ alsoRunsOn }: Vm): boolean => alsoRunsOn?.includes(this.#context.nodeId) === true;

	#known(): ReadonlySet<string> {
		const { store } = this.#context;
		this.#said ??= new Set(store.all("vm").flatMap((vm) => (this.#isSaid(vm) ? [vm.id] : [])));
		return this.#said;
	}
}
