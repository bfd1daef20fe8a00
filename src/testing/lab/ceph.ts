/**
 * A small Ceph of real daemons (one monitor, one manager, one OSD that keeps everything in memory, two more for erasure coding) on
 * 127.0.0.1, with authentication on and everything in one temporary folder, for tests. Any number runs beside each other. Needs root and the
 * Debian packages ceph-mon, ceph-mgr, ceph-osd and ceph-common. The caller calls `stop()`; if its process dies instead, the kernel
 * ends the daemons and only the folder in /tmp stays.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { type RunOptions, type RunResult, run } from "../../lib/run.ts";
import { waitUntil } from "./wait-until.ts";

const longestMs = 2_147_483_647;
const stepLimitMs = 60_000;
/** Seven seconds on a machine that does nothing else. */
const startLimitMs = 180_000;

type CephDaemon = "mon" | "mgr" | "osd";
/** Those that there can be, by id. */
const osdIds = [0, 1, 2];

export type LabCeph = {
	/** HOST:PORT, as a pool's configuration has them. */
	readonly monitors: string[];
	readonly folder: string;
	/** Base64, of client.admin. */
	readonly adminKey: string;
	/** As client.admin. */
	ceph(...args: string[]): Promise<RunResult>;
	rbd(...args: string[]): Promise<RunResult>;
	rados(...args: string[]): Promise<RunResult>;
	/** A pool with the rbd application; an OSD makes it in a second. */
	makePool(name: string): Promise<void>;
	/** One for data only, erasure-coded (two parts and one to spare); starts the OSDs that it needs. */
	makeErasurePool(name: string): Promise<void>;
	/** Makes `client.NAME` with these capabilities (as `ceph auth get-or-create` takes them); its key. */
	makeUser(name: string, capabilities: readonly string[]): Promise<string>;
	/** Ends one daemon (SIGKILL) and waits until it is gone. */
	kill(daemon: CephDaemon): Promise<void>;
	/** Stops it where it is, so that it takes connections and answers nothing; `resume` lets it go on. */
	freeze(daemon: CephDaemon): void;
	resume(daemon: CephDaemon): void;
	start(daemon: CephDaemon): void;
	stop(): Promise<void>;
};

/** Fails with `unavailable` (programs missing), `timeout` or `internal`; nothing is left behind then. */
export async function startCeph(): Promise<LabCeph> {
	const folder = mkdtempSync("/tmp/lqx-ceph-");
	const port = freePort();
	const conf = join(folder, "ceph.conf");
	const fsid = randomUUID();
	type Running = { pid: number; ended: Promise<void> };
	const running = new Map<CephDaemon, Running>();
	const moreOsds: Running[] = [];
	const failures: unknown[] = [];
	for (const name of ["mon", "mgr", "run", ...osdIds.map((id) => `osd-${id}`)]) mkdirSync(join(folder, name));
	await Bun.write(conf, confText(folder, fsid, port));

	const admin = (program: string, args: readonly string[], options: Partial<RunOptions> = {}) =>
		run(program, ["--conf", conf, ...args], { timeoutMs: stepLimitMs, ...options });
	const ids = { mon: "a", mgr: "x", osd: "0" } as const;
	const startDaemon = (daemon: CephDaemon, id: string): Running => {
		let pid = 0;
		const ended = run(
			"setpriv",
			["--pdeathsig", "KILL", "--", `ceph-${daemon}`, "-f", "-i", id, "-c", conf],
			// Python's modules of the manager look for a home.
			{ timeoutMs: longestMs, environment: { HOME: folder }, onStart: (started) => (pid = started) },
		).then(
			() => {},
			(error) => void failures.push(error),
		);
		return { pid, ended };
	};
	const start = (daemon: CephDaemon) => void running.set(daemon, startDaemon(daemon, ids[daemon]));
	const makeOsd = async (id: number) => {
		const uuid = randomUUID();
		await admin("ceph", ["--connect-timeout", "20", "osd", "new", uuid, `${id}`]);
		await run("ceph-osd", ["-c", conf, "-i", `${id}`, "--mkfs", "--osd-uuid", uuid], { timeoutMs: stepLimitMs });
	};
	const untilUp = (osds: number) =>
		waitUntil(
			"the cluster to come up",
			startLimitMs,
			async () => {
				const { stdout } = await admin("ceph", ["status", "--format", "json"]);
				const { osdmap, mgrmap } = JSON.parse(stdout);
				return osdmap.num_up_osds === osds && mgrmap.available === true;
			},
			{ everyMs: 100 },
		);
	const startAllOsds = async () => {
		for (const id of osdIds.slice(1 + moreOsds.length)) {
			await makeOsd(id);
			moreOsds.push(startDaemon("osd", `${id}`));
		}
		await untilUp(osdIds.length);
	};
	const signal = (daemon: CephDaemon, name: NodeJS.Signals) => {
		const found = running.get(daemon);
		if (found) process.kill(found.pid, name);
		return found;
	};
	const kill = async (daemon: CephDaemon) => {
		// Our child until it was waited for: its number belongs to nobody else.
		const found = signal(daemon, "SIGKILL");
		running.delete(daemon);
		await found?.ended;
	};
	const stop = async () => {
		await Promise.all([...running.keys()].map(kill));
		for (const { pid } of moreOsds) process.kill(pid, "SIGKILL");
		await Promise.all(moreOsds.map(({ ended }) => ended));
		rmSync(folder, { recursive: true, force: true });
	};
	try {
		const adminKey = await makeKeyrings(folder);
		await makeMonitor(folder, conf, fsid, port);
		start("mon");
		await makeOsd(0);
		start("osd");
		start("mgr");
		await untilUp(1);
		return {
			monitors: [`127.0.0.1:${port}`],
			...{ folder, adminKey, kill, start, stop },
			ceph: (...args) => admin("ceph", args),
			rbd: (...args) => admin("rbd", args),
			rados: (...args) => admin("rados", args),
			async makePool(name) {
				await admin("ceph", ["osd", "pool", "create", name, "4", "4"]);
				await admin("ceph", ["osd", "pool", "application", "enable", name, "rbd"]);
			},
			async makeErasurePool(name) {
				await startAllOsds();
				const profile = ["k=2", "m=1", "crush-failure-domain=osd"];
				await admin("ceph", ["osd", "erasure-code-profile", "set", "two-and-one", ...profile]);
				await admin("ceph", ["osd", "pool", "create", name, "4", "4", "erasure", "two-and-one"]);
				// Writing in the middle of an object, which RBD does.
				await admin("ceph", ["osd", "pool", "set", name, "allow_ec_overwrites", "true"]);
				await admin("ceph", ["osd", "pool", "application", "enable", name, "rbd"]);
			},
			async makeUser(name, capabilities) {
				const { stdout } = await admin("ceph", ["auth", "get-or-create-key", `client.${name}`, ...capabilities]);
				return stdout.trim();
			},
			freeze: (daemon) => void signal(daemon, "SIGSTOP"),
			resume: (daemon) => void signal(daemon, "SIGCONT"),
		};
	} catch (error) {
		await stop();
		throw new AppError("unavailable", "A Ceph cluster for tests could not be started.", {
			...{ cause: error, context: { failures } },
		});
	}
}

function freePort(): number {
	const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
	const { port } = listener;
	listener.stop(true);
	return port;
}

const confText = (folder: string, fsid: string, port: number): string => `[global]
fsid = ${fsid}
mon_host = v2:127.0.0.1:${port}
mon_initial_members = a
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
keyring = ${folder}/keyring
run_dir = ${folder}/run
admin_socket = ${folder}/run/$cluster-$name.$pid.asok
log_file = ${folder}/$name.log
log_to_stderr = false
err_to_stderr = true
crash_dir = ${folder}/run
public_addr = 127.0.0.1
ms_bind_ipv6 = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
[mon]
mon_data = ${folder}/mon
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_crit = 1
paxos_propose_interval = 0.02
# Only BlueStore finds what has rotted in such a pool; a test of minutes can do without.
mon_debug_no_require_bluestore_for_ec_overwrites = true
paxos_min_wait = 0.01
mon_data_avail_warn = 1
[mgr]
mgr_data = ${folder}/mgr
mgr_module_path = ${folder}/run
mgr_initial_modules =
[osd]
osd_data = ${folder}/osd-$id
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_op_num_shards = 2
osd_client_watch_timeout = 2
osd_class_load_list = *
osd_class_default_list = *
`;

/** Keys for everybody, made before there is a monitor: it takes them all at its first start. The administrator's. */
async function makeKeyrings(folder: string): Promise<string> {
	const keyring = join(folder, "keyring");
	const everything = (kinds: string[]) => kinds.flatMap((kind) => ["--cap", kind, "allow *"]);
	const make = (name: string, capabilities: string[], more: string[] = []) =>
		run("ceph-authtool", [...more, keyring, "--gen-key", "-n", name, ...capabilities], { timeoutMs: stepLimitMs });
	await make("mon.", ["--cap", "mon", "allow *"], ["--create-keyring"]);
	await make("client.admin", everything(["mon", "mgr", "osd", "mds"]));
	await make("mgr.x", ["--cap", "mon", "allow profile mgr", ...everything(["osd", "mds"])]);
	const osd = ["--cap", "mon", "allow profile osd", "--cap", "mgr", "allow profile osd", ...everything(["osd"])];
	for (const id of osdIds) await make(`osd.${id}`, osd);
	const key = /\[client\.admin\]\s*key = (\S+)/.exec(readFileSync(keyring, "utf8"))?.[1];
	if (key === undefined) throw new AppError("internal", "ceph-authtool made no key.");
	return key;
}

async function makeMonitor(folder: string, conf: string, fsid: string, port: number): Promise<void> {
	const map = join(folder, "monmap");
	const address = ["--addv", "a", `[v2:127.0.0.1:${port}]`];
	await run("monmaptool", ["--create", "--fsid", fsid, ...address, map], { timeoutMs: stepLimitMs });
	const files = ["--monmap", map, "--keyring", join(folder, "keyring")];
	await run("ceph-mon", ["-c", conf, "--mkfs", "-i", "a", ...files], { timeoutMs: stepLimitMs });
}
