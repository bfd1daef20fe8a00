/** What the driver has to know of the host: its size, its versions, and as whom QEMU runs. */
import { isAppError } from "../../lib/errors.ts";
import { readXml, type XmlNode } from "../../lib/xml-reader.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import type { Version } from "./rpc/types.ts";

export type QemuUser = { uid: number; gid: number };
export type HostFacts = {
	version: string;
	cpuModel: string | null;
	cpuCount: number;
	memoryBytes: number;
	qemuUser: QemuUser;
};

export async function readHost(client: LibvirtClient): Promise<HostFacts> {
	const [libvirt, hypervisor, node, memory, capabilities] = await Promise.all([
		client.connectGetLibVersion(),
		client.connectGetVersion(),
		client.nodeGetInfo(),
		// nodeGetInfo counts the first NUMA node alone on some machines.
		client.nodeGetMemoryStats().catch(unsupportedIsNothing),
		client.connectGetCapabilities(),
	]);
	const host = readXml(capabilities).child("host");
	return {
		version: `libvirt ${text(libvirt)}, QEMU ${text(hypervisor)}`,
		cpuModel: host?.textOf("cpu", "model") ?? node.model,
		cpuCount: node.cpus,
		memoryBytes: memory.totalBytes ?? node.memoryBytes,
		qemuUser: qemuUserOf(host),
	};
}

/** libvirt's mock hypervisor has no such figures. */
function unsupportedIsNothing(error: unknown): { totalBytes?: number } {
	if (isAppError(error, "unsupported")) return {};
	throw error;
}

const text = (version: Version): string => `${version.major}.${version.minor}.${version.release}`;

/** libvirt says it as label of its file permission model: `+64055:+109`. Without that model QEMU runs as libvirtd does. */
export function qemuUserOf(host: XmlNode | null): QemuUser {
	const dac = host?.all("secmodel").find((model) => model.textOf("model") === "dac");
	const label = dac?.all("baselabel").find((candidate) => candidate.attribute("type") === "kvm");
	const match = /^\+?(\d{1,10}):\+?(\d{1,10})$/.exec(label?.text ?? "");
	return match ? { uid: Number(match[1]), gid: Number(match[2]) } : { uid: 0, gid: 0 };
}
