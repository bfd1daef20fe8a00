/** What the kernel says of this host's network: bridges, what is plugged into them, and where routes lead. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Subnet, subnet } from "./address.ts";

export type Route = { interface: string; subnet: Subnet };

export interface HostNetwork {
	/** Bridges by name, sorted. */
	bridges(): Promise<string[]>;
	/** Every network interface. */
	interfaces(): Promise<string[]>;
	/** Interfaces that are plugged into a bridge; none when there is no such bridge. */
	portsOf(bridge: string): Promise<string[]>;
	/** IPv4 routes of the main table, without the default route. */
	routes(): Promise<Route[]>;
}

/** `sys` and `proc`: where the pseudo file systems of the wanted network namespace are. */
export function hostNetwork(folders: { sys?: string; proc?: string } = {}): HostNetwork {
	const classNet = join(folders.sys ?? "/sys", "class/net");
	const routeFile = join(folders.proc ?? "/proc", "net/route");
	return {
		interfaces: async () => (await readdir(classNet)).sort(),
		async bridges() {
			const names = (await readdir(classNet)).sort();
			const areBridges = await Promise.all(names.map((name) => exists(join(classNet, name, "bridge"))));
			return names.filter((_, index) => areBridges[index]);
		},
		async portsOf(bridge) {
			const folder = join(classNet, bridge, "brif");
			return (await exists(folder)) ? (await readdir(folder)).sort() : [];
		},
		routes: async () => parseRoutes(await readFile(routeFile, "utf8")),
	};
}

async function exists(path: string): Promise<boolean> {
	try {
		await stat(path);
		return true;
	} catch {
		return false;
	}
}

const upFlag = 1;

/** /proc/net/route: name, destination and so on, addresses as hexadecimal numbers in the byte order of this (x86) host. */
export function parseRoutes(text: string): Route[] {
	const routes: Route[] = [];
	for (const line of text.split("\n").slice(1)) {
		const [name, destination, , flags, , , , mask] = line.split("\t");
		if (!name || !destination || !flags || !mask || (Number.parseInt(flags, 16) & upFlag) === 0) continue;
		const prefixLength = [...Number.parseInt(mask, 16).toString(2)].filter((bit) => bit === "1").length;
		if (prefixLength > 0) routes.push({ interface: name, subnet: subnet(swapBytes(destination), prefixLength) });
	}
	return routes;
}

const swapBytes = (hex: string): number => Buffer.from(hex.padStart(8, "0"), "hex").readUInt32LE(0);
