/** How QEMU gets at an image: where it is, and the key, which libvirt keeps under an id that comes from the pool's. */
import { createHash } from "node:crypto";
import type { HostSecret, RbdSource } from "../../model/disk-source.ts";
import type { CephRbdPoolConfig } from "../../model/pool-config.ts";

/** libvirt encodes the value as base64 again for QEMU, so it gets the bytes of the key. */
export function hostSecret(poolId: string, key: string): HostSecret {
	return {
		...{ id: secretId(poolId), kind: "ceph", name: `limiquantix-${poolId}` },
		value: new Uint8Array(Buffer.from(key, "base64")),
	};
}

export function sourceIn(poolId: string, config: CephRbdPoolConfig, image: string): RbdSource {
	return {
		...{ kind: "rbd", pool: config.cephPool, namespace: config.namespace, image },
		monitors: config.monitors.map(hostAndPort),
		...{ user: config.user, secretId: secretId(poolId) },
	};
}

/** UUID version 8 (RFC 9562): the same on each node and after each restart. */
function secretId(poolId: string): string {
	const bytes = createHash("sha256").update(`LimiQuantix Ceph key of pool ${poolId}`).digest().subarray(0, 16);
	bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
	bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
	return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** "HOST", "HOST:PORT" or "[IPV6]:PORT", as the API's schema has let it through. */
function hostAndPort(monitor: string): { host: string; port: number | null } {
	const match = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(monitor);
	const port = match?.[3];
	return { host: match?.[1] ?? match?.[2] ?? monitor, port: port === undefined ? null : Number(port) };
}
