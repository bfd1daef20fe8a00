/**
 * Figures of all running domains. libvirt asks one QEMU after the other and waits for each without a limit, so a QEMU that
 * hangs (its disk is dead, its process stopped) keeps the call for ever. The next call, told not to wait, finds that
 * domain taken and leaves it out: so a call that takes too long is left behind, and another one asks for the rest.
 *
 * A call left behind holds a thread of libvirtd and a place on the connection for statistics, until its QEMU goes on or
 * dies. Their number is bounded: with more VMs hanging at once, one more question would only find the next that hangs, and
 * nobody can say which those are without asking them. Then libvirt is asked for what it knows without any QEMU (CPU time,
 * traffic): that cannot hang, so those figures go on for all, with any number of VMs hanging, and libvirtd stays usable.
 */
import type { Clock } from "../../lib/clock.ts";
import { isAppError } from "../../lib/errors.ts";
import type { DomainStats } from "../driver.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { statsFlags, statsGroups } from "./rpc/flags.ts";
import type { DomainStatsRecord } from "./rpc/types.ts";
import { domainStatsOf, hasAllFigures, outsideStatsOf } from "./stats.ts";

/** A busy host needs some milliseconds for each domain. */
const answerLimitMs = { base: 2_000, perDomain: 30, most: 12_000 } as const;
/** For all calls of one reading. */
const readingLimitMs = 12_000;
/** One less than the connection has places, which leaves one for other statistics. */
const maxLeftBehind = 4;
const outsideLimitMs = 5_000;
const leftBehindLimitMs = 24 * 3_600_000;

type Client = Pick<LibvirtClient, "connectGetAllDomainStats" | "domainGetInfo">;

export class Statistics {
	readonly #client: Client;
	readonly #clock: Clock;
	#underWay = 0;
	/** Domains in the answer before. */
	#domains = 0;

	constructor(client: Client, clock: Clock) {
		this.#client = client;
		this.#clock = clock;
	}

	/** Domains that are busy or hang are left out; when too many hang, none is, and those are the figures from outside. */
	async read(): Promise<DomainStats[]> {
		const endsAtMs = this.#clock.monotonicMs() + readingLimitMs;
		while (this.#underWay < maxLeftBehind && this.#clock.monotonicMs() < endsAtMs) {
			const records = await this.#ask();
			if (records === null) continue;
			this.#domains = records.length;
			return records.filter(hasAllFigures).map(domainStatsOf);
		}
		return this.#readOutside();
	}

	/** Neither these groups nor domainGetInfo make libvirt ask a QEMU (the group of CPU times does). */
	async #readOutside(): Promise<DomainStats[]> {
		const flags = statsFlags.active | statsFlags.noWait;
		const options = { timeoutMs: outsideLimitMs };
		const groups = statsGroups.state | statsGroups.interface;
		const records = await this.#client.connectGetAllDomainStats(groups, flags, [], options);
		const figures: DomainStats[] = [];
		for (const record of records) {
			try {
				figures.push(outsideStatsOf(record, await this.#client.domainGetInfo(record.domain, options)));
			} catch (error) {
				// It has ended meanwhile.
				if (!isAppError(error, "not-found")) throw error;
			}
		}
		return figures;
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
