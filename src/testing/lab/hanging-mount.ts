/**
 * A file system that hangs when it is told to, as one does whose server is gone: another folder shown through FUSE (bindfs), whose
 * process is stopped. Whoever looks at anything in it then waits in the kernel until it goes on, or is killed. Needs root.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { run, startProgram } from "../../lib/run.ts";
import { waitUntil } from "./wait-until.ts";

export type HangingMount = AsyncDisposable & {
	/** Where it is mounted; what is in it can be seen aside in `behind`, whatever it does. */
	readonly path: string;
	readonly behind: string;
	hang(): void;
	goOn(): void;
};

export async function startHangingMount(): Promise<HangingMount> {
	const folder = await mkdtemp("/tmp/lqx-hanging-");
	const [path, behind] = [join(folder, "mount"), join(folder, "behind")];
	for (const one of [path, behind]) await mkdir(one, { mode: 0o755 });
	// Who shares it with other namespaces, as a pool for their QEMU, has it there, too.
	const bindfs = await startProgram("setpriv", ["--pdeathsig", "KILL", "--", "bindfs", "-f", behind, path], {
		user: null,
	});
	let alive = true;
	void bindfs.ended.then(() => {
		alive = false;
	});
	const signal = (name: "SIGSTOP" | "SIGCONT") => {
		if (alive) process.kill(bindfs.processId, name);
	};
	const stop = async () => {
		bindfs.kill();
		await bindfs.ended;
		await run("umount", ["-l", "--", path], { timeoutMs: 10_000, okExitCodes: [0, 32] });
		await rm(folder, { recursive: true, force: true });
	};
	try {
		await waitUntil("bindfs to be mounted", 10_000, async () => {
			if (!alive) throw new AppError("unavailable", `bindfs does not run: ${await bindfs.ended}.`);
			return (await Bun.file("/proc/self/mountinfo").text()).includes(` ${path} `);
		});
	} catch (error) {
		await stop();
		throw error;
	}
	return {
		...{ path, behind },
		hang: () => signal("SIGSTOP"),
		goOn: () => signal("SIGCONT"),
		[Symbol.asyncDispose]: stop,
	};
}
