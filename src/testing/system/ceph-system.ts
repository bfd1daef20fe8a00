/** For tests of the whole daemon on a Ceph cluster: both, with a pool of Ceph's for its user, and a pool of ours on it. */
import { type LabCeph, startCeph } from "../lab/ceph.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";

const cephPool = "vms";
const user = "limiquantix";

export type CephSystem = AsyncDisposable & {
	system: LabSystem;
	ceph: LabCeph;
	cephKey: string;
	/** The body of `poolCreate`, but for its name. */
	pool: { type: "ceph-rbd"; config: CephConfig; credentials: { cephKey: string } };
	/** Makes it; its id. */
	makePool(name: string): Promise<string>;
	/** Images of RBD in the pool, whoever made them. */
	images(): Promise<string[]>;
	/** Whether an image rests on another one. */
	hasParent(image: string): Promise<boolean>;
	virsh(...words: string[]): Promise<string>;
};
type CephConfig = { monitors: string[]; user: string; cephPool: string; namespace: null; dataPool: null };

export async function startCephSystem(name: string): Promise<CephSystem> {
	// QEMU reaches the cluster on the loopback of this process.
	const ceph = await startCeph();
	const system = await startLabSystem({ name, network: "machine" }).catch(async (error: unknown) => {
		await ceph.stop();
		throw error;
	});
	await ceph.makePool(cephPool);
	const caps = ["mon", "profile rbd", "mgr", "profile rbd", "osd", `profile rbd pool=${cephPool}`];
	const cephKey = await ceph.makeUser(user, caps);
	const config = { monitors: ceph.monitors, user, cephPool, namespace: null, dataPool: null };
	const pool = { type: "ceph-rbd" as const, config, credentials: { cephKey } };
	return {
		...{ system, ceph, cephKey, pool },
		async makePool(poolName) {
			const made = await system.api.call("poolCreate", { body: { name: poolName, ...pool } });
			await system.done(made);
			return made.body.id;
		},
		async images() {
			return (await ceph.rbd("ls", "--pool", cephPool)).stdout.split("\n").filter(Boolean).sort();
		},
		async hasParent(image) {
			const { stdout } = await ceph.rbd("info", "--format", "json", `${cephPool}/${image}`);
			return JSON.parse(stdout).parent !== undefined;
		},
		virsh: async (...words) => (await system.libvirtd.runInNamespace("virsh", ["--quiet", ...words])).stdout,
		async [Symbol.asyncDispose]() {
			await system[Symbol.asyncDispose]();
			await ceph.stop();
		},
	};
}
