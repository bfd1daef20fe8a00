/** libvirt's statistics records → DomainStats. Pure. */
import type { DomainStats } from "../driver.ts";
import { reasonName, stateName } from "./rpc/flags.ts";
import type { DomainStatsRecord, TypedParameters } from "./rpc/types.ts";
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

/** Of `group.0.field`, `group.1.field` …: a domain has as many as `group.count` (vCPUs: `vcpu.maximum`) says. */
function sum(stats: TypedParameters, group: string, field: string): number {
	const count = stats[`${group}.count`] ?? stats[`${group}.maximum`] ?? 0;
	let total = 0;
	for (let index = 0; index < Math.min(Number(count), 4096); index++) {
		const value = stats[`${group}.${index}.${field}`];
		if (typeof value === "number") total += value;
	}
	return total;
}
