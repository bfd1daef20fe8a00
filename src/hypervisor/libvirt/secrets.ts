/** Keys that QEMU gets from libvirt (ephemeral, private): see HostSecret. Source: https://libvirt.org/formatsecret.html */
import { element, textElement, writeXml } from "../../lib/xml-writer.ts";
import type { HostSecret } from "../../model/disk-source.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { isLibvirtError, libvirtErrors } from "./rpc/errors.ts";

export async function putSecret(client: LibvirtClient, { id, name, value }: HostSecret): Promise<void> {
	const xml = writeXml(
		element("secret", { ephemeral: "yes", private: "yes" }, [
			textElement("uuid", id),
			element("usage", { type: "ceph" }, [textElement("name", name)]),
		]),
	);
	await client.secretDefineXML(xml);
	await client.secretSetValue({ uuid: id }, value);
}

export async function removeSecret(client: LibvirtClient, id: string): Promise<void> {
	try {
		await client.secretUndefine({ uuid: id });
	} catch (error) {
		if (!isLibvirtError(error, libvirtErrors.noSecret)) throw error;
	}
}
