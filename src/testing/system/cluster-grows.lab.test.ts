/** From one node to three to one, and two nodes with a witness: no write is lost, and nobody waits for long. */
import { expect, test } from "bun:test";
import { untilSame } from "../cluster/convergence.ts";
import { Creations } from "../cluster/creations.ts";
import { History } from "../cluster/history.ts";
import { LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { clientOf, networkBody, Register } from "../cluster/register.ts";
import { RegisterClients } from "../cluster/register-clients.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { Random } from "../simulation/random.ts";
import { chosenSeed } from "./crash-points.ts";

const limitMs = 150_000;
const stepMs = 40_000;

test(
	"from one node to three to one, while clients work",
	async () => {
		await using cluster = await LabCluster.start(1);
		const [first] = [cluster.node(0)];
		await first.cli(stepMs, "cluster", "init", "--name", "grows", "--address", first.peerAddress);
		const members = [first];
		const made = await first.api.call("networkCreate", { body: networkBody("register") });
		const history = new History();
		const wrong: string[] = [];
		const clients = new Map(members.map((node) => [node, clientOf(node.daemon.socketPath)]));
		const parts = {
			registers: [new Register("register", made.body.id)],
			targets: () => [...clients].map(([{ name }, client]) => ({ name, client })),
			random: new Random(chosenSeed()),
			history,
			onWrong: (what: string) => void wrong.push(what),
		};
		const working = new RegisterClients(parts, 4);
		const creating = new Creations({ ...parts, prefix: "made" }, 2);

		for (let number = 1; number < 3; number++) {
			const node = await cluster.addNode();
			await cluster.join(node, first);
			members.push(node);
			clients.set(node, clientOf(node.daemon.socketPath));
		}
		await waitUntil("three members", stepMs, () => cluster.haveVotes(members));
		const [, second, third] = members;
		for (const node of [third, first]) {
			if (!node) continue;
			clients.delete(node);
			members.splice(members.indexOf(node), 1);
			const before = node.nodeId;
			await node.cli(stepMs, "cluster", "leave", "--yes", "--no-wait");
			await waitUntil(`${node.name} to be a cluster of its own`, stepMs, async () => {
				await node.identify().catch(() => {});
				return node.nodeId !== before;
			});
			expect((await statusOf(node))?.members).toHaveLength(1);
			await waitUntil("the others to vote", stepMs, () => cluster.haveVotes(members));
		}
		await Promise.all([working.stop(), creating.stop()]);
		if (!second) throw new Error("The second node is missing.");
		expect(await creating.missing(clientOf(second.daemon.socketPath))).toEqual([]);
		expect([wrong, history.judge()]).toEqual([[], { linearizable: true }]);
		expect(creating.acknowledged).toBeGreaterThan(0);
		expect(history.counts.ok).toBeGreaterThan(50);
		expect((await statusOf(second))?.voterCount).toBe(1);
	},
	limitMs,
);

test(
	"two nodes and a witness: either may go, the witness never leads for long and has everything",
	async () => {
		await using cluster = await LabCluster.start(2);
		const [first, second] = [cluster.node(0), cluster.node(1)];
		const witness = await cluster.addNode();
		await witness.joinWith(await cluster.token(first), [first.peerAddress], stepMs, ["--witness"]);
		await cluster.untilVotes(witness, first);
		await waitUntil("three members", stepMs, () => cluster.haveVotes(cluster.nodes));
		for (const gone of [first, second]) {
			const left = gone === first ? second : first;
			await gone.kill9();
			await waitUntil("a write without it", stepMs, () =>
				left.api
					.call("clusterUpdate", { body: { name: `without-${gone.name}` }, signal: AbortSignal.timeout(15_000) })
					.then(
						() => true,
						() => false,
					),
			);
			await waitUntil("a node that is no witness to lead", stepMs, async () => {
				const leader = (await statusOf(left))?.leaderNodeId;
				return leader === left.nodeId;
			});
			await gone.start();
			await untilSame(cluster.nodes, cluster.folder, stepMs);
		}
		expect((await witness.api.call("clusterGet")).body.name).toBe(`without-${second.name}`);
	},
	limitMs,
);

test(
	"a node that was away too long for the log gets the whole state, however often it is killed on the way; so does a new one",
	async () => {
		await using cluster = await LabCluster.start(3);
		const third = cluster.node(2);
		await third.kill9();
		const [leader, other] = [await cluster.leader(), cluster.nodes.slice(0, 2)];
		const segments = async (): Promise<number[]> => {
			const names = await leader.run("ls", [`${leader.daemon.dataDir}/raft`]);
			return [...names.matchAll(/^(\d+)(?:-\d+)?\.log$/gm)].map((match) => Number(match[1]));
		};
		// Until what the third one needs is cut off.
		await waitUntil("the log to be cut", 60_000, async () => {
			const writes = Array.from({ length: 50 }, (_, at) =>
				other[at % 2]?.api.call("clusterUpdate", { body: { name: `busy-${at}` } }),
			);
			await Promise.all(writes);
			return Math.min(...(await segments())) > 1;
		});
		const random = new Random(chosenSeed());
		for (let kill = 0; kill < 3; kill++) {
			await third.start();
			await Bun.sleep(random.below(300));
			await third.kill9();
		}
		await third.start();
		const fresh = await cluster.addNode();
		await cluster.join(fresh, leader);
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		expect(await third.run("ls", [`${third.daemon.dataDir}/snapshots`])).toMatch(/^\d{16}\.db$/m);
		expect(await fresh.run("ls", [`${fresh.daemon.dataDir}/snapshots`])).toMatch(/^\d{16}\.db$/m);
	},
	2 * limitMs,
);
