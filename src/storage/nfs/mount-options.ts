/** The options that a pool is mounted with (nfs(5)). Pure. */
import { AppError } from "../../lib/errors.ts";
import type { NfsPoolConfig } from "../../model/pool-config.ts";
import { type MountEntry, nfsVersion } from "./mountinfo.ts";

/**
 * Ours, before those of the pool. `hard`: a server that is away makes guests wait, and takes no write from them that it then
 * loses. `timeo`: after 10 s without an answer a request is sent again over a new connection; the usual 60 s would let a
 * pool be away for a minute after its server is back. `lookupcache`, `acdir*`: what another node has made is seen at once.
 * `retry`: mount(8) gives up instead of trying for minutes.
 */
const base = [
	"nosuid",
	"nodev",
	"noexec",
	"hard",
	"timeo=100",
	"retrans=2",
	"lookupcache=pos",
	"acdirmin=0",
	"acdirmax=3",
	"retry=0",
];

const number = /^[0-9]{1,7}$/;
/** What a pool may set, and which values. Null: it has none. */
const known: Record<string, RegExp | null> = {
	...{ hard: null, soft: null, softerr: null, timeo: number, retrans: number, rsize: number, wsize: number },
	...{ nconnect: /^([1-9]|1[0-6])$/, max_connect: /^([1-9]|1[0-6])$/, proto: /^(tcp6?|rdma6?)$/, port: number },
	...{ mountport: number, mountproto: /^(tcp6?|udp6?)$/, mountvers: /^3$/, clientaddr: /^[0-9A-Fa-f.:]{2,45}$/ },
	...{ sec: /^(sys|krb5|krb5i|krb5p)$/, xprtsec: /^(none|tls|mtls)$/, resvport: null, noresvport: null },
	...{ ac: null, noac: null, acregmin: number, acregmax: number, acdirmin: number, acdirmax: number, actimeo: number },
	...{ sharecache: null, nosharecache: null, rdirplus: null, nordirplus: null, noatime: null, relatime: null },
	...{ trunkdiscovery: null, notrunkdiscovery: null },
};

/** Options that people know, and why they are not taken. */
const refused: Record<string, string> = {
	nolock: "QEMU's locks on disks would be seen on one node only",
	local_lock: "QEMU's locks on disks would be seen on one node only",
	nocto: "nodes would not see what others have written",
	lookupcache: "nodes would not see what others have made",
	ro: "a pool must be writable",
	bg: "nobody waits for a mount in the background",
	vers: "the version is a setting of its own",
	nfsvers: "the version is a setting of its own",
	minorversion: "the version is a setting of its own",
};

/** Fails with `invalid` for options that are not known, or not good for a pool. */
export function mountOptions({
	version,
	mountOptions: given,
}: Pick<NfsPoolConfig, "version" | "mountOptions">): string {
	const options = new Map(base.map((option) => [option.split("=")[0] ?? option, option]));
	for (const option of given) {
		const [name = "", value] = option.split(/=(.*)/s);
		const refuse = (why: string) => new AppError("invalid", `The mount option "${option}" cannot be used: ${why}.`);
		const why = refused[name];
		if (why !== undefined) throw refuse(why);
		const pattern = Object.hasOwn(known, name) ? known[name] : undefined;
		if (pattern === undefined) throw refuse("it is not one of those that a pool may set");
		if (pattern === null ? value !== undefined : !pattern.test(value ?? "")) throw refuse("its value makes no sense");
		if (name === "soft" || name === "softerr") options.delete("hard");
		options.set(name, option);
	}
	if (version !== null) options.set("vers", `vers=${version}`);
	return [...options.values()].join(",");
}

/** As mount(8) wants it. */
export const mountSource = ({ server, exportPath }: Pick<NfsPoolConfig, "server" | "exportPath">): string =>
	`${server.includes(":") ? `[${server}]` : server}:${exportPath}`;

/** How attributes are kept when nothing is said (nfs(5)): seconds. */
const attributeDefaults = { acregmin: 3, acregmax: 60, acdirmin: 30, acdirmax: 60 };
/** In tenths of a second; the kernel waits no longer. */
const maxTimeo = 6000;

/**
 * In which way a mount is not as `options` (as for mount) say: what it has, and what it should have. Only what the kernel tells of a mount as it
 * was given. What the server has a say in (a version that nobody chose, sizes), and what all mounts of one server share (nconnect, ports), may
 * be otherwise although the mount is as it was to be.
 */
export function otherOptions(options: string, mount: MountEntry): { found: string; wanted: string }[] {
	const wanted = named(options.split(","));
	const found = named(mount.superOptions);
	const all: [wanted: string | undefined, found: string | undefined][] = [
		[text("vers", wanted.get("vers")), text("vers", nfsVersion(mount) ?? undefined)],
		[onError(wanted), onError(found)],
		[text("timeo", timeo(wanted)), text("timeo", timeo(found))],
		[text("retrans", wanted.get("retrans")), text("retrans", found.get("retrans"))],
		[text("sec", wanted.get("sec")), text("sec", found.get("sec"))],
		[text("proto", family(wanted.get("proto"))), text("proto", family(found.get("proto")))],
		[attributes(wanted), attributes(found)],
	];
	return all.flatMap(([one, other]) =>
		one === undefined || other === undefined || one === other ? [] : [{ wanted: one, found: other }],
	);
}

const named = (options: readonly string[]): Map<string, string> =>
	new Map(
		options.map((option) => {
			const [name = "", value = ""] = option.split(/=(.*)/s);
			return [name, value];
		}),
	);
const text = (name: string, value: string | undefined) => (value === undefined ? undefined : `${name}=${value}`);
const onError = (options: Map<string, string>) => ["softerr", "soft", "hard"].find((name) => options.has(name));
/** "tcp6" is what becomes of "tcp" with such an address. */
const family = (proto: string | undefined) => proto?.replace(/6$/, "");

/** Zero is the kernel's own. */
function timeo(options: Map<string, string>): string | undefined {
	const value = Number(options.get("timeo") ?? "0");
	return value === 0 ? undefined : `${Math.min(value, maxTimeo)}`;
}

/** The later one of two that say the same counts. */
function attributes(options: Map<string, string>): string {
	if (options.has("noac")) return "noac";
	const times: Record<string, number> = { ...attributeDefaults };
	for (const [name, value] of options) {
		if (name === "actimeo") for (const each of Object.keys(times)) times[each] = Number(value);
		else if (name in times) times[name] = Number(value);
	}
	return Object.entries(times)
		.map(([name, seconds]) => `${name}=${seconds}`)
		.join(",");
}
