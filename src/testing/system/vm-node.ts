/**
 * A node of a cluster that runs VMs, for lab tests: its own libvirtd, and a daemon that sees the files which that libvirtd sees. A
 * folder that is the pool's on every node, as on hosts that were installed alike, is another one on each.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { buildGuestImage } from "../lab/guest-image.ts";
import { startLibvirtd } from "../lab/libvirtd.ts";
import { startMountNamespace } from "../lab/mount-namespace.ts";
import { cacheDir, type LabSystem, labSystem } from "./lab-system.ts";

export type VmNodeOptions = {
	/** Also the name of the node. */
	name: string;
	/** An empty folder that all nodes of the test share the path of. */
	poolPath: string;
	peerPort: number;
	arguments?: readonly string[];
	/** "machine": QEMU reaches what listens on the loopback of this process. Default: a network of its own. */
	network?: "private" | "machine";
	/** What has to be ended afterwards, first to last; also when this fails. */
	ends: (() => PromiseLike<void>)[];
};

export async function startVmNode(options: VmNodeOptions): Promise<LabSystem> {
	const { name, poolPath, peerPort, network, ends } = options;
	const guest = await buildGuestImage({ cacheDir });
	const mounts = await startMountNamespace();
	ends.unshift(() => mounts.stop());
	const libvirtd = await startLibvirtd({ name, ...(network ? { network } : {}) });
	ends.unshift(() => libvirtd.stop());
	const pool = join(libvirtd.folder, "pool");
	mkdirSync(pool);
	await libvirtd.runInNamespace("mount", ["--bind", pool, poolPath]);
	await mounts.bind(pool, poolPath);
	await mounts.bind(join(libvirtd.folder, "lib"), "/var/lib/libvirt");
	const system = labSystem({
		...{ libvirtd, guest, prefix: mounts.prefix },
		arguments: [
			...["--node-name", name, "--peer-listen", `127.0.0.1:${peerPort}`],
			...["--default-pool-path", poolPath, ...(options.arguments ?? [])],
		],
	});
	ends.unshift(() => system[Symbol.asyncDispose]());
	await system.daemon.start();
	await system.ready();
	return system;
}
