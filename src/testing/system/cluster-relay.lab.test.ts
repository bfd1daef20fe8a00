/** Real daemons: any node answers for any node, and says which one it cannot reach. */
import { expect, test } from "bun:test";
import { problemOf } from "../../lib/api-client.ts";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { LabCluster } from "../cluster/lab-cluster.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 180_000;
const password = "correct horse battery";

/** As a person, and not as root: the local socket with a session's token. */
const asPerson = (node: ClusterNode, token: string, path: string): Promise<Response> =>
	fetch(`http://localhost${path}`, {
		...{ unix: node.daemon.socketPath, keepalive: false, signal: AbortSignal.timeout(30_000) },
		headers: { authorization: `Bearer ${token}` },
	} as RequestInit);

test(
	"figures, uploads and downloads of one node through another; a node that is away is named",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [asked, owner] = [cluster.node(0), cluster.node(1)];
		const path = `/v1/nodes/${owner.nodeId}/metrics`;
		const figures = await waitUntil("figures of the other node", 30_000, () =>
			asked.api.call("nodeMetricsGet", { path: { id: owner.nodeId } }).catch(() => undefined),
		);
		expect(figures.body.memoryTotalBytes).toBeGreaterThan(0);
		// A session is good for the other node's answer at once.
		await asked.api.call("userCreate", { body: { name: "olga", role: "operator", password } });
		const { body: session } = await owner.api.call("sessionCreate", { body: { username: "olga", password } });
		const token = present(session.token, "the session's token");
		expect((await asPerson(asked, token, path)).status).toBe(200);

		const data = new Uint8Array(2 * MiB).map((_, at) => (at * 7) % 251);
		const body = {
			...({ name: "relayed", format: "raw", source: { kind: "upload" }, fileSizeBytes: data.length } as const),
		};
		const { body: image } = await owner.api.call("imageCreate", { body });
		expect(image.nodeId).toBe(owner.nodeId);
		const half = data.length / 2;
		for (const [offset, part] of [
			[0, data.subarray(0, half)],
			[half, data.subarray(half)],
		] as const) {
			const headers = { "upload-offset": offset };
			await asked.api.call("imageContentPut", { path: { id: image.id }, headers, body: new Blob([part]).stream() });
			if (offset === 0)
				expect((await asked.api.call("imageUploadStatus", { path: { id: image.id } })).body.receivedBytes).toBe(half);
		}
		await waitUntil("the image to be ready", 60_000, async () => {
			const { phase } = (await asked.api.call("imageGet", { path: { id: image.id } })).body;
			return phase === "ready";
		});
		const download = await asPerson(asked, token, `/v1/images/${image.id}/content`);
		expect(Buffer.from(await download.bytes()).equals(Buffer.from(data))).toBe(true);
		const { items } = (await asked.api.call("auditList", { query: { operation: ["imageContentPut"] } })).body;
		expect(items).toMatchObject([
			{ outcome: "accepted", requester: { kind: "local" }, remoteAddress: "local via node-1" },
		]);

		await owner.kill9();
		const away = await asPerson(asked, token, path);
		expect(await problemOf(away)).toMatchObject({
			...{ code: "unavailable", message: "The node node-2 cannot be reached from here." },
		});
	},
	limitMs,
);
