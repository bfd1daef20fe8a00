/**
 * Figures of all running domains. libvirt asks one QEMU after the other and waits for each without a limit, so a QEMU that
 * hangs (its disk is dead, its process stopped) keeps the call for ever. The next call, told not to wait, finds that
 * domain taken and leaves it out: so a call that takes too long is left behind, and another one asks for the rest.
 *
 * A call left behind holds a thread of libvirtd and a place on the connection for statistics, until its QEMU goes on or
 * dies. Their number is bounded: with more VMs hanging at once there are no figures, and libvirtd stays usable.
 */
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { DomainStats } from "../driver.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { statsFlags, statsGroups } from "./rpc/flags.ts";
import type { DomainStatsRecord } from "./rpc/types.ts";
import { domainStatsOf, hasAllFigures } from "./stats.ts";

/** A busy host needs some milliseconds for each domain. */
const answerLimitMs = { base: 2_000, perDomain: 30, most: 12_000 } as const;
/** For all calls of one reading. */
const readingLimitMs = 12_000;
/** One less than the connection has places, which leaves one for other statistics. */
const maxLeftBehind = 4;
const leftBehindLimitMs = 24 * 3_600_000;

export class Statistics {
	readonly #client: Pick<LibvirtClient, "connectGetAllDomainStats">;
	readonly #clock: Clock;
	#underWay = 0;
	/** Domains in the answer before. */
	#domains = 0;

	constructor(client: Pick<LibvirtClient, "connectGetAllDomainStats">, clock: Clock) {
		this.#client = client;
		this.#clock = clock;
	}

	/** Domains that are busy or hang are left out. `timeout` when too many hang. */
	async read(): Promise<DomainStats[]> {
		const endsAtMs = this.#clock.monotonicMs() + readingLimitMs;
		while (this.#underWay < maxLeftBehind && this.#clock.monotonicMs() < endsAtMs) {
			const records = await this.#ask();
			if (records === null) continue;
			this.#domains = records.length;
			return records.filter(hasAllFigures).map(domainStatsOf);
		}
		throw new AppError("timeout", "Too many VMs hang, or libvirt is too slow: there are no figures.");
	}

	/** Null when it takes too long. */
	#ask(): Promise<DomainStatsRecord[] | null> {
		const { state, cpuTotal, balloon, vcpu, interface: net, block } = statsGroups;
		const groups = state | cpuTotal | balloon | vcpu | net | block;
		const flags = statsFlags.active | statsFlags.noWait;
		const { base, perDomain, most } = answerLimitMs;
		const limitMs = Math.min(base + perDomain * this.#domains, most);
		const { promise, resolve, reject } = Promise.withResolvers<DomainStatsRecord[] | null>();
		const timer = this.#clock.schedule(limitMs, () => resolve(null));
		this.#underWay += 1;
		this.#client
			.connectGetAllDomainStats(groups, flags, [], { timeoutMs: leftBehindLimitMs })
			.then(resolve, reject)
			.finally(() => {
				timer.cancel();
				this.#underWay -= 1;
			});
		return promise;
	}
}
