/** Domains as the node wants to know them: power state, whether they are ours, and from which generation they were made. */
import { isAppError } from "../../lib/errors.ts";
import { readXml } from "../../lib/xml-reader.ts";
import type { DomainState } from "../driver.ts";
import { type OurMetadata, readMetadata } from "./domain/domain-reader.ts";
import { metadataUri } from "./domain/machine.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { isLibvirtError, libvirtErrors } from "./rpc/errors.ts";
import { affect, listDomainsFlags, reasonName, stateName, statsFlags, statsGroups } from "./rpc/flags.ts";
import type { DomainRef, DomainStateInfo } from "./rpc/types.ts";
import { isActive, powerStateOf } from "./states.ts";

const atOnce = 8;

/** Null when there is no such domain. */
export async function describeDomain(client: LibvirtClient, id: string): Promise<DomainState | null> {
	try {
		const domain = await client.domainLookupByUuid(id);
		const [state, persistent, autostart] = await Promise.all([
			client.domainGetState(domain),
			client.domainIsPersistent(domain),
			client.domainGetAutostart(domain),
		]);
		return await describe(client, domain, state, { persistent, autostart });
	} catch (error) {
		if (isAppError(error, "not-found")) return null;
		throw error;
	}
}

/** A domain that goes while we look is left out. */
export async function describeAll(client: LibvirtClient): Promise<DomainState[]> {
	const [domains, starting, transient, figures] = await Promise.all([
		client.connectListAllDomains(),
		client.connectListAllDomains(listDomainsFlags.autostart),
		client.connectListAllDomains(listDomainsFlags.transient),
		client.connectGetAllDomainStats(statsGroups.state, statsFlags.noWait),
	]);
	const automatic = new Set(starting.map((domain) => domain.uuid));
	const passing = new Set(transient.map((domain) => domain.uuid));
	const states = new Map(figures.map(({ domain, stats }) => [domain.uuid, stateFrom(stats)]));
	const found: DomainState[] = [];
	const queue = [...domains];
	const worker = async () => {
		for (let domain = queue.shift(); domain; domain = queue.shift()) {
			const state = states.get(domain.uuid);
			const described = state
				? await describe(client, domain, state, {
						persistent: !passing.has(domain.uuid),
						autostart: automatic.has(domain.uuid),
					})
				: await describeDomain(client, domain.uuid);
			if (described) found.push(described);
		}
	};
	await Promise.all(Array.from({ length: atOnce }, worker));
	return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function stateFrom(stats: Record<string, unknown>): DomainStateInfo {
	const state = stateName(Number(stats["state.state"] ?? 0));
	return { state, reason: reasonName(state, Number(stats["state.reason"] ?? 0)) };
}

async function describe(
	client: LibvirtClient,
	domain: DomainRef,
	{ state, reason }: DomainStateInfo,
	{ persistent, autostart }: Pick<DomainState, "persistent" | "autostart">,
): Promise<DomainState> {
	const active = isActive(state);
	const [defined, running] = await Promise.all([
		persistent ? ourMetadata(client, domain.uuid, affect.config) : null,
		active ? ourMetadata(client, domain.uuid, affect.live) : null,
	]);
	return {
		id: domain.uuid,
		name: running?.name ?? defined?.name ?? domain.name,
		powerState: powerStateOf(state, reason),
		reason,
		persistent,
		autostart,
		ours: defined !== null || running !== null,
		definedGeneration: defined?.generation || null,
		runningGeneration: running?.generation || null,
	};
}

/** Our metadata of the definition or of what runs; null when there is none, or when it has just stopped. */
async function ourMetadata(client: LibvirtClient, uuid: string, flags: number): Promise<OurMetadata | null> {
	try {
		return readMetadata(readXml(await client.domainGetMetadata({ uuid }, metadataUri, flags)));
	} catch (error) {
		if (isLibvirtError(error, libvirtErrors.noDomainMetadata)) return null;
		if (isAppError(error, "wrong-state") || isAppError(error, "malformed") || isAppError(error, "not-found"))
			return null;
		throw error;
	}
}
