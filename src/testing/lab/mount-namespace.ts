/**
 * A mount namespace alone: programs started with its `prefix` see other files in places (a small disk, another boot id)
 * and are otherwise at home, with their own process numbers and network. Mounts made inside stay inside and end with it.
 * Needs root. It ends with `stop()`, or with this process.
 */
import { AppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { waitUntil } from "./wait-until.ts";

const longestMs = 2_147_483_647;

export type MountNamespace = {
	/** Put in front of a command line; the program keeps the process id. */
	readonly prefix: readonly string[];
	/** An empty file system in memory of that size at `path`, which exists. */
	mountMemory(path: string, sizeBytes: number): Promise<void>;
	/** `path` shows the file or folder `source`. */
	bind(source: string, path: string): Promise<void>;
	run(program: string, args: readonly string[]): Promise<string>;
	stop(): Promise<void>;
};

export async function startMountNamespace(): Promise<MountNamespace> {
	const giveUp = new AbortController();
	let pid: number | undefined;
	let failure: unknown;
	let alive = true;
	const ended = run(
		"setpriv",
		["--pdeathsig", "KILL", "--", "unshare", "--mount", "--propagation", "slave", "--", "sleep", "infinity"],
		{
			timeoutMs: longestMs,
			signal: giveUp.signal,
			onStart: (started) => {
				pid = started;
			},
		},
	).catch((error: unknown) => {
		failure = error;
	});
	void ended.then(() => {
		alive = false;
	});
	const holder = await waitUntil("the mount namespace", 10_000, async () => {
		if (!alive) throw new AppError("unavailable", "A mount namespace cannot be made here.", { cause: failure });
		const name = await Bun.file(`/proc/${pid}/comm`)
			.text()
			.catch(() => "");
		return name.trim() === "sleep" ? pid : undefined;
	});
	const prefix = ["nsenter", `--mount=/proc/${holder}/ns/mnt`, "--"];
	const [nsenter = "", ...flags] = prefix;
	const inside = async (program: string, args: readonly string[]): Promise<string> =>
		(await run(nsenter, [...flags, program, ...args], { timeoutMs: 10_000 })).stdout;
	return {
		prefix,
		run: inside,
		mountMemory: async (path, sizeBytes) =>
			void (await inside("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes},mode=0755`, "tmpfs", path])),
		bind: async (source, path) => void (await inside("mount", ["--bind", source, path])),
		async stop() {
			giveUp.abort();
			await ended;
		},
	};
}
