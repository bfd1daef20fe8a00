/** Options of `vm create` and `vm edit` that say what a VM is, and what they become in the request. */
import type { VmCreate } from "../../../gen/api.ts";
import { AppError } from "../../../lib/errors.ts";
import { MiB, parseBytes } from "../../../lib/units.ts";
import { macPattern } from "../../../model/vm.ts";
import type { Cli } from "../../cli.ts";
import { resolveId } from "../../names.ts";
import { choice, duration, integer, list, type OptionValues, onOff, size, text } from "../../options.ts";
import { given } from "../../pages.ts";
import { oneOfPair, parsePairs } from "../../pairs.ts";
import { attachmentFlags, attachmentKeys, attachmentOf, attachmentWords } from "./disk-options.ts";

const maxCpuCount = 512;
const nicModels = ["virtio", "e1000e"] as const;

export const hardwareOptions = {
	description: text("--description <text>", "what it is for"),
	cpus: integer("--cpus <count>", "virtual CPUs", { min: 1, max: maxCpuCount }),
	maxCpus: integer("--max-cpus <count>", "as many can be added while it runs", { min: 1, max: maxCpuCount }),
	cpuModel: choice("--cpu-model <model>", ["portable", "host"], "host: all features of this host"),
	memory: size("--memory <size>", "memory, for example 2GiB"),
	maxMemory: size("--max-memory <size>", "so much can be reached while it runs"),
	firmware: choice("--firmware <firmware>", ["bios", "uefi", "uefi-secure-boot"], "how it boots"),
	tpm: onOff("--tpm", "with a TPM", "without a TPM"),
	autostart: onOff("--autostart", "start it with the node", "do not start it with the node"),
	autostartOrder: integer("--autostart-order <number>", "lower starts first", { min: 0, max: 9999 }),
	autostartDelay: duration("--autostart-delay <time>", "wait after it before the next one starts"),
	shutdownTimeout: duration("--shutdown-timeout <time>", "how long a shut-down may take before the VM is stopped"),
} as const;
export type HardwareOptions = OptionValues<typeof hardwareOptions>;

/** The members of the request that need no look at the VM as it is. */
export const hardwareBody = (options: HardwareOptions) =>
	given({
		description: options.description,
		vcpus: options.cpus,
		maxVcpus: options.maxCpus,
		cpuModel: options.cpuModel,
		memoryBytes: options.memory,
		maxMemoryBytes: options.maxMemory,
		firmware: options.firmware,
		tpm: options.tpm,
		shutdownTimeoutMs: options.shutdownTimeout,
	});

type Autostart = NonNullable<VmCreate["autostart"]>;

/** The whole of it, as the API takes it; undefined when nothing of it is asked for. */
export function autostartBody(options: HardwareOptions, before: Autostart): Autostart | undefined {
	const { autostart, autostartOrder, autostartDelay } = options;
	if (autostart === undefined && autostartOrder === undefined && autostartDelay === undefined) return undefined;
	return {
		enabled: autostart ?? before.enabled,
		order: autostartOrder ?? before.order,
		delayMs: autostartDelay ?? before.delayMs,
	};
}

const diskKeys = ["size", "image", "volume", "pool", "format", "provisioning", ...attachmentKeys] as const;
const ofNewVolumes = ["size", "image", "pool", "format", "provisioning", "full-copy"] as const;
export type DiskRequest = ReturnType<typeof parseDisk>;

/** "20GiB", "size=20GiB,pool=fast", "volume=data,bus=scsi,read-only", "image=debian-13,full-copy". */
export function parseDisk(given: string) {
	const pairs = parsePairs(given, { keys: diskKeys, first: "size", flags: ["full-copy", ...attachmentFlags] });
	const wrong = pairs.volume === undefined ? undefined : ofNewVolumes.find((key) => pairs[key] !== undefined);
	if (wrong !== undefined)
		throw new AppError("invalid", `"${given}": ${wrong} does not go together with an existing volume.`);
	const sizeBytes = pairs.size === undefined ? undefined : parseBytes(pairs.size);
	if (sizeBytes !== undefined && sizeBytes < MiB)
		throw new AppError("invalid", `"${given}": a disk has 1 MiB at least.`);
	return {
		sizeBytes,
		image: pairs.image,
		volume: pairs.volume,
		pool: pairs.pool,
		format: oneOfPair(pairs.format, ["qcow2", "raw"] as const, "format"),
		provisioning: oneOfPair(pairs.provisioning, ["thin", "thick"] as const, "provisioning"),
		fullCopy: pairs["full-copy"] === undefined ? undefined : true,
		...attachmentOf(pairs),
	};
}

export const diskOption = list(
	"--disk <disk>",
	`disk: a size, or size=20GiB,pool=…,image=…,full-copy,format=qcow2|raw,provisioning=thin|thick, or volume=…; with each ${attachmentWords}; several times for several`,
	parseDisk,
);

/** A disk with its names turned into ids. */
export async function diskBody(cli: Cli, disk: DiskRequest, defaultPool: string | undefined) {
	const { image, volume, pool: named, ...others } = disk;
	const pool = named ?? (volume === undefined ? defaultPool : undefined);
	return given({
		...others,
		imageId: image === undefined ? undefined : await resolveId(cli, "image", image),
		volumeId: volume === undefined ? undefined : await resolveId(cli, "volume", volume),
		poolId: pool === undefined ? undefined : await resolveId(cli, "pool", pool),
	});
}

export type NicRequest = ReturnType<typeof parseNic>;

/** "lan", "lan,model=e1000e,mac=52:4c:00:00:00:01". */
export function parseNic(given: string) {
	const pairs = parsePairs(given, { keys: ["network", "model", "mac"], first: "network" });
	const mac = pairs.mac?.toLowerCase().replaceAll("-", ":");
	if (pairs.network === undefined) throw new AppError("invalid", `"${given}": the network is missing.`);
	if (mac !== undefined && !new RegExp(macPattern).test(mac))
		throw new AppError("invalid", `"${pairs.mac}" is no MAC address of one machine, like 52:4c:00:00:00:01.`);
	return { network: pairs.network, mac, model: oneOfPair(pairs.model, nicModels, "model") };
}

export async function nicBody(cli: Cli, { network, mac, model }: NicRequest) {
	return given({ networkId: await resolveId(cli, "network", network), mac, model });
}
