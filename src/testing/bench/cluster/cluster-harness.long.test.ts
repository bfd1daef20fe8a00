/** That the measuring works: three members of etcd, writes through a follower, and each kind of loss. No figure is judged. */
import { expect, test } from "bun:test";
import { withArena } from "./arena.ts";
import { settled } from "./cluster.ts";
import { loseLeader } from "./cluster-failover.ts";
import { etcdProgram } from "./etcd-cluster.ts";

const withEtcd = etcdProgram() === null ? test.skip : test;

withEtcd(
	"three members of etcd take writes through a follower and go on without their leader",
	() =>
		withArena({ members: 3, contenders: ["etcd"] }, async ({ clusters: [etcd], load }) => {
			if (!etcd) throw new Error("There is no etcd.");
			const leader = await settled(etcd, load);
			const follower = (leader + 1) % 3;
			const clients = Array.from({ length: 4 }, (_, client) => etcd.write(client, follower));
			for (let i = 0; i < 10; i++) await load.order({ kind: "warm", clients });
			const { appliedIndex } = await etcd.view(follower);
			expect(appliedIndex).toBeGreaterThanOrEqual(40);
			const read = await load.call(etcd.read(0, follower));
			expect(read.status).toBe(200);
			expect(read.body).toContain(Buffer.from("/volumes/0").toString("base64"));
			for (const loss of ["Kill", "Cut"] as const) {
				const { term } = await etcd.view(await settled(etcd, load));
				expect(await loseLeader(etcd, load, loss, 0)).toBeGreaterThan(0);
				expect((await etcd.view(await settled(etcd, load))).term).toBeGreaterThan(term);
			}
		}),
	120_000,
);
