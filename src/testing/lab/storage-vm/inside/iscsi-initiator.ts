/** The kernel's iSCSI initiator and its daemon, which are on no host of the lab's network but on its bridge. */
import { writeFile } from "node:fs/promises";
import { run } from "../../../../lib/run.ts";
import { waitUntil } from "../../wait-until.ts";

const limitMs = 20_000;
const daemonLimitMs = 24 * 3600 * 1000;

/** Starts iscsid under this name of the initiator. Sessions outlive it: log out before it goes. */
export async function startIscsiInitiator(name: string): Promise<AsyncDisposable> {
	await writeFile("/etc/iscsi/initiatorname.iscsi", `InitiatorName=${name}\n`);
	let pid: number | undefined;
	const ended = run("iscsid", ["--foreground"], {
		timeoutMs: daemonLimitMs,
		onStart: (started) => {
			pid = started;
		},
	});
	ended.catch(() => undefined);
	// It listens on an abstract socket; without it, programs would try to start it by systemd.
	await Promise.race([
		ended,
		waitUntil("iscsid", limitMs, async () => (await Bun.file("/proc/net/unix").text()).includes("@ISCSIADM_ABSTRACT")),
	]);
	return {
		async [Symbol.asyncDispose]() {
			if (pid !== undefined) process.kill(pid, "SIGKILL");
			await ended.catch(() => undefined);
		},
	};
}
