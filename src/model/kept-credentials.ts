/**
 * The credentials that are kept of a pool are used at the monitors or portals that it has, and nowhere else: who may change pools, and may not
 * read their credentials, would have them shown to a server of his own. Pure.
 */
import type { PoolConfig, PoolCredentials } from "./pool-config.ts";
import type { Pool } from "./storage.ts";

type Reach = {
	monitors?: readonly string[];
	portals?: readonly string[];
	chapUser?: string | null;
	mutualChapUser?: string | null;
};
/** A configuration, or what is asked of a server. */
export type Asked = PoolConfig | Reach;

const reachOf = (asked: Asked): Reach => ("path" in asked || "exportPath" in asked ? {} : asked);

const portsOfMonitors = [3300, 6789];
const portsOfPortals = [3260];

/** Those that the place is reached with. */
export function neededCredentials(asked: Asked): (keyof PoolCredentials)[] {
	const { monitors, portals, chapUser, mutualChapUser } = reachOf(asked);
	if (monitors !== undefined) return ["cephKey"];
	if (portals === undefined) return [];
	return [
		...(chapUser == null ? [] : (["chapPassword"] as const)),
		...(mutualChapUser == null ? [] : (["mutualChapPassword"] as const)),
	];
}

/** Of what is asked, the monitors or portals that the pool does not have, as they were given. */
export function foreignPlaces(own: PoolConfig, asked: Asked): string[] {
	const [has, wanted] = [reachOf(own), reachOf(asked)];
	const foreign = (places: readonly string[] = [], known: readonly string[] = [], ports: readonly number[]) => {
		const addresses = new Set(known.flatMap((one) => addressesOf(one, ports)));
		return places.filter((place) => !addressesOf(place, ports).every((address) => addresses.has(address)));
	};
	return [
		...foreign(wanted.monitors, has.monitors, portsOfMonitors),
		...foreign(wanted.portals, has.portals, portsOfPortals),
	];
}

/** HOST, HOST:PORT or [IPV6]:PORT; without a port all that are usual are asked. */
function addressesOf(place: string, ports: readonly number[]): string[] {
	const [, host = place, port] = /^(\[[^\]]*\]|[^:]*)(?::([0-9]+))?$/.exec(place) ?? [];
	const known = port === undefined ? ports : [Number(port)];
	return known.map((one) => `${host.toLowerCase()}:${one}`);
}

/** Why what is kept of the pool is not used there, as a sentence; null when it can be, or when none is needed. */
export function credentialsObstacle({ name, config }: Pick<Pool, "name" | "config">, asked: Asked): string | null {
	const foreign = neededCredentials(asked).length === 0 ? [] : foreignPlaces(config, asked);
	if (foreign.length === 0) return null;
	const [what, which] = reachOf(asked).monitors === undefined ? ["password", "portals"] : ["key", "monitors"];
	return `The ${what} of the storage pool ${name} is used at its own ${which} only: give it again for ${foreign.join(", ")}.`;
}
