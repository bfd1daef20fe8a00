/**
 * Domains in libvirt that are no VM of ours, or one of another node by now: listed, with what stands against adopting each and what would change about
 * it, and turned into the records with which they become ours (command vmAdopt; the task vm.adopt then takes over the
 * files and the definition, adoption-steps.ts).
 * Domains that are ours are adopted without asking: at start and at each reconnect the VM queues look at all of them
 * (vm-queues.ts, vm-look.ts).
 */
import type { DomainState, ForeignDomain } from "../hypervisor/driver.ts";
import { toRfc3339 } from "../lib/clock.ts";
import { AppError, toErrorInfo } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import type { Pool, Volume } from "../model/storage.ts";
import type { ForeignVm, Vm } from "../model/vm.ts";
import type { Adoptable, FileToAdopt } from "../storage/driver.ts";
import { type AdoptionView, changesOf, obstaclesOf, planAdoption } from "./adoption-plan.ts";
import { isBusy } from "./busy.ts";
import { limited, type NodeContext } from "./context.ts";
import { Semaphore } from "./gates.ts";
import { limits } from "./limits.ts";
import { isHere, type Pools } from "./pools.ts";
import { strayOf } from "./strays.ts";
import { isActive } from "./vm-plan.ts";

export class Adoption {
	readonly #context: NodeContext;
	readonly #pools: Pick<Pools, "driver">;
	readonly #reads = new Semaphore(4);

	constructor(context: NodeContext, pools: Pick<Pools, "driver">) {
		this.#context = context;
		this.#pools = pools;
	}

	/** `unavailable` while libvirt is away. */
	async foreignVms(): Promise<ForeignVm[]> {
		const domains = await limited(this.#context, "Listing the VMs", limits.readMs, () =>
			this.#context.hypervisor.listDomains(),
		);
		const read = (await Promise.all(domains.map((domain) => this.#reads.run(() => this.#lookAt(domain))))).flatMap(
			(one) => one ?? [],
		);
		const view = await this.#view(read.flatMap(({ found }) => (typeof found === "string" ? [] : found.disks)));
		return read.map(({ domain, found }) => this.#describe(domain, found, view));
	}

	/** Records for vmAdopt. `not-found`, or `wrong-state` with the obstacles. */
	async plan(domainId: string): Promise<{ vm: Vm; volumes: Volume[] }> {
		if (!isUuid(domainId)) throw new AppError("not-found", "There is no such VM in libvirt.");
		const known = this.#context.store.get("vm", domainId);
		if (known) throw new AppError("already-exists", `This is VM "${known.name}" of LimiQuantix already.`);
		const domain = await limited(this.#context, "Reading the VM's state", limits.readMs, () =>
			this.#context.hypervisor.getDomain(domainId),
		);
		if (!domain) throw new AppError("not-found", "There is no such VM in libvirt.");
		const foreign = await this.#inspect(domain);
		if (typeof foreign === "string") throw cannot([foreign]);
		const view = await this.#view(foreign.disks);
		const obstacles = [...foreign.obstacles, ...obstaclesOf(foreign, view)];
		if (obstacles.length > 0) throw cannot(obstacles);
		return planAdoption(foreign, view);
	}

	/** Null for what is no foreign domain: a VM of this node, or of another one that shares this libvirt. */
	async #lookAt(domain: DomainState): Promise<{ domain: DomainState; found: ForeignDomain | string } | null> {
		const { store } = this.#context;
		if (store.get("vm", domain.id) === null) return { domain, found: await this.#inspect(domain) };
		const stray = await strayOf(this.#context, domain);
		// What has moved away is still being removed, or what comes is not this node's yet.
		if (stray === null || (!isActive(domain) && isBusy(store, domain.id))) return null;
		const where = `the VM ${stray.name} of the cluster, which is on ${store.get("node", stray.nodeId)?.name ?? "another node"}`;
		const found = isActive(domain)
			? `This is ${where}: it runs here, too, and where both write to the same disk they destroy it. Shut it down here with virsh shutdown ${domain.id}, or virsh destroy ${domain.id}; nothing here does so by itself.`
			: `This is what is left here of ${where} now. Do not start it; virsh undefine --nvram ${domain.id} removes it.`;
		return { domain, found };
	}

	#describe(domain: DomainState, found: ForeignDomain | string, view: AdoptionView): ForeignVm {
		const base = { id: domain.id, name: domain.name, nodeId: this.#context.nodeId, powerState: domain.powerState };
		if (typeof found === "string") return { ...base, vcpus: 0, memoryBytes: 0, obstacles: [found], changes: [] };
		const { vcpus, memoryBytes } = found;
		const obstacles = [...found.obstacles, ...obstaclesOf(found, view)];
		return { ...base, vcpus, memoryBytes, obstacles, changes: changesOf(found, view) };
	}

	/** The domain, or why it cannot be read, as a sentence. */
	async #inspect(domain: DomainState): Promise<ForeignDomain | string> {
		if (domain.ours)
			return "It was made by LimiQuantix, but the cluster has no record of it. If it belongs to another cluster or to an old state, leave it there; else remove it with virsh undefine.";
		try {
			return await limited(this.#context, "Reading the VM's definition", limits.readMs, () =>
				this.#context.hypervisor.inspectForeign(domain.id),
			);
		} catch (error) {
			return error instanceof AppError ? error.message : "Its definition cannot be read.";
		}
	}

	async #view(disks: readonly FileToAdopt[]): Promise<AdoptionView> {
		const { store, nodeId, clock, ids, accelerator } = this.#context;
		const pools = store.all("pool").filter((pool) => isHere(pool, nodeId) && pool.phase !== "deleting");
		const byAge = pools.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
		const pool = byAge.find((one) => one.type === "local") ?? null;
		const files = pool ? await this.#look(pool, disks) : new Map<string, Adoptable>();
		return {
			nodeId,
			now: toRfc3339(clock.nowMs()),
			newId: () => ids.newId(),
			accelerator: accelerator.kind,
			networks: store.all("network").filter((network) => !network.deleting),
			pool,
			nameTaken: (kind, name) => store.count(kind, { name }) > 0,
			macHolder: (mac) => store.all("vm", { mac })[0]?.name ?? null,
			fileOf: (path) => files.get(path) ?? { refusal: "Its file was not looked at.", heldBy: null },
			knowsVolume: (id) => store.get("volume", id) !== null,
		};
	}

	/** The driver's own checks of the files, by path: what would make the adoption fail is said before it begins. */
	async #look(pool: Pool, disks: readonly FileToAdopt[]): Promise<Map<string, Adoptable>> {
		const byPath = new Map(disks.map(({ path, format }) => [path, { path, format }]));
		const wanted = [...byPath.values()];
		if (wanted.length === 0) return new Map();
		try {
			const driver = await this.#pools.driver(pool.id);
			const found = await limited(this.#context, "Looking at the disks", limits.readMs, () =>
				driver.adoptableFiles(wanted),
			);
			return new Map(wanted.flatMap(({ path }, index) => (found[index] ? [[path, found[index]]] : [])));
		} catch (error) {
			const refusal = toErrorInfo(error).message;
			return new Map(wanted.map(({ path }) => [path, { refusal, heldBy: null }]));
		}
	}
}

const cannot = (obstacles: readonly string[]): AppError =>
	new AppError("wrong-state", `The VM cannot be adopted: ${obstacles.join(" ")}`);
