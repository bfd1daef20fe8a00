/** libvirt's statistics records → DomainStats. Pure. */
import type { DomainStats } from "../driver.ts";
import { reasonName, stateName } from "./rpc/flags.ts";
import type { DomainInfo, DomainStatsRecord, TypedParameters } from "./rpc/types.ts";
import { powerStateOf } from "./states.ts";

export function domainStatsOf({ domain, stats }: DomainStatsRecord): DomainStats {
	const number = (name: string): number | null => (typeof stats[name] === "number" ? stats[name] : null);
	const state = stateName(number("state.state") ?? 0);
	const [available, usable, unused] = ["balloon.available", "balloon.usable", "balloon.unused"].map(number);
	const free = usable ?? unused ?? null;
	const actual = number("balloon.current");
	return {
		id: domain.uuid,
		powerState: powerStateOf(state, reasonName(state, number("state.reason") ?? 0)),
		// Without control groups libvirt knows only what each vCPU took.
		cpuTimeNs: number("cpu.time") ?? sum(stats, "vcpu", "time"),
		vcpus: number("vcpu.current") ?? 0,
		memoryActualBytes: actual === null ? null : actual * 1024,
		// Only a guest with the balloon driver says it.
		memoryUsedBytes: available != null && free !== null ? Math.max(0, available - free) * 1024 : null,
		diskReadBytes: sum(stats, "block", "rd.bytes"),
		diskWriteBytes: sum(stats, "block", "wr.bytes"),
		netReceivedBytes: sum(stats, "net", "rx.bytes"),
		netSentBytes: sum(stats, "net", "tx.bytes"),
	};
}

/** What libvirt knows of a domain without asking its QEMU. */
export const outsideStatsOf = (
	record: DomainStatsRecord,
	{ cpuTimeNs, vcpus, memoryBytes }: Pick<DomainInfo, "cpuTimeNs" | "vcpus" | "memoryBytes">,
): DomainStats => ({
	...domainStatsOf(record),
	...{ cpuTimeNs, vcpus, memoryActualBytes: memoryBytes, memoryUsedBytes: null },
	...{ diskReadBytes: null, diskWriteBytes: null },
});

/**
 * False for a domain that libvirt could not ask without waiting: its record then lacks what only QEMU knows. Read as
 * zeroes, that would be a drop of every counter and a leap at the next reading.
 */
export function hasAllFigures({ stats }: DomainStatsRecord): boolean {
	const count = Math.min(Number(stats["block.count"] ?? 0), maxDevices);
	return (
		count === 0 || Array.from({ length: count }, (_, index) => index).some((at) => `block.${at}.rd.bytes` in stats)
	);
}

const maxDevices = 4096;

/** Of `group.0.field`, `group.1.field` …: a domain has as many as `group.count` (vCPUs: `vcpu.maximum`) says. */
function sum(stats: TypedParameters, group: string, field: string): number {
	const count = stats[`${group}.count`] ?? stats[`${group}.maximum`] ?? 0;
	let total = 0;
	for (let index = 0; index < Math.min(Number(count), maxDevices); index++) {
		const value = stats[`${group}.${index}.${field}`];
		if (typeof value === "number") total += value;
	}
	return total;
}
