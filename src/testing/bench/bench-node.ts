/** The built executable with a private libvirtd, signed in over TCP as the first administrator. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type OperationTypes, operations } from "../../gen/api.ts";
import { type ApiClient, createApiClient } from "../../lib/api-client.ts";
import type { Task } from "../../model/task.ts";
import { type LabDaemon, type LabDaemonOptions, startLabDaemon } from "../lab/daemon.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../lab/libvirtd.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { fillState } from "./filled-state.ts";

export type BenchNode = {
	daemon: LabDaemon;
	libvirtd: PrivateLibvirtd;
	/** Over TCP, with a session of the user admin. */
	api: ApiClient<OperationTypes>;
	/** What each request of the user needs. */
	headers: Record<string, string>;
	/** Waits for the end of the task; fails with what it failed with. */
	finished(taskLocation: string | null): Promise<Task>;
};

const taskLimitMs = 300_000;

/** Runs `action` on a node that has looked at all of its VMs; nothing stays behind. */
export async function withBenchNode<T>(
	options: { vmCount?: number } & Partial<LabDaemonOptions>,
	action: (node: BenchNode) => Promise<T>,
): Promise<T> {
	const { vmCount = 0, ...daemonOptions } = options;
	const folder = mkdtempSync("/tmp/lqx-bench-");
	const libvirtd = await startLibvirtd({ name: "bench" });
	let daemon: LabDaemon | null = null;
	try {
		await fillState(join(folder, "data"), vmCount);
		// One network namespace for both: the node reads the guests' network through libvirt alone.
		daemon = await startLabDaemon({ libvirtUri: libvirtd.uri, folder, ...daemonOptions });
		const node = await signIn(daemon, libvirtd);
		await settled(node);
		return await action(node);
	} finally {
		await daemon?.stop();
		await libvirtd.stop();
		rmSync(folder, { recursive: true, force: true });
	}
}

async function signIn(daemon: LabDaemon, libvirtd: PrivateLibvirtd): Promise<BenchNode> {
	const { body } = await daemon.api.call("sessionCreate", {
		body: { username: "admin", password: daemon.initialPassword() },
	});
	const headers = { authorization: `Bearer ${body.token}` };
	const api = createApiClient<OperationTypes>(operations, {
		baseUrl: daemon.url,
		fetch: (address, init) => fetch(address, init),
		headers: () => headers,
	});
	return {
		...{ daemon, libvirtd, api, headers },
		async finished(taskLocation) {
			const id = taskLocation?.split("/").at(-1) ?? "";
			const limit = performance.now() + taskLimitMs;
			while (performance.now() < limit) {
				const { body: task } = await api.call("taskGet", { path: { id }, query: { waitMs: 30_000 } });
				if (task.state === "succeeded") return task;
				if (task.finishedAt !== null) throw new Error(`${task.kind} ${task.state}: ${JSON.stringify(task.error)}`);
			}
			throw new Error(`The task ${id} does not end.`);
		},
	};
}

/** The node has found libvirt, its pool and its network, and is through with the VMs that it found in the state. */
async function settled({ api }: BenchNode): Promise<void> {
	await waitUntil("the node to be ready", taskLimitMs, async () => {
		const [nodes, pools, networks] = await Promise.all([
			api.call("nodeList"),
			api.call("poolList"),
			api.call("networkList"),
		]);
		return (
			nodes.body.items[0]?.status.phase === "ready" &&
			pools.body.items[0]?.phase === "ready" &&
			networks.body.items[0]?.nodes[0]?.health === "healthy"
		);
	});
}
