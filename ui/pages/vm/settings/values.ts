/** The settings form: values of a VM, the change that they make, and when each part of it applies. Pure. */
import { MiB } from "../../../../src/lib/units.ts";
import type { Vm, VmUpdate } from "../../../api/types.ts";
import { type CloudInitForm, checkCloudInit, cloudInitFormOf, cloudInitSpecOf } from "../../../lib/cloud-init.ts";
import { formatBytes } from "../../../lib/format.ts";
import { fits, namePattern } from "../../../lib/patterns.ts";
import { common } from "../../../strings/common.ts";
import { settings as t } from "../../../strings/settings.ts";

export type SettingsValues = {
	name: string;
	description: string;
	tags: string[];
	vcpus: number | null;
	maxVcpus: number | null;
	cpuModel: Vm["spec"]["cpu"]["model"];
	memoryBytes: number | null;
	maxMemoryBytes: number | null;
	firmware: Vm["spec"]["firmware"];
	tpm: boolean;
	bootOrder: string[];
	autostart: boolean;
	autostartOrder: number | null;
	autostartDelaySeconds: number | null;
	shutdownSeconds: number | null;
	cloudInit: CloudInitForm;
};

export const settingsOf = ({ name, description, tags, spec }: Vm): SettingsValues => ({
	name,
	description,
	tags,
	vcpus: spec.cpu.vcpus,
	maxVcpus: spec.cpu.maxVcpus,
	cpuModel: spec.cpu.model,
	memoryBytes: spec.memory.sizeBytes,
	maxMemoryBytes: spec.memory.maxSizeBytes,
	firmware: spec.firmware,
	tpm: spec.tpm,
	bootOrder: spec.bootOrder,
	autostart: spec.autostart.enabled,
	autostartOrder: spec.autostart.order,
	autostartDelaySeconds: spec.autostart.delayMs / 1000,
	shutdownSeconds: spec.shutdownTimeoutMs / 1000,
	cloudInit: cloudInitFormOf(spec.cloudInit),
});

const maxVcpus = 512;

/** What does not fit together is said under the field that was changed, or under both. */
export function checkSettings(
	before: SettingsValues,
	values: SettingsValues,
	nodeMemoryBytes: number | null,
): Record<string, string> {
	const errors: Record<string, string> = checkCloudInit(values.cloudInit);
	const range = (path: string, value: number | null, min: number, max: number) => {
		if (value === null || !Number.isInteger(value) || value < min || value > max) {
			errors[path] = common.numberRange(String(min), String(max));
		}
	};
	if (!fits(namePattern, values.name)) errors["/name"] = common.nameInvalid;
	range("/vcpus", values.vcpus, 1, maxVcpus);
	range("/maxVcpus", values.maxVcpus, 1, maxVcpus);
	if ((values.maxVcpus ?? 0) < (values.vcpus ?? 0)) {
		if (values.vcpus !== before.vcpus) errors["/vcpus"] ??= t.aboveMax(String(values.maxVcpus ?? 0));
		if (values.maxVcpus !== before.maxVcpus) errors["/maxVcpus"] ??= t.maxBelow;
	}
	if ((values.memoryBytes ?? 0) < 32 * MiB) errors["/memoryBytes"] = t.memoryMin;
	if ((values.maxMemoryBytes ?? 0) < (values.memoryBytes ?? 0)) {
		const most = formatBytes(values.maxMemoryBytes ?? 0);
		if (values.memoryBytes !== before.memoryBytes) errors["/memoryBytes"] ??= t.aboveMax(most);
		if (values.maxMemoryBytes !== before.maxMemoryBytes) errors["/maxMemoryBytes"] ??= t.maxBelow;
	}
	if (nodeMemoryBytes !== null && (values.memoryBytes ?? 0) > nodeMemoryBytes) {
		errors["/memoryBytes"] = t.overMemory(formatBytes(nodeMemoryBytes));
	}
	range("/autostart/order", values.autostartOrder, 0, 9999);
	range("/autostart/delayMs", values.autostartDelaySeconds, 0, 3600);
	range("/shutdownTimeoutMs", values.shutdownSeconds, 1, 3600);
	return errors;
}

/** Only what differs; null when nothing does. */
export async function settingsUpdate(
	before: SettingsValues,
	after: SettingsValues,
	hash: (password: string) => Promise<string>,
): Promise<VmUpdate | null> {
	const update: VmUpdate = {};
	const differs = (key: keyof SettingsValues) => JSON.stringify(before[key]) !== JSON.stringify(after[key]);
	if (differs("name")) update.name = after.name;
	if (differs("description")) update.description = after.description;
	if (differs("tags")) update.tags = after.tags;
	if (differs("vcpus")) update.vcpus = after.vcpus ?? 1;
	if (differs("maxVcpus")) update.maxVcpus = after.maxVcpus ?? 1;
	if (differs("cpuModel")) update.cpuModel = after.cpuModel;
	if (differs("memoryBytes")) update.memoryBytes = after.memoryBytes ?? 0;
	if (differs("maxMemoryBytes")) update.maxMemoryBytes = after.maxMemoryBytes ?? 0;
	if (differs("firmware")) update.firmware = after.firmware;
	if (differs("tpm")) update.tpm = after.tpm;
	if (differs("bootOrder")) update.bootOrder = after.bootOrder;
	if (differs("autostart") || differs("autostartOrder") || differs("autostartDelaySeconds")) {
		update.autostart = {
			enabled: after.autostart,
			order: after.autostartOrder ?? 100,
			delayMs: (after.autostartDelaySeconds ?? 0) * 1000,
		};
	}
	if (differs("shutdownSeconds")) update.shutdownTimeoutMs = (after.shutdownSeconds ?? 120) * 1000;
	if (differs("cloudInit")) update.cloudInit = await cloudInitSpecOf(after.cloudInit, hash);
	return Object.keys(update).length > 0 ? update : null;
}

export type When = "now" | "maybe" | "restart";

/** When a change applies to a running VM: the node decides in the end, and says so with `pendingRestart`. */
export function whenApplied(key: keyof SettingsValues, before: SettingsValues, after: SettingsValues): When {
	switch (key) {
		case "name":
		case "description":
		case "tags":
		case "autostart":
		case "autostartOrder":
		case "autostartDelaySeconds":
		case "shutdownSeconds":
			return "now";
		case "vcpus":
			return (after.vcpus ?? 0) <= (before.maxVcpus ?? 0) ? "maybe" : "restart";
		case "memoryBytes":
			return (after.memoryBytes ?? 0) <= (before.maxMemoryBytes ?? 0) ? "maybe" : "restart";
		default:
			return "restart";
	}
}

/** Which fields changed, by when they apply. */
export function changesByTime(before: SettingsValues, after: SettingsValues): Record<When, (keyof SettingsValues)[]> {
	const result: Record<When, (keyof SettingsValues)[]> = { now: [], maybe: [], restart: [] };
	for (const key of Object.keys(after) as (keyof SettingsValues)[]) {
		if (JSON.stringify(before[key]) !== JSON.stringify(after[key])) result[whenApplied(key, before, after)].push(key);
	}
	return result;
}
