/**
 * A set of private Linux namespaces (mount, process id, host name, IPC, and by default network) in which tests run real
 * daemons without touching the machine. Everything started inside ends with `stop()`, or with this process however it
 * ends: the kernel kills a process id namespace with its first process, and that one is killed with its parent.
 *
 * Needs root. Mounts made inside stay inside; mounts made on the machine later appear inside as well (slave propagation).
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { AppError } from "../../lib/errors.ts";
import { type RunOptions, type RunResult, run } from "../../lib/run.ts";
import { waitUntil } from "./wait-until.ts";

/** The longest that a timer takes, 24 days: developers keep theirs running. */
const longestMs = 2_147_483_647;

export type NamespaceOptions = {
	/** Host name inside. */
	hostname: string;
	/**
	 * "private": a new network namespace with only loopback. "machine": the network of this process. Otherwise the name of
	 * a namespace that the caller made with `ip netns add`.
	 */
	network?: "private" | "machine" | { netns: string };
};

export type Namespace = {
	/** First process of the namespaces, as the machine numbers it; `/proc/<initPid>/ns/net` and so on name them. */
	readonly initPid: number;
	/** False as soon as the namespaces ended, wanted or not. */
	readonly alive: boolean;
	/** Runs a program inside; same result and errors as `run`. */
	run(program: string, args: readonly string[], options: RunOptions): Promise<RunResult>;
	/** The machine's number of the process that is `innerPid` inside, or undefined when there is none. */
	outerPid(innerPid: number): number | undefined;
	/** Machine's numbers of all processes inside, the first process not counted. */
	processIds(): number[];
	/** Ends every process inside and waits until all are gone. May be called again. */
	stop(): Promise<void>;
};

/** Fails with `unavailable` or `internal` when namespaces cannot be made here (not root, or a container). */
export async function startNamespace(options: NamespaceOptions): Promise<Namespace> {
	const network = options.network ?? "private";
	const enterNetwork = typeof network === "object" ? ["nsenter", `--net=/run/netns/${network.netns}`, "--"] : [];
	const flags = ["--mount", "--uts", "--ipc", "--pid", ...(network === "private" ? ["--net"] : [])];
	const giveUp = new AbortController();
	let parentPid: number | undefined;
	let alive = true;
	let failure: unknown;
	const ended = run(
		"setpriv",
		[
			...["--pdeathsig", "KILL", "--", ...enterNetwork],
			...["unshare", ...flags, "--fork", "--kill-child", "--mount-proc", "--propagation", "slave", "--"],
			// Ignoring SIGCHLD makes the kernel reap whatever is orphaned to this first process.
			...["env", "--ignore-signal=CHLD", "sleep", "infinity"],
		],
		{
			timeoutMs: longestMs,
			signal: giveUp.signal,
			onStart: (pid) => {
				parentPid = pid;
			},
		},
	).then(
		() => {
			alive = false;
		},
		(error: unknown) => {
			alive = false;
			failure = error;
		},
	);
	const initPid = await waitUntil("the namespaces to start", 10_000, () => {
		if (!alive) throw new AppError("unavailable", "Private namespaces cannot be made here.", { cause: failure });
		return parentPid === undefined ? undefined : sleepingChild(parentPid);
	}).catch(async (error: unknown) => {
		giveUp.abort();
		await ended;
		throw error;
	});

	const namespace: Namespace = {
		initPid,
		get alive() {
			return alive;
		},
		run: (program, args, runOptions) =>
			run("nsenter", [...nsenterFlags(initPid, network === "machine"), "--", program, ...args], runOptions),
		outerPid: (innerPid) => insideOf(initPid).find((pid) => innermostPid(pid) === innerPid),
		processIds: () => insideOf(initPid).filter((pid) => pid !== initPid),
		async stop() {
			// The first process is a child of one that was not reaped yet, so its number cannot have been given away.
			if (alive) process.kill(initPid, "SIGKILL");
			await ended;
		},
	};
	try {
		await namespace.run("hostname", [options.hostname], { timeoutMs: 10_000 });
		if (network === "private") await namespace.run("ip", ["link", "set", "lo", "up"], { timeoutMs: 10_000 });
		return namespace;
	} catch (error) {
		await namespace.stop();
		throw error;
	}
}

const nsenterFlags = (initPid: number, keepNetwork: boolean): string[] => [
	...["--target", String(initPid), "--mount", "--uts", "--ipc", "--pid"],
	...(keepNetwork ? [] : ["--net"]),
];

/** The child of `unshare`, once it has become `sleep` (before that, its mounts are not made yet). */
function sleepingChild(parentPid: number): number | undefined {
	const text = read(`/proc/${parentPid}/task/${parentPid}/children`);
	const child = Number(text?.trim().split(" ")[0]);
	if (!child) return undefined;
	return read(`/proc/${child}/comm`)?.trim() === "sleep" ? child : undefined;
}

function insideOf(initPid: number): number[] {
	const wanted = link(`/proc/${initPid}/ns/pid`);
	if (wanted === undefined) return [];
	const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
	return all.filter((pid) => link(`/proc/${pid}/ns/pid`) === wanted).map(Number);
}

function innermostPid(pid: number): number | undefined {
	const line = /^NSpid:(.*)$/m.exec(read(`/proc/${pid}/status`) ?? "");
	return line ? Number(line[1]?.trim().split(/\s+/).at(-1)) : undefined;
}

// A process may be gone between listing and reading: that is an answer, not an error.
function read(path: string): string | undefined {
	try {
		return readFileSync(path, "utf8");
	} catch {
		return undefined;
	}
}

function link(path: string): string | undefined {
	try {
		return readlinkSync(path);
	} catch {
		return undefined;
	}
}
