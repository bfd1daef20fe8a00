/** What people see of one VM. */
import type { Vm } from "../../../gen/api.ts";
import type { Cli } from "../../cli.ts";
import { bytes, fullTime, relativeTime } from "../../format.ts";
import { namesById } from "../../names.ts";
import type { Field } from "../../output.ts";
import { allPages } from "../../pages.ts";

export const vmArgument = { "<vm>": "name or id of the VM" } as const;

export const getVm = (cli: Cli, id: string) => cli.call("vmGet", { path: { id } });

type Names = {
	node: (id: string | null) => string;
	network: (id: string | null) => string;
	image: (id: string | null) => string;
	/** Name and size of a volume. */
	volume: (id: string) => string;
};

export async function showVm(cli: Cli, vm: Vm): Promise<void> {
	const fields = cli.output.forPeople ? vmFields(vm, await namesOf(cli, vm), cli.io.clock.nowMs()) : [];
	await cli.output.object(vm, fields, vm.id);
}

async function namesOf(cli: Cli, vm: Vm): Promise<Names> {
	const node = await namesById(cli, "node");
	const network = vm.spec.nics.length > 0 ? await namesById(cli, "network") : String;
	const image = vm.spec.cdroms.some((cdrom) => cdrom.imageId !== null) ? await namesById(cli, "image") : String;
	const volumes = vm.spec.disks.length > 0 ? await allPages(cli, "volumeList", { vmId: [vm.id] }) : [];
	const volume = (id: string) => {
		const found = volumes.find((one) => one.id === id);
		return found ? `${found.name}, ${bytes(found.sizeBytes)} ${found.format}` : id;
	};
	return { node, network, image, volume };
}

function vmFields(vm: Vm, names: Names, nowMs: number): Field[] {
	const { spec, status } = vm;
	const started = relativeTime(status.startedAt, nowMs);
	return [
		["name", vm.name],
		["id", vm.id],
		["description", vm.description],
		["tags", vm.tags.join(", ")],
		[
			"state",
			`${status.powerState}${status.reason ? ` (${status.reason})` : ""}${vm.deleting ? ", being deleted" : ""}`,
		],
		["wanted", vm.desiredPower],
		["error", status.error?.message],
		["started", started],
		["accelerator", status.accelerator],
		["waits for restart", status.pendingRestart],
		["node", names.node(vm.nodeId)],
		...(vm.alsoRunsOn ?? []).map(
			(id): Field => [
				"runs also on",
				`${names.node(id)}, which has it no more: shut it down on that host (virsh shutdown ${vm.id})`,
			],
		),
		["firmware", `${spec.firmware}${spec.tpm ? ", TPM" : ""}`],
		["CPUs", `${spec.cpu.vcpus} (at most ${spec.cpu.maxVcpus}), ${spec.cpu.model}`],
		["memory", `${bytes(spec.memory.sizeBytes)} (at most ${bytes(spec.memory.maxSizeBytes)})`],
		...deviceFields(vm, names),
		["boot order", spec.bootOrder.join(", ")],
		["cloud-init", spec.cloudInit === null ? "none" : cloudInitText(spec.cloudInit)],
		["autostart", spec.autostart.enabled ? `yes, order ${spec.autostart.order}` : "no"],
		...status.differences.map(
			(one): Field => ["differs", `${one.field}: wanted ${one.wanted}, found ${one.found} (repair: ${one.repair})`],
		),
		["created", fullTime(vm.createdAt, nowMs)],
	];
}

function limitsText(limits: Vm["spec"]["disks"][number]["limits"]): string {
	if (limits === undefined) return "";
	const { readBytesPerSecond, writeBytesPerSecond, readIops, writeIops } = limits;
	const parts = [
		readBytesPerSecond === undefined ? [] : `reads ${bytes(readBytesPerSecond)}/s`,
		writeBytesPerSecond === undefined ? [] : `writes ${bytes(writeBytesPerSecond)}/s`,
		readIops === undefined ? [] : `${readIops} reads/s`,
		writeIops === undefined ? [] : `${writeIops} writes/s`,
	].flat();
	return `, at most ${parts.join(", ")}`;
}

function deviceFields({ spec, status }: Vm, names: Names): Field[] {
	const disks = spec.disks.map((disk): Field => {
		const cache = disk.cache === "none" ? "" : `, cache ${disk.cache}`;
		const how = `${disk.bus}${cache}${disk.discard ? "" : ", no discard"}${disk.readOnly ? ", read-only" : ""}`;
		return [disk.id, `disk: ${names.volume(disk.volumeId)}, ${how}${limitsText(disk.limits)}`];
	});
	const cdroms = spec.cdroms.map(
		(cdrom): Field => [cdrom.id, `CD-ROM: ${cdrom.imageId === null ? "empty" : names.image(cdrom.imageId)}`],
	);
	const nics = spec.nics.map((nic): Field => {
		const addresses = status.addresses.filter(({ mac }) => mac === nic.mac).map(({ address }) => address);
		const parts = [`NIC: ${names.network(nic.networkId)}`, nic.mac, nic.model, ...addresses];
		return [nic.id, `${parts.join(", ")}${nic.linkUp ? "" : ", link down"}`];
	});
	return [...disks, ...cdroms, ...nics];
}

function cloudInitText(cloudInit: NonNullable<Vm["spec"]["cloudInit"]>): string {
	if (cloudInit.kind === "raw") return "own user data";
	const users = cloudInit.users.map((user) => user.name).join(", ");
	return `users ${users || "none"}${cloudInit.hostname ? `, host name ${cloudInit.hostname}` : ""}`;
}
