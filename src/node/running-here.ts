/**
 * What runs on this host of what this node has started, whoever's it is in the cluster's eyes now. Asked before a node joins,
 * when its loops may have ended long ago: hence over a connection of its own.
 */
import type { HypervisorDriver } from "../hypervisor/driver.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { vmFolder } from "./vm-folder.ts";
import { isActive } from "./vm-plan.ts";
import { withLimit } from "./wait.ts";

export type HostLibvirt = {
	client: { open(): Promise<void> };
	hypervisor: Pick<HypervisorDriver, "listDomains" | "domainXml">;
	close(): Promise<void>;
};

/** A host with many VMs that answer slowly is not what a join waits for. */
const limitMs = 20_000;

/** Null when libvirt does not say: the node says it once it is a member, and its libvirt is there. */
export async function runningHere(
	{ client, hypervisor, close }: HostLibvirt,
	{ dataDir, clock, logger }: { dataDir: string; clock: Clock; logger: Logger },
): Promise<string[] | null> {
	const read = async () => {
		await client.open();
		const active = (await hypervisor.listDomains()).filter((domain) => domain.ours && isActive(domain));
		const ids: string[] = [];
		for (const { id } of active) if ((await hypervisor.domainXml(id)).includes(vmFolder(dataDir, id))) ids.push(id);
		return ids;
	};
	try {
		return await withLimit(clock, { what: "Listing the VMs", limitMs }, read);
	} catch (error) {
		logger.warn("which VMs run on this host is not known before it joins", { error });
		return null;
	} finally {
		await close().catch(() => {});
	}
}
