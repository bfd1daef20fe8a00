/** Storage pools of all types: what is sent, what is shown, and what is refused before anything is sent. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GiB } from "../../../lib/units.ts";
import type { PoolConfig } from "../../../model/pool-config.ts";
import type { Pool, PoolCapabilities } from "../../../model/storage.ts";
import { type FakeApi, fakeApi, page, problem } from "../../../testing/cli/fake-api.ts";
import { fakeIo } from "../../../testing/cli/fake-io.ts";
import { expectGolden } from "../../../testing/cli/golden.ts";
import { cli } from "../../../testing/cli/run-cli.ts";
import { fixtureId, fixtureNode, fixturePool, fixtureTime } from "../../../testing/fixtures.ts";

let folder: string;
let api: FakeApi;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi({ runDir: folder }, {});
	api.handlers.nodeList = () => page(...nodes);
	api.handlers.poolCreate = () => nfsPool;
	api.handlers.poolGet = () => nfsPool;
	api.handlers.poolUpdate = () => nfsPool;
	api.handlers.poolProbe = () => ({ nodes: [] });
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});

const here = (words: string, options: Parameters<typeof cli>[1] = {}) =>
	cli([...words.split(" "), "--run-dir", folder], options);
const sent = (operation: string) => api.requests.findLast((request) => request.operation === operation)?.json;
const put = (name: string, text: string): string => {
	writeFileSync(join(folder, name), text);
	return join(folder, name);
};

const nodes = [fixtureNode(), fixtureNode({ id: fixtureId(92), name: "node-2" })];
const [first, second] = nodes.map(({ id }) => id) as [string, string];
const report = (nodeId: string, more: Partial<Pool["nodes"][number]> = {}): Pool["nodes"][number] => ({
	...{ nodeId, health: "healthy", reason: null, capabilities: null, updatedAt: fixtureTime },
	...{ totalBytes: 100 * GiB, usedBytes: 40 * GiB, availableBytes: 60 * GiB },
	...more,
});
const nfs = { server: "nas1", exportPath: "/export", folder: "vms", version: null, mountOptions: ["nconnect=4"] };
const ceph = { monitors: ["10.0.0.1", "10.0.0.2"], user: "vms", cephPool: "rbd", namespace: null, dataPool: null };
const target = "iqn.2026-01.net.example:disks";
const iscsi: PoolConfig = {
	...{ portals: ["10.0.0.5"], target, wwid: "naa.6001405a", chapUser: "node", mutualChapUser: "disks" },
	...{ layout: "thick", wipeOnDelete: false, hostIds: {} },
};
const shared = { nodeIds: [first, second], phase: "ready" as const };
const nfsPool = fixturePool({ ...shared, id: fixtureId(31), name: "shared", type: "nfs", config: nfs });
const key = "AQBSdFhgAAAAABAAq5ZB3cGJ2uC8m9uTjVXQ3g==";
const password = "twelve letters".replace(" ", "-");

describe("what is sent to make one", () => {
	test("of type nfs", async () => {
		expect((await here("pool create shared --type nfs --nfs-server nas1 --export /export")).code).toBe(0);
		const config = { server: "nas1", exportPath: "/export", folder: null, version: null, mountOptions: [] };
		expect(sent("poolCreate")).toEqual({ name: "shared", type: "nfs", config });
		const more = "--folder vms --nfs-version 4.2 --mount-option nconnect=4 --mount-option noatime --node node-2";
		await here(`pool create shared --type nfs --nfs-server nas1 --export /export ${more}`);
		expect(sent("poolCreate")).toMatchObject({
			config: { folder: "vms", version: "4.2", mountOptions: ["nconnect=4", "noatime"] },
			nodeIds: [second],
		});
	});

	test("of type ceph-rbd, with what the administrator of the cluster gave", async () => {
		const conf = put("ceph.conf", "[global]\nmon host = [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0],10.0.0.2\n");
		const keyring = put("keyring", `[client.vms]\n\tkey = ${key}\n`);
		const words = `pool create rbd --type ceph-rbd --ceph-conf ${conf} --keyring ${keyring} --ceph-pool rbd`;
		expect((await here(words)).code).toBe(0);
		expect(sent("poolCreate")).toEqual({ name: "rbd", type: "ceph-rbd", config: ceph, credentials: { cephKey: key } });
		const io = fakeIo();
		io.feed(`${key}\n`);
		io.endInput();
		const by = "--monitor 10.0.0.1 --user vms --key-file - --ceph-pool rbd --namespace berlin --data-pool ec";
		await here(`pool create rbd --type ceph-rbd ${by}`, { io });
		expect(sent("poolCreate")).toMatchObject({
			config: { monitors: ["10.0.0.1"], namespace: "berlin", dataPool: "ec" },
			credentials: { cephKey: key },
		});
		expect(io.out + io.err).not.toContain(key);
	});

	test("of type iscsi-lvm", async () => {
		const own = put("own", `${password}\n`);
		const theirs = put("theirs", `${password}-of-theirs\nmore`);
		const by = `--portal 10.0.0.5 --target ${target} --wwid naa.6001405a`;
		const chap = `--chap-user node --chap-password-file ${own} --mutual-chap-user disks --mutual-chap-password-file ${theirs}`;
		expect((await here(`pool create san --type iscsi-lvm ${by} ${chap}`)).code).toBe(0);
		expect(sent("poolCreate")).toEqual({
			...{ name: "san", type: "iscsi-lvm", config: iscsi },
			credentials: { chapPassword: password, mutualChapPassword: `${password}-of-theirs` },
		});
		await here(`pool create san --type iscsi-lvm ${by} --layout thick --wipe-on-delete`);
		expect(sent("poolCreate")).toMatchObject({ config: { chapUser: null, layout: "thick", wipeOnDelete: true } });
		expect(sent("poolCreate")).not.toHaveProperty("credentials");
		expect(sent("poolCreate")).not.toHaveProperty("overwrite");
		await cli(
			[
				...`pool create san --type iscsi-lvm ${by} --overwrite gpt --overwrite`.split(" "),
				...["LVM2_member of group data", "--run-dir", folder],
			],
			{},
		);
		expect(sent("poolCreate")).toMatchObject({ overwrite: ["gpt", "LVM2_member of group data"] });
	});
});

test("what does not fit together is said, and nothing is sent", async () => {
	const keyring = put("keyring", `[client.a]\nkey = ${key}\n[client.b]\nkey = ${key}\n`);
	const conf = put("ceph.conf", "fsid = 1\n");
	const empty = put("empty", "\n");
	const iscsiWords = `--type iscsi-lvm --portal a --target ${target} --wwid naa.6`;
	for (const [words, message] of [
		["pool create x", "--path is missing."],
		["pool create x --type nfs --path /srv --target iqn", "--path, --target: not an option of pools of type nfs."],
		["pool create x --type nfs --nfs-server nas1", "--export is missing."],
		["pool create x --path /srv --no-wipe-on-delete", "--wipe-on-delete: not an option of pools of type local."],
		["pool create x --type ceph-rbd --ceph-pool rbd", "--user is missing, or --keyring."],
		["pool create x --type ceph-rbd --user a --ceph-pool rbd", "--monitor is missing, or --ceph-conf."],
		[`pool create x --type ceph-rbd --keyring ${keyring}`, "--keyring: The keyring has keys of several users"],
		[`pool create x --type ceph-rbd --keyring ${keyring} --user c`, "--keyring: The keyring has no key of client.c"],
		[`pool create x --type ceph-rbd --ceph-conf ${conf}`, "--ceph-conf: The configuration names no monitors"],
		[`pool create x --type ceph-rbd --ceph-conf ${conf} --monitor a`, "Give either --monitor or --ceph-conf."],
		[`pool create x --type ceph-rbd --key-file ${empty} --monitor a`, "--key-file: the first line is empty."],
		[`pool create x --type ceph-rbd --key-file - --keyring -`, "Give either --key-file or --keyring."],
		["pool create x --type ceph-rbd --ceph-conf /nowhere/ceph.conf", "/nowhere/ceph.conf cannot be read"],
		[`pool create x ${iscsiWords} --chap-password-file - --mutual-chap-password-file -`, "Only one password"],
		[`pool create x ${iscsiWords} --chap-password ${password}`, "Unknown option '--chap-password'"],
		["pool test", "Give the name of a storage pool, or --type."],
		["pool discover", "--type is missing, or --pool."],
		["pool discover --type nfs --portal a", "--portal: not an option of pools of type nfs."],
		["pool discover --type iscsi-lvm", "--portal is missing."],
	] as const) {
		const { code, err } = await here(words);
		expect({ words, code, err }).toEqual({ words, code: 2, err: expect.stringContaining(message) });
		expect(err).not.toContain(key);
	}
	expect(api.called).toEqual([]);
});

test("where a node fails is said under its name", async () => {
	const message = "The storage pool does not work on node-1, node-2: nas1 does not answer.";
	const errors = [
		{ path: "/nodeIds/0", message: "node-1: nas1 does not answer." },
		{ path: "/nodeIds/1", message: "node-2: nas1 says no." },
	];
	api.handlers.poolCreate = () => problem(422, "invalid", message, { errors });
	const { code, err } = await here("pool create shared --type nfs --nfs-server nas1 --export /export");
	const lines = errors.map(({ path, message: why }) => `  ${path}: ${why}\n`).join("");
	expect({ code, err }).toEqual({ code: 2, err: `Error: ${message}\n${lines}` });
});

describe("changes", () => {
	test("are of what is said, on what it has", async () => {
		await here(`pool edit ${nfsPool.id} --nfs-server nas2 --nfs-version 4.1 --no-mount-options`);
		expect(sent("poolUpdate")).toEqual({ config: { ...nfs, server: "nas2", version: "4.1", mountOptions: [] } });
		expect(api.requests.at(-2)?.headers.get("if-match")).toBe(`"${nfsPool.generation}"`);
		await here(`pool edit ${nfsPool.id} --name files`);
		expect(sent("poolUpdate")).toEqual({ name: "files" });
		await here(`pool edit ${nfsPool.id} --remove-node node-2`);
		expect(sent("poolUpdate")).toEqual({ nodeIds: [first] });
		await here(`pool edit ${nfsPool.id} --node node-2`);
		expect(sent("poolUpdate")).toEqual({ nodeIds: [second] });
	});

	test("of credentials alone", async () => {
		api.handlers.poolGet = () => ({ ...nfsPool, type: "ceph-rbd", config: ceph });
		await here(`pool edit ${nfsPool.id} --key-file ${put("key", `${key}\n`)}`);
		expect(sent("poolUpdate")).toEqual({ credentials: { cephKey: key } });
		api.handlers.poolGet = () => ({ ...nfsPool, type: "iscsi-lvm", config: iscsi });
		await here(`pool edit ${nfsPool.id} --no-chap`);
		expect(sent("poolUpdate")).toEqual({ config: { ...iscsi, chapUser: null, mutualChapUser: null } });
	});

	test("that make no sense are not sent", async () => {
		for (const words of [
			"",
			" --key-file /dev/null",
			" --no-chap",
			" --no-mount-options --mount-option noatime",
			" --node node-1 --add-node node-2",
		])
			expect({ words, code: (await here(`pool edit ${nfsPool.id}${words}`)).code }).toEqual({ words, code: 2 });
		expect(api.called).not.toContain("poolUpdate");
	});
});

describe("a try", () => {
	test("of one that is there goes to its nodes, with its own credentials", async () => {
		await here(`pool test ${nfsPool.id} --nfs-server nas2`);
		const config = { ...nfs, server: "nas2" };
		expect(sent("poolProbe")).toEqual({ poolId: nfsPool.id, type: "nfs", config, nodeIds: [first, second] });
		expect((await here(`pool test ${nfsPool.id} --type local`)).code).toBe(2);
	});

	test("names what is on a LUN, and how that is said", async () => {
		const error = { code: "wrong-state", message: "The LUN is not empty: gpt is on it. Nothing was changed." };
		const failed = { ok: false, totalBytes: null, availableBytes: null, error, found: ["gpt"] };
		api.handlers.poolProbe = () => ({ nodes: nodes.map(({ id }) => ({ nodeId: id, ...failed })) });
		const by = `--portal 10.0.0.5 --target ${target} --wwid naa.6001405a`;
		const { code, err } = await here(`pool test --type iscsi-lvm ${by}`);
		expect({ code, err }).toEqual({ code: 1, err: 'To destroy what is there: --overwrite "gpt"\n' });
		await here(`pool test --type iscsi-lvm ${by} --overwrite gpt`);
		expect(sent("poolProbe")).toMatchObject({ overwrite: ["gpt"] });
	});

	test("fails when it does not work on one node", async () => {
		const ok = { ok: true, totalBytes: GiB, availableBytes: GiB, error: null };
		api.handlers.poolProbe = () => ({ nodes: [{ nodeId: first, ...ok }] });
		expect((await here("pool test --type local --path /srv/x")).code).toBe(0);
		expect(sent("poolProbe")).toEqual({ type: "local", config: { path: "/srv/x" } });
	});
});

test("what a server offers to a pool that is there is asked with its credentials, unless others are given", async () => {
	const nothing = { exports: [], cephPools: [], targets: [], luns: [] };
	api.handlers.poolDiscover = () => nothing;
	await here(`pool discover --pool ${nfsPool.id}`);
	expect(sent("poolDiscover")).toEqual({ type: "nfs", server: "nas1" });
	const id = nfsPool.id;
	api.handlers.poolGet = () => ({ ...nfsPool, type: "iscsi-lvm", config: iscsi });
	await here(`pool discover --pool ${id} --portal 10.0.0.6`);
	const asked = { type: "iscsi-lvm", poolId: id, chapUser: "node", mutualChapUser: "disks" };
	expect(sent("poolDiscover")).toEqual({ ...asked, portals: ["10.0.0.6"], target: null });
	await here(`pool discover --pool ${id} --target ${target} --chap-password-file ${put("own", password)}`);
	const credentials = { chapPassword: password };
	expect(sent("poolDiscover")).toEqual({ ...asked, portals: ["10.0.0.5"], target, credentials });
	api.handlers.poolGet = () => ({ ...nfsPool, type: "ceph-rbd", config: ceph });
	await here(`pool discover --pool ${id}`);
	const { monitors, user } = ceph;
	expect(sent("poolDiscover")).toEqual({ type: "ceph-rbd", poolId: id, monitors, user });
	for (const words of ["--type nfs", "--nfs-server nas1"])
		expect((await here(`pool discover --pool ${id} ${words}`)).code).toBe(2);
	api.handlers.poolGet = () => fixturePool();
	expect((await here(`pool discover --pool ${id}`)).code).toBe(2);
});

test("figures of a part that fails are marked, and do not count beside those of parts that work", async () => {
	const failed = report(second, { health: "unmounted", reason: "It is not there." });
	const partly = fixturePool({ ...shared, phase: "degraded", nodes: [report(first), failed] });
	const gone = { ...partly, phase: "error" as const, nodes: [failed] };
	const shown = async (pool: Pool) => {
		api.handlers.poolGet = () => pool;
		api.handlers.poolList = () => page(pool);
		const lines = (await here(`pool show ${pool.id}`)).out.split("\n").map((line) => line.replace(/\s+/g, " "));
		const listed = (await here("pool list")).out.split("\n")[1]?.split(/\s\s+/).slice(3, 6);
		return [lines.filter((line) => /^(used|available|node) /.test(line)), listed];
	};
	const since = expect.stringMatching(
		/^node node-2: unmounted, 40 GiB of 100 GiB \(40 ?%\) when it was last seen, since /,
	);
	expect(await shown(partly)).toEqual([
		[
			"used 40 GiB of 100 GiB (40 %) without node-2",
			"available 60 GiB without node-2",
			"node node-1: healthy, 40 GiB of 100 GiB (40 %)",
			since,
		],
		["40 GiB", "60 GiB", "100 GiB"],
	]);
	const [lines, listed] = await shown(gone);
	expect(lines?.slice(0, 2)).toEqual([
		"used 40 GiB of 100 GiB (40 %) when it was last seen",
		"available 60 GiB when it was last seen",
	]);
	expect(listed).not.toContain("60 GiB");
});

test("each reason is said, under the names of the nodes that give it where they differ", async () => {
	const newest: PoolCapabilities = {
		...{ formats: ["qcow2", "raw"], provisioning: ["thin", "thick"], copyOnWriteClone: true, fullClone: true },
		...{ resizeOnline: true, shrink: false, snapshots: true, images: true, shared: true },
		reasons: { shrink: "It cuts off.", flattenOnline: "Only QEMU could." },
	};
	const older: PoolCapabilities = {
		...newest,
		...{ provisioning: ["thin"], snapshots: false },
		reasons: {
			...newest.reasons,
			...{ provisioning: "Thick needs NFS 4.2.", discard: "It needs NFS 4.2.", snapshots: "Not there." },
			...{ reflink: "ext4 cannot.", formats: "Both.", later: "Who knows." },
		},
	};
	const shown = async (...records: (PoolCapabilities | null)[]) => {
		const parts = [first, second].map((id, at) => report(id, { capabilities: records[at] ?? null }));
		api.handlers.poolGet = () => ({ ...nfsPool, nodes: parts });
		const { out } = await here(`pool show ${nfsPool.id}`);
		return out
			.split("\n")
			.filter((line) => /^(formats|volumes|can|cannot) /.test(line))
			.map((line) => line.replace(/ {2,}/, " "));
	};
	expect(await shown(older, null)).toEqual([
		"formats qcow2, raw: Both.",
		"volumes thin: Thick needs NFS 4.2.",
		"can copy-on-write clones, full clones, resize online, images, shared by nodes",
		"cannot shrink: It cuts off.",
		"cannot snapshots: Not there.",
		"cannot flatten while the VM runs: Only QEMU could.",
		"cannot free what guests discard: It needs NFS 4.2.",
		"cannot later: Who knows.",
		"cannot full copies that share blocks: ext4 cannot.",
	]);
	const [differ, agree] = [await shown(newest, older), await shown(newest, newest)];
	expect(differ).toEqual([
		"formats node-1: qcow2, raw",
		"formats node-2: qcow2, raw: Both.",
		"volumes node-1: thin or thick",
		"volumes node-2: thin: Thick needs NFS 4.2.",
		"can copy-on-write clones, full clones, resize online, images, shared by nodes",
		"can node-1: snapshots",
		"cannot shrink: It cuts off.",
		"cannot node-2: snapshots: Not there.",
		"cannot flatten while the VM runs: Only QEMU could.",
		"cannot node-2: free what guests discard: It needs NFS 4.2.",
		"cannot node-2: later: Who knows.",
		"cannot node-2: full copies that share blocks: ext4 cannot.",
	]);
	expect(agree.some((line) => line.includes("node-"))).toBe(false);
});

test("tries, findings and pools, as people see them", async () => {
	const capabilities: Pool["nodes"][number]["capabilities"] = {
		...{ formats: ["qcow2", "raw"], copyOnWriteClone: true, fullClone: true, resizeOnline: true, shrink: false },
		...{ snapshots: true, images: true, shared: true, reasons: { shrink: "A guest would lose what is at the end." } },
	};
	const failed = { health: "error", reason: "nas1 does not answer.", totalBytes: null, usedBytes: null } as const;
	const pools = [
		fixturePool({ phase: "ready", nodes: [report(first), report(second)] }),
		{ ...nfsPool, phase: "degraded" as const, nodes: [report(first, { capabilities }), report(second, failed)] },
		fixturePool({ ...shared, id: fixtureId(32), name: "rbd", type: "ceph-rbd", config: ceph, nodes: [report(first)] }),
		fixturePool({ ...shared, id: fixtureId(33), name: "san", type: "iscsi-lvm", config: iscsi }),
	];
	api.handlers.poolList = () => page(...pools);
	api.handlers.poolGet = ({ id }) => pools.find((pool) => pool.id === id) ?? problem(404, "not-found", "gone");
	api.handlers.poolProbe = () => ({
		nodes: [
			{ nodeId: first, ok: true, totalBytes: 100 * GiB, availableBytes: 60 * GiB, error: null },
			{
				...{ nodeId: second, ok: false, totalBytes: null, availableBytes: null },
				error: { code: "storage", message: "nas1 does not let node-2 mount /export." },
			},
		],
	});
	const nothing = { exports: [], cephPools: [], targets: [], luns: [] };
	const disk = { vendor: "LIO-ORG", model: "disk" };
	api.handlers.poolDiscover = ({ json }) => {
		const asked = json as { type: string; target?: string | null };
		if (asked.type === "nfs") return { ...nothing, exports: [{ path: "/export", clients: ["10.0.0.0/24", "*.lan"] }] };
		if (asked.type === "ceph-rbd")
			return { ...nothing, cephPools: [{ name: "rbd", namespaces: ["berlin"], erasureCoded: false }] };
		if (asked.target === null) return { ...nothing, targets: [{ name: target, portals: ["10.0.0.5:3260"] }] };
		const luns = [
			{ wwid: "naa.6001405a", lun: 0, sizeBytes: 500 * GiB, content: null, ...disk },
			{ wwid: "naa.6001405b", lun: 1, sizeBytes: 8 * GiB, content: "file system xfs", ...disk },
		];
		return { ...nothing, luns };
	};
	let text = "";
	for (const words of [
		"pool list",
		"pool show shared",
		"pool show rbd",
		"pool show san",
		"pool test shared",
		"pool discover --type nfs --nfs-server nas1",
		"pool discover --type ceph-rbd --monitor 10.0.0.1 --user vms --node node-2",
		"pool discover --type iscsi-lvm --portal 10.0.0.5",
		`pool discover --type iscsi-lvm --portal 10.0.0.5 --target ${target}`,
	]) {
		const { code, out, err } = await here(words);
		expect({ words, code, err }).toEqual({ words, code: words === "pool test shared" ? 1 : 0, err: "" });
		text += `$ limiquantix ${words}\n${out}\n`;
	}
	expect(JSON.parse((await here("pool discover --type nfs --nfs-server nas1 -o json")).out)).toHaveLength(1);
	expectGolden(join(import.meta.dir, "../golden/pools.txt"), text);
});
