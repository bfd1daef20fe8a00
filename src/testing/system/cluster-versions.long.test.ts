/**
 * Two builds in one cluster. The older one is this tree without a feature and its commands, which is what a build of before
 * they were made is to the others. What some member does not know waits, and says for whom; nothing else changes. A build of an older
 * commit, in which all else is older, too: cluster-older.long.test.ts.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { isFinished } from "../../model/task.ts";
import type { Vm } from "../../model/vm.ts";
import { buildWithout } from "../../scripts/build.ts";
import { untilSame } from "../cluster/convergence.ts";
import { Creations } from "../cluster/creations.ts";
import { LabCluster } from "../cluster/lab-cluster.ts";
import { executablePath, type LabDaemon, prepareLabDaemon } from "../lab/daemon.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../lab/libvirtd.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { Random } from "../simulation/random.ts";
import { freePort } from "./free-port.ts";

const limitMs = 180_000;
const stepMs = 60_000;
const feature = "vm-move-1";
let folder: string;
let older: string;

beforeAll(async () => {
	folder = mkdtempSync("/tmp/lqx-versions-");
	older = join(folder, "limiquantix");
	await buildWithout([feature], older);
}, limitMs);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Node = { name: string; daemon: LabDaemon; libvirtd: PrivateLibvirtd; address: string; executable: string };

/** With libvirt's mock hypervisor, so that nodes are ready for VMs. */
async function nodeOf(name: string): Promise<Node> {
	const libvirtd = await startLibvirtd({ name });
	const address = `127.0.0.1:${await freePort()}`;
	const node: Node = {
		...{ name, address, libvirtd, executable: older },
		daemon: prepareLabDaemon({
			libvirtUri: libvirtd.testUri,
			executable: () => node.executable,
			arguments: ["--node-name", name, "--peer-listen", address],
		}),
	};
	return node;
}

const cli = ({ daemon, executable }: Node, ...words: string[]) =>
	run(executable, [...words, "--run-dir", daemon.runDir], { timeoutMs: stepMs });
const idOf = async ({ daemon }: Node) => (await daemon.api.call("healthGet")).body.nodeId;

async function joinTo(first: Node, node: Node): Promise<void> {
	const { secret } = (await first.daemon.api.call("joinTokenCreate", { body: {} })).body;
	await cli(node, "cluster", "join", first.address, "--token", secret, "--address", node.address, "--rename", "--yes");
}

const upgrade = async (node: Node) => {
	await node.daemon.term();
	node.executable = executablePath;
	await node.daemon.start();
};

/** Who knows the feature, as this node sees it. */
async function whoKnows({ daemon }: Node): Promise<string[]> {
	const { members } = (await daemon.api.call("clusterStatusGet")).body;
	return members.flatMap(({ name, features }) => (features?.includes(feature) ? [name] : [])).sort();
}

const untilReady = (asked: Node, count: number) =>
	waitUntil(`${count} nodes to be ready`, stepMs, async () => {
		const { items } = (await asked.daemon.api.call("nodeList").catch(() => ({ body: { items: [] } }))).body;
		return items.filter(({ status }) => status.phase === "ready").length === count;
	});

test(
	"a command that some members do not know waits for them, and names them; then it works, also while one is down",
	async () => {
		const nodes: Node[] = [];
		try {
			for (const name of ["node-1", "node-2", "node-3", "stranger"]) nodes.push(await nodeOf(name));
			const [first, second, third, stranger] = nodes as [Node, Node, Node, Node];
			for (const node of nodes) await node.daemon.start();
			await cli(first, "cluster", "init", "--name", "lab", "--address", first.address);
			await joinTo(first, second);
			await joinTo(second, third);
			await untilReady(first, 3);
			await upgrade(first);
			const [firstId, secondId, thirdId] = [await idOf(first), await idOf(second), await idOf(third)];
			// What its record says is of before, until it has the feature.
			await waitUntil("the first to be ready again", stepMs, async () => {
				const { status } = (await first.daemon.api.call("nodeGet", { path: { id: firstId } })).body;
				return status.phase === "ready" && status.features?.includes(feature);
			});

			// Each writes, and each sees it.
			for (const [number, node] of [first, second, third].entries()) {
				await node.daemon.api.call("clusterUpdate", { body: { name: `by-${number}` } });
				for (const other of [first, second, third])
					expect((await other.daemon.api.call("clusterGet")).body.name).toBe(`by-${number}`);
			}
			expect(await whoKnows(first)).toEqual(["node-1"]);

			const body = {
				...({ name: "mover", nodeId: secondId, firmware: "bios", memoryBytes: 64 * MiB, vcpus: 1 } as const),
				...{ disks: [], nics: [], start: false },
			};
			const made = await first.daemon.api.call("vmCreate", { body });
			const vm = () => first.daemon.api.call("vmGet", { path: { id: made.body.id } }).then((answer): Vm => answer.body);
			// It is stopped before it is made, too, and its node is restarted in a moment.
			await waitUntil("the VM to be made", stepMs, async () => {
				const { status } = await vm();
				return status.powerState === "stopped" && status.observedGeneration > 0 && status.taskId === null;
			});
			const move = (node: Node, nodeId: string) =>
				node.daemon.api.call("vmMove", { path: { id: made.body.id }, body: { nodeId } });
			const refusal = async () => (await failureOf(move(first, firstId))).message;
			expect(await refusal()).toEndWith("Install this node's version of LimiQuantix on: node-2, node-3.");
			expect((await failureOf(cli(first, "vm", "move", "mover", "node-1"))).message).toContain("node-2, node-3");

			await third.daemon.kill9();
			await upgrade(second);
			const untilKnownBy = (count: number) =>
				waitUntil(`${count} nodes to know it`, stepMs, async () => (await whoKnows(first)).length === count);
			await untilKnownBy(2);
			// A node that was just started says for a moment that it is not ready: that is another reason to refuse.
			const afterwards = await waitUntil("node-1 to be ready", stepMs, async () => {
				const said = await refusal();
				return said.includes("not-ready") ? undefined : said;
			});
			expect(afterwards).toEndWith("on: node-3.");
			third.executable = executablePath;
			await third.daemon.start();
			await untilKnownBy(3);
			const moved = async (nodeId: string) => {
				// A node that was just started says for a moment that it is not ready.
				const { body: asked } = await waitUntil("the nodes to be ready", stepMs, () =>
					move(first, nodeId).catch((error: Error) => {
						if (!/not.ready/.test(error.message)) throw error;
						return undefined;
					}),
				);
				const task = await waitUntil("the move to end", stepMs, async () => {
					const { body: now } = await first.daemon.api.call("taskGet", { path: { id: asked.id } });
					return isFinished(now.state) ? now : undefined;
				});
				expect([task.state, task.error, (await vm()).nodeId]).toEqual(["succeeded", null, nodeId]);
			};
			await moved(firstId);

			// What a node that is down knew is in its record.
			await waitUntil("the third to have reported", stepMs, async () => {
				const { body: node } = await first.daemon.api.call("nodeGet", { path: { id: thirdId } });
				return node.status.features?.includes(feature);
			});
			await third.daemon.kill9();
			await first.daemon.term();
			await first.daemon.start();
			await waitUntil("the nodes to be ready", stepMs, async () => {
				const { items } = (await first.daemon.api.call("nodeList")).body;
				return items.filter(({ id, status }) => id !== thirdId && status.phase === "ready").length === 2;
			});
			await waitUntil("the first to be up", stepMs, async () => {
				const { hypervisor } = (await first.daemon.api.call("healthGet")).body;
				return hypervisor === "connected";
			});
			expect(await whoKnows(first)).not.toContain("node-3");
			await moved(secondId);

			// Who goes back to a version that does not know what was done meanwhile stops, and loses nothing.
			third.executable = older;
			const ended = await third.daemon.start().then(
				() => waitUntil("the older build to stop", stepMs, () => !third.daemon.alive()),
				() => true,
			);
			expect([ended, third.daemon.exitCode()]).toEqual([true, 1]);
			expect(third.daemon.log()).toContain("holds a command of a newer version of LimiQuantix. Install that version");
			third.executable = executablePath;
			await third.daemon.start();
			await waitUntil("the third to have it all", stepMs, async () => {
				const { items } = (await third.daemon.api.call("vmList")).body;
				return items.find(({ id }) => id === made.body.id)?.nodeId === secondId;
			});

			const old = (await failureOf(joinTo(first, stranger))).message;
			expect(old).toContain("is older than the cluster's: it does not know vm-move-1");
			await upgrade(stranger);
			await joinTo(first, stranger);
			expect(present((await first.daemon.api.call("clusterStatusGet")).body.members, "members")).toHaveLength(4);
		} finally {
			for (const { name, daemon, libvirtd } of nodes) {
				await daemon.stop();
				await libvirtd.stop();
				if (process.env.LIMIQUANTIX_TEST_LOG === "1") console.error(name, daemon.log());
			}
		}
	},
	limitMs,
);

test(
	"nodes are upgraded one after the other while clients write: nothing is lost, and the copies are the same",
	async () => {
		await using cluster = await LabCluster.start(3, { executable: older });
		const wrong: string[] = [];
		const targets = () => cluster.nodes.map(({ name, api }) => ({ name, client: api }));
		const parts = {
			targets,
			random: new Random(7),
			prefix: "upgrade",
			onWrong: (what: string) => void wrong.push(what),
		};
		const load = new Creations(parts, 4);
		for (const node of cluster.nodes) {
			const before = load.acknowledged;
			await node.term();
			node.executable = executablePath;
			await waitUntil("writes without it", stepMs, () => load.acknowledged > before + 4);
			await node.start();
			const between = load.acknowledged;
			await waitUntil("writes with it", stepMs, () => load.acknowledged > between + 4);
			await untilSame([node], cluster.folder, stepMs);
		}
		await load.stop();
		expect(wrong).toEqual([]);
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		for (const { api } of cluster.nodes) expect(await load.missing(api)).toEqual([]);
		const { members } = (await cluster.node(0).api.call("clusterStatusGet")).body;
		for (const { features } of members) expect(features).toContain(feature);
	},
	limitMs,
);
