/** The libvirt of this host: a client, and the driver over it. Nothing is connected before `client.open()` or the first call. */
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/log.ts";
import type { Random } from "../../lib/random.ts";
import { createLibvirtDriver } from "./libvirt-driver.ts";
import { createLibvirtClient } from "./rpc/client.ts";

export type HostSettings = { libvirtUri: string; dataDir: string };

export function libvirtOfHost(
	{ libvirtUri: uri, dataDir }: HostSettings,
	deps: { clock: Clock; random: Random; logger: Logger },
) {
	const client = createLibvirtClient({ uri, ...deps });
	const hypervisor = createLibvirtDriver({ client, ...deps, folderOf: (vmId) => join(dataDir, "vms", vmId) });
	return {
		client,
		hypervisor,
		async close() {
			await hypervisor.close();
			await client.close();
		},
	};
}
