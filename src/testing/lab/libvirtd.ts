/**
 * A private virtlogd and libvirtd, for tests and for developers' machines: in namespaces of their own, with their own
 * configuration, state, sockets, host UUID and (by default) network, so that any number runs beside each other and
 * beside the machine's own libvirtd. QEMU runs as root, with TCG: /dev has no `kvm` inside, because a /dev/kvm that
 * exists but cannot run guests makes libvirt probe it anew at every call.
 *
 * Needs root and the Debian packages libvirt-daemon-system and qemu-system-x86; no systemd, no D-Bus. The caller calls
 * `stop()`, which ends the daemons and all they started (QEMU, dnsmasq, swtpm) and removes the folder. If the caller's
 * process dies instead, the kernel ends them all the same; only the folder in /tmp then stays.
 */
import { randomUUID } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { createLibvirtClient } from "../../hypervisor/libvirt/rpc/client.ts";
import { listNetworksFlags } from "../../hypervisor/libvirt/rpc/flags.ts";
import { assert } from "../../lib/assert.ts";
import { systemClock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import type { RunOptions, RunResult } from "../../lib/run.ts";
import { type Namespace, type NamespaceOptions, startNamespace } from "./namespace.ts";
import { waitUntil } from "./wait-until.ts";

const stepLimitMs = 30_000;
const capabilityCache = resolve(import.meta.dir, "../../../.cache/libvirt-capabilities");
const bindMounts = {
	run: "/run/libvirt",
	etc: "/etc/libvirt",
	lib: "/var/lib/libvirt",
	cache: "/var/cache/libvirt",
	log: "/var/log/libvirt",
} as const;
const consoleLocks = "/run/lock";

export type LibvirtdOptions = {
	/** Lower-case letters, digits and dashes, at most 20: part of the folder's name and the host name inside. */
	name: string;
	/** Starts with, and leaves behind, what libvirt learnt about QEMU (default true). An empty cache costs seconds. */
	keepCapabilityCache?: boolean;
	/** A folder with what libvirt learnt about QEMU: starts with that, whatever is kept. */
	knownCapabilities?: string;
	/** Network of the daemons and guests (default "private"); see NamespaceOptions. */
	network?: NamespaceOptions["network"];
	/** Leaves the machine's /dev/kvm visible (default false). */
	showKvm?: boolean;
	/** Keep all state in this folder and leave it there on `stop()`, instead of a temporary folder. */
	folder?: string;
	/** Further lines for libvirtd.conf and qemu.conf. */
	libvirtdConf?: string[];
	qemuConf?: string[];
};

export type PrivateLibvirtd = {
	/** `qemu+unix:///system?socket=PATH`. */
	readonly uri: string;
	/** libvirt's mock hypervisor on the same socket: `test+unix:///default?socket=PATH`. */
	readonly testUri: string;
	readonly socketPath: string;
	/** Everything of this instance; `log/libvirtd.log` and `log/qemu/NAME.log` are of use after a failure. */
	readonly folder: string;
	readonly namespace: Namespace;
	/** Process id of libvirtd as this machine numbers it. Fails when it does not run. */
	pid(): number;
	/**
	 * Ends libvirtd in good order, or finds it ended, and starts it again; guests keep running. libvirtd takes them back in
	 * the background: for a moment, to end one may answer that it is not there.
	 */
	restart(): Promise<void>;
	/** Kills libvirtd (SIGKILL) and waits until it is gone; guests keep running. `restart()` brings it back. */
	kill9(): Promise<void>;
	/** Runs a program inside the namespaces: with these mounts, network and process ids. */
	runInNamespace(program: string, args: readonly string[], options?: Partial<RunOptions>): Promise<RunResult>;
	stop(): Promise<void>;
};

/** Fails with `unavailable`, `timeout` or `internal`; nothing is left behind then. */
export async function startLibvirtd(options: LibvirtdOptions): Promise<PrivateLibvirtd> {
	assert(/^[a-z0-9-]{1,20}$/.test(options.name), "a private libvirtd needs a short, plain name");
	const folder = options.folder ?? mkdtempSync(`/tmp/lqx-${options.name}-`);
	const socketPath = join(folder, "run/libvirt-sock");
	assert(Buffer.byteLength(socketPath) < 108, "the socket's path is too long");
	if (await isListening(socketPath))
		throw new AppError("in-use", `A private libvirtd runs in ${folder} already.`, { context: { folder } });
	const keepCache = options.keepCapabilityCache ?? true;
	const removeFolder = () => {
		if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
	};
	await writeFolder(folder, options, keepCache);
	const network = options.network ?? "private";
	const namespace = await startNamespace({ hostname: options.name, network }).catch((error: unknown) => {
		removeFolder();
		throw error;
	});

	const stop = async () => {
		try {
			if (network !== "private") await endNetworks();
		} finally {
			await namespace.stop();
			if (keepCache) saveCapabilities(folder);
			removeFolder();
		}
	};
	const runInNamespace: PrivateLibvirtd["runInNamespace"] = (program, args, runOptions) =>
		namespace.run(program, args, { timeoutMs: stepLimitMs, ...runOptions });
	const libvirtdPid = () => daemonPid(namespace, folder, "libvirtd");
	const endLibvirtd = async (signal: "SIGTERM" | "SIGKILL") => {
		const pid = libvirtdPid();
		if (pid === undefined) return;
		process.kill(pid, signal);
		await waitUntil("libvirtd to end", stepLimitMs, () => libvirtdPid() !== pid);
	};
	/** Bridges of a network that is not ours would outlive us. */
	const endNetworks = async () => {
		if (!namespace.alive || !libvirtdPid()) return;
		const client = createLibvirtClient({
			uri: `qemu+unix:///system?socket=${socketPath}`,
			clock: systemClock,
			random: systemRandom,
			logger: silentLogger,
		});
		try {
			const active = await client.connectListAllNetworks(listNetworksFlags.active);
			for (const network of active) await client.networkDestroy(network);
		} finally {
			await client.close();
		}
	};
	try {
		await mountAll(folder, runInNamespace, options.showKvm ?? false);
		await startDaemon(folder, "virtlogd", runInNamespace);
		await startDaemon(folder, "libvirtd", runInNamespace);
	} catch (error) {
		const log = readText(join(folder, "log/libvirtd.log")).slice(-2000);
		await stop();
		throw new AppError("unavailable", "A private libvirtd could not be started.", { cause: error, context: { log } });
	}
	return {
		uri: `qemu+unix:///system?socket=${socketPath}`,
		testUri: `test+unix:///default?socket=${socketPath}`,
		socketPath,
		folder,
		namespace,
		pid() {
			const pid = libvirtdPid();
			if (pid === undefined) throw new AppError("unavailable", "The private libvirtd is not running.");
			return pid;
		},
		async restart() {
			await endLibvirtd("SIGTERM");
			await startDaemon(folder, "libvirtd", runInNamespace);
		},
		kill9: () => endLibvirtd("SIGKILL"),
		runInNamespace,
		stop,
	};
}

const isListening = (path: string): Promise<boolean> =>
	Bun.connect({ unix: path, socket: { data() {} } }).then(
		(socket) => {
			socket.terminate();
			return true;
		},
		() => false,
	);

async function writeFolder(folder: string, options: LibvirtdOptions, keepCache: boolean): Promise<void> {
	// What a former libvirtd noted of running guests holds process numbers that are somebody else's by now.
	rmSync(join(folder, "run"), { recursive: true, force: true });
	for (const name of [...Object.keys(bindMounts), "dev"]) mkdirSync(join(folder, name), { recursive: true });
	for (const target of [...Object.values(bindMounts), consoleLocks]) mkdirSync(target, { recursive: true });
	const uuidFile = join(folder, "host-uuid");
	if (!existsSync(uuidFile)) await Bun.write(uuidFile, randomUUID());
	await Bun.write(
		join(folder, "etc/libvirtd.conf"),
		lines([
			...['auth_unix_rw = "none"', 'auth_unix_ro = "none"', 'unix_sock_rw_perms = "0700"'],
			...[`host_uuid = "${readText(uuidFile)}"`, 'log_outputs = "3:file:/var/log/libvirt/libvirtd.log"'],
			...(options.libvirtdConf ?? []),
		]),
	);
	await Bun.write(
		join(folder, "etc/qemu.conf"),
		lines(['user = "root"', 'group = "root"', 'security_driver = "none"', ...(options.qemuConf ?? [])]),
	);
	const cache = join(folder, "cache/qemu/capabilities");
	const known = options.knownCapabilities ?? (keepCache ? capabilityCache : null);
	if (known !== null && existsSync(known) && !existsSync(cache)) cpSync(known, cache, { recursive: true });
}

type RunInside = PrivateLibvirtd["runInNamespace"];

async function mountAll(folder: string, inside: RunInside, showKvm: boolean): Promise<void> {
	for (const [name, target] of Object.entries(bindMounts))
		await inside("mount", ["--bind", join(folder, name), target]);
	// libvirtd notes there, by its process number, which consoles it holds open. A killed one leaves the note, and in
	// another instance that number is somebody else's, who lives: the console would be refused.
	await inside("mount", ["-t", "tmpfs", "-o", "mode=1777", "tmpfs", consoleLocks]);
	// A new /sys shows this network's devices. It also lacks control groups: two libvirtd would name those of their first
	// guests alike, and without any mounted libvirt uses none.
	await inside("umount", ["--recursive", "--lazy", "/sys"]);
	await inside("mount", ["-t", "sysfs", "sysfs", "/sys"]);
	if (!showKvm) await replaceDev(folder, inside);
}

/** A /dev without `kvm`. Nothing may stay mounted below the old one: libvirt would try to move it for each guest. */
async function replaceDev(folder: string, inside: RunInside): Promise<void> {
	const mounted = ["pts", "shm", "mqueue", "hugepages"];
	const dev = join(folder, "dev");
	await inside("mount", ["-t", "tmpfs", "-o", "mode=755", "tmpfs", dev]);
	const nodes = readdirSync("/dev").filter((name) => name !== "kvm" && !mounted.includes(name));
	await inside("cp", ["--archive", "--", ...nodes.map((name) => `/dev/${name}`), dev]);
	for (const name of mounted.filter((mount) => existsSync(`/dev/${mount}`))) {
		await inside("mkdir", [join(dev, name)]);
		await inside("mount", ["--bind", `/dev/${name}`, join(dev, name)]);
	}
	await inside("umount", ["--lazy", "/dev"]);
	await inside("mount", ["--move", dev, "/dev"]);
}

async function startDaemon(folder: string, program: "virtlogd" | "libvirtd", inside: RunInside): Promise<void> {
	// With --daemon the program returns when its sockets are there. A machine's systemd must not hear of our guests.
	const environment = { DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/nonexistent" };
	await inside(program, ["--daemon", "--pid-file", join(folder, `${program}.pid`)], { cwd: "/", environment });
}

function daemonPid(namespace: Namespace, folder: string, program: string): number | undefined {
	const innerPid = Number.parseInt(readText(join(folder, `${program}.pid`)), 10);
	return Number.isNaN(innerPid) ? undefined : namespace.outerPid(innerPid);
}

function saveCapabilities(folder: string): void {
	const from = join(folder, "cache/qemu/capabilities");
	if (!existsSync(from)) return;
	mkdirSync(capabilityCache, { recursive: true });
	for (const name of readdirSync(from)) {
		const temporary = join(capabilityCache, `.${name}.${process.pid}`);
		cpSync(join(from, name), temporary);
		renameSync(temporary, join(capabilityCache, name));
	}
}

const lines = (all: string[]): string => `${all.join("\n")}\n`;

const readText = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8").trim() : "");
