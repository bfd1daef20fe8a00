/** The daemons that nodes lock a shared volume group with, on this machine: sanlock, without a watchdog, and lvmlockd. */
import { mkdir } from "node:fs/promises";
import { isAppError } from "../../../../lib/errors.ts";
import { run } from "../../../../lib/run.ts";
import { waitUntil } from "../../wait-until.ts";

const limitMs = 30_000;
const daemonLimitMs = 24 * 3600 * 1000;

/** Groups that were not removed are left by those who use them before this ends. */
export async function startLockManager(hostName: string): Promise<AsyncDisposable> {
	await mkdir("/run/sanlock", { recursive: true });
	await mkdir("/run/lvm", { recursive: true });
	const sanlock = start("sanlock", ["daemon", "-D", "-w", "0", "-U", "root", "-G", "root", "-e", hostName]);
	await answers("sanlock", ["client", "status"], sanlock.ended);
	const lvmlockd = start("lvmlockd", ["-f", "-g", "sanlock"]);
	await answers("lvmlockctl", ["--info"], lvmlockd.ended);
	return {
		async [Symbol.asyncDispose]() {
			await lvmlockd.end();
			await sanlock.end();
		},
	};
}

function start(program: string, args: readonly string[]) {
	let pid: number | undefined;
	const ended = run(program, args, {
		timeoutMs: daemonLimitMs,
		onStart: (started) => {
			pid = started;
		},
	});
	ended.catch(() => undefined);
	return {
		ended,
		async end() {
			if (pid !== undefined) process.kill(pid, "SIGKILL");
			await ended.catch(() => undefined);
		},
	};
}

async function answers(program: string, args: readonly string[], ended: Promise<unknown>): Promise<void> {
	const asked = async () => {
		try {
			await run(program, args, { timeoutMs: limitMs });
			return true;
		} catch (error) {
			if (isAppError(error, "internal")) return false;
			throw error;
		}
	};
	await Promise.race([ended, waitUntil(`${program} to answer`, limitMs, asked, { everyMs: 200 })]);
}
