/**
 * Disks of VMs, or whatever else, have filled the file system on which the node has its log: what frees it works, on a node alone and
 * on a member of a cluster.
 */
import { afterEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { pathsOf } from "../../store/open-store.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { untilSame } from "../cluster/convergence.ts";
import { LabCluster } from "../cluster/lab-cluster.ts";
import { buildGuestImage } from "../lab/guest-image.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { startLibvirtd } from "../lab/libvirtd.ts";
import { type MountNamespace, startMountNamespace } from "../lab/mount-namespace.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { cacheDir, type LabSystem, labSystem } from "./lab-system.ts";

const limitMs = 240_000;
const stepMs = 60_000;
const diskBytes = 256 * MiB;
const imageBytes = 40 * MiB;
const heldBytes = 32 * MiB;
/** More than members keep for one that is away. */
const missedChanges = 450;
/** What is missing is made at the next look. */
const isWhole = (bytes: number) => bytes > heldBytes - MiB;
/** And not that there is none. */
const isGivenUpInPart = (bytes: number) => bytes > 0 && !isWhole(bytes);

const refused = { code: "no-space", context: { status: 507 } };

const ends: (() => PromiseLike<void> | void)[] = [];
afterEach(async () => {
	for (const end of ends.splice(0)) await end();
}, limitMs);

/** Nothing that a file system or an image format could make smaller. */
function writeImage(path: string): void {
	const block = createHash("shake256", { outputLength: MiB }).update("image").digest();
	writeFileSync(path, Buffer.concat(Array.from({ length: imageBytes / MiB }, () => block)));
}

const fileSystems: Record<string, (mounts: MountNamespace, folder: string, at: string) => Promise<void>> = {
	memory: (mounts, _folder, at) => mounts.mountMemory(at, diskBytes),
	async ext4(mounts, folder, at) {
		const image = join(folder, "disk");
		await mounts.run("truncate", [`--size=${diskBytes}`, image]);
		// Nothing is kept for root, who could free the disk with it.
		await mounts.run("mkfs.ext4", ["-q", "-F", "-m", "0", image]);
		await mounts.run("mount", ["-o", "loop", image, at]);
	},
};

type SmallNode = LabSystem & {
	imagePath: string;
	fill(): Promise<void>;
	free(): Promise<void>;
	held(): Promise<number>;
};

/** One node; state, VMs and the default pool are on a small file system of their own. */
async function startSmallNode(fileSystem: string): Promise<SmallNode> {
	const folder = mkdtempSync("/tmp/lqx-full-");
	ends.unshift(() => rmSync(folder, { recursive: true, force: true }));
	const imagePath = join(folder, "image.raw");
	writeImage(imagePath);
	const data = join(folder, "data");
	mkdirSync(data);
	const mounts = await startMountNamespace();
	ends.unshift(() => mounts.stop());
	await present(fileSystems[fileSystem], fileSystem)(mounts, folder, data);
	const libvirtd = await startLibvirtd({ name: "full-disk" });
	ends.unshift(() => libvirtd.stop());
	await mounts.bind(join(libvirtd.folder, "lib"), "/var/lib/libvirt");
	const guest = await buildGuestImage({ cacheDir });
	const system = labSystem({ libvirtd, guest, folder, prefix: mounts.prefix });
	ends.unshift(() => system[Symbol.asyncDispose]());
	await system.daemon.start();
	await system.ready();
	const inside = async (program: string, ...args: string[]) => {
		const [nsenter = "", ...flags] = mounts.prefix;
		const options = { timeoutMs: stepMs, okExitCodes: [0, 1] };
		return (await run(nsenter, [...flags, program, ...args], options)).stdout;
	};
	const filler = join(data, "pools", "filler");
	return {
		...system,
		imagePath,
		fill: async () =>
			void (await inside(
				"dd",
				"if=/dev/zero",
				`of=${filler}`,
				"oflag=append",
				"conv=notrunc,fsync",
				"bs=64K",
				"status=none",
			)),
		free: async () => void (await inside("rm", "--force", filler)),
		held: async () => 512 * Number(await inside("stat", "--format=%b", pathsOf(data).ballast)),
	};
}

const rename = ({ api }: Pick<LabSystem, "api">, name: string) =>
	api.call("clusterUpdate", { body: { name }, signal: AbortSignal.timeout(15_000) });
const grow = ({ api }: Pick<LabSystem, "api">, name: string) =>
	api.call("userCreate", {
		body: { name, role: "viewer", password: "a long pass phrase" },
		signal: AbortSignal.timeout(15_000),
	});
const untilGrows = (node: Pick<LabSystem, "api">, name: string) =>
	waitUntil("something new to be taken", stepMs, () =>
		grow(node, name).then(
			() => true,
			() => false,
		),
	);

for (const fileSystem of Object.keys(fileSystems))
	test(
		`${fileSystem}: filled to the last byte by others, it is freed by deleting an image, or a VM, also after kill -9`,
		async () => {
			const node = await startSmallNode(fileSystem);
			const { api } = node;
			const source = { kind: "path" as const, path: node.imagePath };
			const made = await api.call("imageCreate", { body: { name: "large", format: "raw", source } });
			await node.done(made);
			const imageId = made.body.id;
			const vm = await node.createVm({ name: "full", start: false, nics: [], disks: [{ imageId, fullCopy: true }] });
			const untilHeld = () => waitUntil("the ballast", stepMs, async () => isWhole(await node.held()));
			await untilHeld();

			await node.fill();
			expect(await failureOf(grow(node, "refused"))).toMatchObject(refused);
			for (let number = 0; number < 50; number++) await rename(node, `full-${number}`);
			expect(isGivenUpInPart(await node.held())).toBe(true);
			await node.done(await api.call("imageDelete", { path: { id: imageId } }));
			await untilGrows(node, "after-the-image");
			await untilHeld();

			await node.fill();
			await node.fill();
			expect(await failureOf(grow(node, "refused"))).toMatchObject(refused);
			// One change may still fit into what the file system has left in its blocks.
			let name = "";
			for (let number = 0; number < 50 && isWhole(await node.held()); number++) {
				name = `before-the-end-${number}`;
				await rename(node, name);
			}
			await node.daemon.kill9();
			await node.fill();
			expect(isGivenUpInPart(await node.held())).toBe(true);
			await node.daemon.start();
			await node.ready();
			expect((await api.call("clusterGet")).body.name).toBe(name);
			expect(await failureOf(grow(node, "refused"))).toMatchObject(refused);
			await node.done(await api.call("vmDelete", { path: { id: vm.id } }));
			await untilGrows(node, "after-the-vm");
			await node.free();
			await untilHeld();
		},
		limitMs,
	);

const nameAt = async (node: ClusterNode) => (await node.api.call("clusterGet")).body.name;
const untilRenamed = (node: ClusterNode, name: string) =>
	waitUntil(`${node.name} to take a change`, stepMs, () =>
		rename(node, name).then(
			() => true,
			() => false,
		),
	);

test(
	"a member whose disk is full goes on taking changes and voting, and what frees it reaches it",
	async () => {
		await using cluster = await LabCluster.start(3, { sharedDisks: true });
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		const imagePath = join(cluster.folder, "image.raw");
		writeImage(imagePath);
		const source = { kind: "path" as const, path: imagePath };
		const imageBody = { name: "large", format: "raw" as const, source, nodeId: third.nodeId };
		// What it brings comes after it has joined.
		const id = await waitUntil("its pool", stepMs, () =>
			third.api.call("imageCreate", { body: imageBody }).then(
				({ body }) => body.id,
				() => undefined,
			),
		);
		await waitUntil("the image", stepMs, async () => {
			return (await first.api.call("imageGet", { path: { id } })).body.phase === "ready";
		});
		const untilHeld = (node: ClusterNode) =>
			waitUntil("the ballast", stepMs, async () => isWhole(await node.ballastBytes()));
		for (const node of cluster.nodes) await untilHeld(node);
		if ((await cluster.leader()) === third)
			await third.api.call("clusterLeaderTransfer", { body: { nodeId: first.nodeId } });

		await third.fillFreeSpace();
		await untilRenamed(first, "reaches-it");
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		expect(await nameAt(third)).toBe("reaches-it");

		// Two of three: nothing is acknowledged that the full one has not kept.
		await second.kill9();
		await untilRenamed(first, "by-the-full-one");
		await second.start();
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		// And nobody is elected without its vote.
		await first.kill9();
		await untilRenamed(second, "by-its-vote");
		await first.start();
		await untilSame(cluster.nodes, cluster.folder, stepMs);

		// After a start, too; what it has missed comes as a snapshot.
		await third.kill9();
		await third.fillFreeSpace();
		for (let number = 0; number < missedChanges; number++) await rename(first, `without-it-${number}`);
		const told = third.daemon.log().length;
		await third.start();
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		expect(third.daemon.log().slice(told)).toContain("beginning anew");
		expect(isGivenUpInPart(await third.ballastBytes())).toBe(true);
		await first.api.call("imageDelete", { path: { id } });
		await waitUntil("the image to be gone", stepMs, async () => {
			const { items } = (await third.api.call("imageList", { query: {} })).body;
			return items.length === 0;
		});
		await untilHeld(third);
		await untilGrows(third, "room-again");
		await untilSame(cluster.nodes, cluster.folder, stepMs);
	},
	limitMs,
);
