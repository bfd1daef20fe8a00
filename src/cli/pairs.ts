/** Values with several parts: "20GiB,pool=fast,bus=scsi". Pure. */
import { AppError } from "../lib/errors.ts";

export type Pairs<K extends string> = { readonly [P in K]?: string };

/**
 * "key=value,key=value" with the keys allowed; the first part may be the value of `first` without its key, and names in
 * `flags` stand alone. Fails with `invalid`.
 */
export function parsePairs<const K extends string, const F extends string = never>(
	text: string,
	{ keys, first, flags = [] }: { keys: readonly K[]; first?: K; flags?: readonly F[] },
): Pairs<K | F> {
	const found: Record<string, string> = {};
	for (const [at, part] of text.split(",").entries()) {
		const equals = part.indexOf("=");
		const isFirst = at === 0 && equals < 0 && first !== undefined && !flags.some((one) => one === part);
		const isFlag = equals < 0 && flags.some((one) => one === part);
		const key = isFirst ? first : equals < 0 ? part : part.slice(0, equals);
		const value = isFirst ? part : isFlag ? "yes" : part.slice(equals + 1);
		if (!isFlag && (!keys.some((one) => one === key) || (equals < 0 && !isFirst)))
			throw new AppError(
				"invalid",
				`"${part}" is not understood. What may be given: ${[...keys.map((one) => `${one}=…`), ...flags].join(", ")}.`,
			);
		if (key in found) throw new AppError("invalid", `${key} is given twice in "${text}".`);
		if (value === "") throw new AppError("invalid", `${key} is empty in "${text}".`);
		found[key] = value;
	}
	return found as Pairs<K | F>;
}

export function oneOfPair<const C extends readonly string[]>(
	value: string | undefined,
	allowed: C,
	key: string,
): C[number] | undefined {
	if (value === undefined) return undefined;
	const found = allowed.find((one) => one === value);
	if (found === undefined) throw new AppError("invalid", `${key}=${value}: it is one of ${allowed.join(", ")}.`);
	return found;
}
