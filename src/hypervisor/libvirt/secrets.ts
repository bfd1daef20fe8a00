/** Keys that QEMU gets from libvirt (ephemeral, private): see HostSecret. Source: https://libvirt.org/formatsecret.html */
import { AppError } from "../../lib/errors.ts";
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

/** For calls that open disks. "not-found" would be taken for the domain. */
export async function withKeys<T>(call: Promise<T>): Promise<T> {
	try {
		return await call;
	} catch (error) {
		if (!isLibvirtError(error, libvirtErrors.noSecret)) throw error;
		throw new AppError("unavailable", "The hypervisor does not have the key of one of the VM's disks yet.", {
			retryAfterMs: 2_000,
			cause: error,
		});
	}
}
