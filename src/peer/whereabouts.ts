/**
 * Where another member may be reached: as the cluster's state says, and, beside that, as it says itself when it connects (its
 * certificate has shown by then that it is the one) or as an administrator says on this node alone. The state is what everybody goes
 * by; the others help when many nodes have moved at once and there is no quorum to change it. Who answers has to show the
 * certificate of the member in any case.
 */
import { type Address, formatAddress } from "./address.ts";

export class Whereabouts {
	#recorded: readonly Address[] = [];
	#given: readonly Address[] = [];
	#announced: readonly Address[] = [];
	/** Where it was reached last; tried first, as each address where nobody is may cost seconds. */
	#last: string | null = null;
	#said: string | null = null;

	/** `recorded` in the state; `given` on this node. True when they are others than before: what it said itself is of before. */
	set(recorded: readonly Address[], given: readonly Address[]): boolean {
		const before = textOf([...this.#recorded, ...this.#given]);
		[this.#recorded, this.#given] = [recorded, given];
		if (textOf([...recorded, ...given]) === before) return false;
		this.#announced = [];
		this.#last = null;
		return true;
	}

	announced(addresses: readonly Address[]): void {
		this.#announced = addresses;
	}

	/** It was reached there. True when that is news, and not what the state says. */
	reached(address: Address): boolean {
		const text = formatAddress(address);
		this.#last = text;
		const said = this.#said;
		this.#said = this.#recorded.some((one) => formatAddress(one) === text) ? null : text;
		return this.#said !== null && this.#said !== said;
	}

	/** In the order in which they are tried. */
	get all(): Address[] {
		const byText = new Map(
			[...this.#recorded, ...this.#given, ...this.#announced].map((one) => [formatAddress(one), one]),
		);
		const last = this.#last === null ? undefined : byText.get(this.#last);
		return [...new Set([...(last === undefined ? [] : [last]), ...byText.values()])];
	}
}

const textOf = (addresses: readonly Address[]): string => addresses.map(formatAddress).join();
