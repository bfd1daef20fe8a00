/**
 * `limiquantix vm edit`. The API replaces lists whole, so devices are added and removed in a copy of what the VM has,
 * and sent with the generation that the copy was made of; when somebody else was faster it is done once more.
 */
import type { Vm, VmUpdate } from "../../../gen/api.ts";
import { AppError, isAppError } from "../../../lib/errors.ts";
import type { Random } from "../../../lib/random.ts";
import { usualCache } from "../../../model/storage-rules.ts";
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { resolveId } from "../../names.ts";
import { flag, list, off, text, texts } from "../../options.ts";
import { given } from "../../pages.ts";
import { parsePairs } from "../../pairs.ts";
import { finishObject, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { tags } from "../common-options.ts";
import { cloudInitBody, cloudInitOptions } from "./cloud-init-options.ts";
import { type Attachment, attachmentFlags, attachmentKeys, attachmentOf, attachmentWords } from "./disk-options.ts";
import { autostartBody, hardwareBody, hardwareOptions, type NicRequest, parseNic } from "./hardware-options.ts";
import { getVm, showVm, vmArgument } from "./show.ts";

const maxTries = 3;

function parseAttach(text: string) {
	const pairs = parsePairs(text, { keys: ["volume", ...attachmentKeys], first: "volume", flags: attachmentFlags });
	if (pairs.volume === undefined) throw new AppError("invalid", `"${text}": the volume is missing.`);
	return { volume: pairs.volume, attachment: attachmentOf(pairs) };
}

const deviceOptions = {
	attach: list("--attach <volume>", `attach a volume as a disk, also NAME,${attachmentWords}`, parseAttach),
	detach: texts("--detach <disk>", "detach a disk: its device id, or name or id of its volume"),
	addNic: list("--add-nic <network>", "add a NIC, also NAME,model=virtio|e1000e,mac=…", parseNic),
	removeNic: texts("--remove-nic <nic>", "remove a NIC: its device id or MAC address"),
	addCdrom: flag("--add-cdrom", "add an empty CD-ROM drive"),
	removeCdrom: texts("--remove-cdrom <drive>", "remove a CD-ROM drive, by its device id"),
	bootOrder: text("--boot-order <devices>", "device ids in their order: disk-0,cdrom-0"),
} as const;

export const editVerb: Verb = verb({
	name: "edit",
	aliases: ["set"],
	summary: "Change a VM",
	description:
		"What is not named stays. What cannot change while the VM runs waits for its next start; limiquantix vm show says so.",
	examples: [
		"limiquantix vm edit web --memory 4GiB --cpus 4",
		"limiquantix vm edit web --attach data,bus=scsi --add-nic office",
		"limiquantix vm edit web --detach disk-1 --boot-order disk-0,cdrom-0 --autostart",
	],
	arguments: vmArgument,
	options: {
		name: text("--name <name>", "the new name"),
		tag: { ...tags, description: "tag, in place of all that it has; several times for several" },
		tags: off("--no-tags", "take all tags away"),
		...hardwareOptions,
		...deviceOptions,
		...cloudInitOptions,
		cloudInit: off("--no-cloud-init", "take cloud-init away"),
		...waitOptions,
	},
	async run(cli, { vm }, options) {
		const { name, tag } = options;
		if (!options.tags && tag.length > 0) throw usageError("--tag and --no-tags contradict each other.");
		const cloudInit = await cloudInitBody(cli, options);
		if (!options.cloudInit && cloudInit !== undefined)
			throw usageError("--no-cloud-init contradicts the other options.");
		const plain = {
			...hardwareBody(options),
			...given({ name, tags: tag, cloudInit, bootOrder: options.bootOrder?.split(",") }),
			...(options.tags ? {} : { tags: [] }),
			...(options.cloudInit ? {} : { cloudInit: null }),
		};
		const change = await resolveDevices(cli, options);
		const id = await resolveId(cli, "vm", vm);
		for (let tries = 1; ; tries++) {
			const { body: before } = await getVm(cli, id);
			const body: VmUpdate = {
				...plain,
				...given({ autostart: autostartBody(options, before.spec.autostart) }),
				...changedDevices(before, change, cli.io.random),
			};
			if (Object.keys(body).length === 0) throw usageError("Nothing is to be changed.");
			try {
				const result = await cli.call("vmUpdate", { path: { id }, body, ifMatch: before.generation });
				return await showVm(cli, await finishObject(cli, result, options, () => getVm(cli, id)));
			} catch (error) {
				if (!isAppError(error, "stale-etag") || tries >= maxTries) throw error;
			}
		}
	},
});

type DiskCache = Vm["spec"]["disks"][number]["cache"];
type DeviceChange = {
	attach: { volumeId: string; attachment: Attachment & { cache: DiskCache } }[];
	/** Device ids or volume ids. */
	detach: string[];
	addNics: { networkId: string; mac: string | undefined; model: NicRequest["model"] }[];
	removeNics: string[];
	addCdrom: boolean;
	removeCdroms: string[];
};

async function resolveDevices(
	cli: Cli,
	options: {
		attach: ReturnType<typeof parseAttach>[];
		detach: string[];
		addNic: NicRequest[];
		removeNic: string[];
		addCdrom: boolean;
		removeCdrom: string[];
	},
): Promise<DeviceChange> {
	const attach: DeviceChange["attach"] = [];
	for (const { volume, attachment } of options.attach) {
		const volumeId = await resolveId(cli, "volume", volume);
		const cache = attachment.cache ?? (await cacheOf(cli, volumeId));
		attach.push({ volumeId, attachment: { ...attachment, cache } });
	}
	const addNics: DeviceChange["addNics"] = [];
	for (const { network, mac, model } of options.addNic)
		addNics.push({ networkId: await resolveId(cli, "network", network), mac, model });
	const detach: string[] = [];
	for (const disk of options.detach) detach.push(isDeviceId(disk) ? disk : await resolveId(cli, "volume", disk));
	const { removeNic: removeNics, addCdrom, removeCdrom: removeCdroms } = options;
	return { attach, detach, addNics, removeNics, addCdrom, removeCdroms };
}

/** As the pool of the volume has it usually. */
async function cacheOf(cli: Cli, volumeId: string): Promise<DiskCache> {
	const { body: volume } = await cli.call("volumeGet", { path: { id: volumeId } });
	const { body: pool } = await cli.call("poolGet", { path: { id: volume.poolId } });
	return usualCache(pool);
}

/** The ids that the API gives to disks; a volume of such a name is named by its id. */
const isDeviceId = (text: string): boolean => /^disk-\d+$/.test(text);

/** The lists that change, whole. Fails with `invalid` when what is to go is not there. */
function changedDevices(vm: Vm, change: DeviceChange, random: Random): Pick<VmUpdate, "disks" | "nics" | "cdroms"> {
	const { disks, nics, cdroms } = vm.spec;
	const used = new Set([...disks, ...nics, ...cdroms].map((device) => device.id));
	const free = (kind: string): string => {
		for (let number = 0; ; number++) {
			const id = `${kind}-${number}`;
			if (used.has(id)) continue;
			used.add(id);
			return id;
		}
	};
	const keep = <T>(items: readonly T[], gone: readonly string[], names: (item: T) => string[], what: string): T[] => {
		for (const name of gone)
			if (!items.some((item) => names(item).includes(name)))
				throw new AppError("invalid", `${vm.name} has no ${what} ${name}.`);
		return items.filter((item) => !names(item).some((name) => gone.includes(name)));
	};
	const newDisks = change.attach.map(({ volumeId, attachment }) => ({
		id: free("disk"),
		volumeId,
		...{ bus: "virtio" as const, discard: true, readOnly: false },
		...given(attachment),
		cache: attachment.cache,
	}));
	const newNics = change.addNics.map(({ networkId, mac, model }) => ({
		id: free("nic"),
		networkId,
		mac: mac ?? randomMac(random),
		model: model ?? ("virtio" as const),
		linkUp: true,
	}));
	const newCdroms = change.addCdrom ? [{ id: free("cdrom"), imageId: null }] : [];
	const lowerMacs = change.removeNics.map((name) => name.toLowerCase());
	return {
		...(newDisks.length + change.detach.length > 0
			? { disks: [...keep(disks, change.detach, (disk) => [disk.id, disk.volumeId], "disk"), ...newDisks] }
			: {}),
		...(newNics.length + lowerMacs.length > 0
			? { nics: [...keep(nics, lowerMacs, (nic) => [nic.id, nic.mac], "NIC"), ...newNics] }
			: {}),
		...(newCdroms.length + change.removeCdroms.length > 0
			? { cdroms: [...keep(cdroms, change.removeCdroms, (drive) => [drive.id], "CD-ROM drive"), ...newCdroms] }
			: {}),
	};
}

/** Locally administered and unicast, as the API's own; it refuses one that is in use. */
const randomMac = (random: Random): string =>
	[0x52, 0x4c, ...random.bytes(4)].map((octet) => octet.toString(16).padStart(2, "0")).join(":");
