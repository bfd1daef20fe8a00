/** A pool with a part on each of several real nodes, and its folders when it is deleted. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { LabCluster } from "../cluster/lab-cluster.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 120_000;
const stepMs = 40_000;

test(
	"a witness says that it only votes, and has a pool that works when it has left",
	async () => {
		await using cluster = await LabCluster.start(1);
		const first = cluster.node(0);
		await first.cli(stepMs, "cluster", "init", "--name", "lab", "--address", first.peerAddress);
		const witness = await cluster.addNode();
		const health = async () => (await witness.api.call("poolList", { query: {} })).body.items[0]?.nodes[0]?.health;
		const works = () => waitUntil("its pool to work", stepMs, async () => (await health()) === "healthy");
		await works();
		await witness.joinWith(await cluster.token(first), [first.peerAddress], stepMs, ["--witness"]);
		await cluster.untilVotes(witness, first);

		const query = { nodeId: witness.nodeId };
		const asked = first.api.call("foreignVmList", { query, signal: AbortSignal.timeout(15_000) });
		await expect(asked).rejects.toMatchObject({ code: "wrong-state", message: expect.stringContaining("only votes") });
		expect((await witness.api.call("healthGet")).body.hypervisor).toBe("disconnected");

		await witness.cli(stepMs, "cluster", "leave", "--yes");
		await waitUntil("it to be a cluster of its own", stepMs, async () => {
			await witness.identify().catch(() => {});
			return witness.nodeId !== query.nodeId;
		});
		await works();
	},
	limitMs,
);

test(
	"a pool that is deleted leaves its folders free for another one, also on a node that was away",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		const path = join(cluster.folder, "shared-name");
		// Each has its own under this path: they share the file system of this machine, and not what is mounted in it.
		for (const node of [first, second]) {
			await node.run("mkdir", ["--parents", path]);
			await node.run("mount", ["-t", "tmpfs", "-o", "size=4m,mode=0711", "tmpfs", path]);
		}
		const create = async (name: string): Promise<string> => {
			const body = { name, type: "local" as const, config: { path }, nodeIds: [first.nodeId, second.nodeId] };
			return (await first.api.call("poolCreate", { body })).body.id;
		};
		const remove = async (id: string) => {
			await first.api.call("poolDelete", { path: { id } });
			await waitUntil("the pool to be gone", stepMs, async () => {
				return !(await first.api.call("poolList", { query: {} })).body.items.some((pool) => pool.id === id);
			});
		};
		const health = async (node: ClusterNode, id: string) => {
			const { nodes } = (await third.api.call("poolGet", { path: { id } })).body;
			return nodes.find(({ nodeId }) => nodeId === node.nodeId)?.health;
		};
		const works = (id: string) =>
			waitUntil("the pool to be there on both", stepMs, async () => {
				const both = await Promise.all([health(first, id), health(second, id)]);
				return both.every((one) => one === "healthy");
			});

		const one = await create("one");
		await works(one);
		await remove(one);
		const two = await create("two");
		await works(two);
		await second.kill9();
		await remove(two);
		const three = await create("three");
		await second.start();
		await works(three);
		expect(await second.run("ls", [path])).toContain("limiquantix-pool.json");
	},
	limitMs,
);
