/** For the form of a new pool: which targets portals offer, and which LUNs a target has. Nothing stays logged in that was not. */

import { isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Iscsi } from "./iscsi.ts";
import type { Chap, DiscoveredTarget } from "./iscsi-text.ts";
import type { Luns } from "./lun.ts";
import type { Portal } from "./names.ts";
import { whatIsOn } from "./signatures.ts";
import type { TargetSessions } from "./target-sessions.ts";

/** What is on it: names of signatures, or "data"; empty when it is empty; null when it could not be read. */
export type DiscoveredLun = {
	wwid: string;
	lun: number;
	sizeBytes: number;
	vendor: string;
	model: string;
	paths: number;
	contents: string[] | null;
};

/** Portals that do not answer are left out, unless none does. */
export async function discoverTargets(
	iscsi: Iscsi,
	portals: readonly Portal[],
	chap: Chap | null,
): Promise<DiscoveredTarget[]> {
	const found = new Map<string, DiscoveredTarget>();
	const answers = await Promise.allSettled(portals.map((portal) => iscsi.discover(portal, chap)));
	for (const answer of answers) {
		if (answer.status === "rejected") continue;
		for (const { target, portals: at } of answer.value) {
			const known = found.get(target) ?? { target, portals: [] };
			found.set(target, known);
			for (const portal of at)
				if (!known.portals.some(({ host, port }) => host === portal.host && port === portal.port))
					known.portals.push(portal);
		}
	}
	const failed = answers.find((answer) => answer.status === "rejected");
	if (failed && answers.every((answer) => answer.status === "rejected")) throw failed.reason;
	return [...found.values()];
}

export async function discoverLuns(
	sessions: TargetSessions,
	luns: Luns,
	target: string,
	log: Logger,
	/** Fails where a session that is there belongs to somebody who knows another password. */
	mayUse: (reused: readonly Portal[]) => Promise<void>,
): Promise<DiscoveredLun[]> {
	const { undo, reused } = await sessions.join({});
	try {
		await mayUse(reused);
		const disks = await luns.settled(target);
		const found = new Map<string, DiscoveredLun>();
		for (const { wwid, lun, sizeBytes, vendor, model, device } of disks) {
			const known = found.get(wwid);
			if (known) known.paths += 1;
			if (known || wwid === "") continue;
			const contents = await whatIsOn(`/dev/${device}`, sizeBytes).catch((error: unknown) => {
				if (!isAppError(error)) throw error;
				log.warn("A LUN cannot be read", { wwid, error });
				return null;
			});
			found.set(wwid, { wwid, lun, sizeBytes, vendor, model, paths: 1, contents });
		}
		return [...found.values()].sort((a, b) => a.lun - b.lun);
	} finally {
		await undo();
	}
}
