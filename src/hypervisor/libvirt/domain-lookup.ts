/** What libvirt has of a domain at this moment: its state, its definition and what runs, read as we compare them. */
import { AppError, isAppError } from "../../lib/errors.ts";
import type { HangingPaths } from "../../lib/hanging-paths.ts";
import type { PowerState } from "../../model/vm.ts";
import { type ReadDomain, readDomain } from "./domain/domain-reader.ts";
import { withRealPaths } from "./real-paths.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { isLibvirtError, libvirtErrors } from "./rpc/errors.ts";
import { xmlFlags } from "./rpc/flags.ts";
import type { DomainStateInfo } from "./rpc/types.ts";
import { isActive, powerStateOf } from "./states.ts";

export class DomainLookup {
	readonly #client: LibvirtClient;
	readonly #paths: HangingPaths;

	constructor(client: LibvirtClient, paths: HangingPaths) {
		this.#client = client;
		this.#paths = paths;
	}

	state(id: string): Promise<DomainStateInfo> {
		return this.#client.domainGetState({ uuid: id });
	}

	async power(id: string): Promise<PowerState> {
		const { state, reason } = await this.state(id);
		return powerStateOf(state, reason);
	}

	async isActive(id: string): Promise<boolean> {
		return isActive((await this.state(id)).state);
	}

	/** Fails with `wrong-state` when it does not run. */
	async active(id: string): Promise<DomainStateInfo> {
		const found = await this.state(id);
		if (!isActive(found.state)) throw notRunning();
		return found;
	}

	/** `flags`: `xmlFlags`. */
	async read(id: string, flags = 0): Promise<ReadDomain> {
		return readDomain(await this.#client.domainGetXMLDesc({ uuid: id }, flags));
	}

	/** As `read`, with the real paths of its disks (real-paths.ts). */
	async readReal(id: string, flags = 0): Promise<ReadDomain> {
		return withRealPaths(this.#paths, await this.read(id, flags));
	}

	/** As `read`, of a domain that must run. */
	async readActive(id: string): Promise<ReadDomain> {
		await this.active(id);
		return this.read(id);
	}

	/** What there is of a domain: its definition, and what runs. */
	async existing(id: string): Promise<{ defined: ReadDomain | null; live: ReadDomain | null }> {
		try {
			const [active, persistent] = await Promise.all([
				this.isActive(id),
				this.#client.domainIsPersistent({ uuid: id }),
			]);
			const [defined, live] = await Promise.all([
				persistent ? this.readReal(id, xmlFlags.inactive) : null,
				active ? this.readReal(id) : null,
			]);
			return { defined, live };
		} catch (error) {
			if (isAppError(error, "not-found")) return { defined: null, live: null };
			throw error;
		}
	}

	/** For calls that fail when somebody, or the guest, was faster: then it is as wanted. */
	async unlessAlready(id: string, active: boolean, act: () => Promise<unknown>): Promise<void> {
		try {
			await act();
		} catch (error) {
			if (!isAppError(error, "wrong-state")) throw error;
			if ((await this.isActive(id)) !== active) throw error;
		}
	}
}

/** libvirt's mock hypervisor refuses flags that QEMU's driver knows. */
export async function firstAccepted(
	choices: readonly number[],
	act: (flags: number) => Promise<unknown>,
): Promise<void> {
	for (const [index, flags] of choices.entries()) {
		try {
			await act(flags);
			return;
		} catch (error) {
			if (index === choices.length - 1 || !isLibvirtError(error, libvirtErrors.invalidArgument)) throw error;
		}
	}
}

export const notRunning = () => new AppError("wrong-state", "The VM does not run.");
