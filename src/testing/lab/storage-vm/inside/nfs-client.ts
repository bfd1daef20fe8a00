/**
 * What a client of NFS 3 needs on this machine for locks: rpcbind and statd, with a /run of their own, where a server of the lab has put
 * the lock and the socket of its own rpcbind. They stay.
 */
import { run } from "../../../../lib/run.ts";
import { MiB } from "../../../../lib/units.ts";
import { startMountNamespace } from "../../mount-namespace.ts";
import { waitUntil } from "../../wait-until.ts";

const limit = { timeoutMs: 30_000 };

export async function startLocksOfClients(): Promise<void> {
	if (await answers("portmapper")) return;
	const mounts = await startMountNamespace();
	await mounts.mountMemory("/run", MiB);
	await mounts.run("mkdir", ["/run/rpcbind"]);
	await mounts.run("chown", ["_rpc", "/run/rpcbind"]);
	await mounts.run("rpcbind", []);
	await waitUntil("rpcbind of the client", limit.timeoutMs, () => answers("portmapper"), { everyMs: 200 });
	await mounts.run("rpc.statd", []);
	await waitUntil("statd of the client", limit.timeoutMs, () => answers("status"), { everyMs: 200 });
}

const answers = async (program: string): Promise<boolean> =>
	(await run("rpcinfo", ["-t", "127.0.0.1", program], { ...limit, okExitCodes: [0, 1] })).exitCode === 0;
