/**
 * Where another member may be reached: as the cluster's state says, and, beside that, as it says itself when it connects (its
 * certificate has shown by then that it is the one), as an administrator says on this node alone, or as other members say that
 * have found it. The state is what everybody goes by; the others help when many nodes have moved at once and there is no quorum to
 * change it. Who answers has to show the certificate of the member in any case.
 */
import { type Address, formatAddress } from "./address.ts";

export class Whereabouts {
	#recorded: readonly Address[] = [];
	#given: readonly Address[] = [];
	#announced: readonly Address[] = [];
	#heard: readonly Address[] = [];
	/** Where it was reached last; tried first, as each address where nobody is may cost seconds. */
	#last: Address | null = null;
	#said: string | null = null;

	/** `recorded` in the state; `given` on this node. True when they are others than before: what was said otherwise is of before. */
	set(recorded: readonly Address[], given: readonly Address[]): boolean {
		const before = textOf([...this.#recorded, ...this.#given]);
		[this.#recorded, this.#given] = [recorded, given];
		if (textOf([...recorded, ...given]) === before) return false;
		this.#announced = [];
		this.#heard = [];
		this.#last = null;
		return true;
	}

	announced(addresses: readonly Address[]): void {
		this.#announced = addresses;
	}

	/** As other members say. True when that is news. */
	heard(addresses: readonly Address[]): boolean {
		const known = this.all.map(formatAddress);
		this.#heard = addresses;
		return addresses.some((address) => !known.includes(formatAddress(address)));
	}

	/** Where it is as far as this node has seen: where it was reached last, or else where it says itself that it is. */
	get seen(): readonly Address[] {
		return this.#last === null ? this.#announced : [this.#last];
	}

	/** It was reached there. True when that is news, and not what the state says. */
	reached(address: Address): boolean {
		const text = formatAddress(address);
		this.#last = address;
		const said = this.#said;
		this.#said = this.#recorded.some((one) => formatAddress(one) === text) ? null : text;
		return this.#said !== null && this.#said !== said;
	}

	/** In the order in which they are tried. */
	get all(): Address[] {
		const byText = new Map(
			[...this.#recorded, ...this.#given, ...this.#announced, ...this.#heard].map((one) => [formatAddress(one), one]),
		);
		const last = this.#last === null ? undefined : byText.get(formatAddress(this.#last));
		return [...new Set([...(last === undefined ? [] : [last]), ...byText.values()])];
	}
}

const textOf = (addresses: readonly Address[]): string => addresses.map(formatAddress).join();
