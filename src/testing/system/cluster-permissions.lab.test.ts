/** What a person may do is decided where it takes effect, also when it was asked of another node (adversarial cases 6 and 15). */
import { expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { LabCluster } from "../cluster/lab-cluster.ts";
import { networkBody } from "../cluster/register.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 120_000;
const password = "correct horse battery";

type Answer = { status: number; body: string };

/** As a person who signed in, and not as root: the local socket with a session's token. */
async function ask(node: ClusterNode, token: string | null, path: string, init: RequestInit = {}): Promise<Answer> {
	const response = await fetch(`http://localhost${path}`, {
		...init,
		...{ unix: node.daemon.socketPath, keepalive: false, signal: AbortSignal.timeout(30_000) },
		headers: {
			...(token === null ? {} : { authorization: `Bearer ${token}` }),
			...(init.body ? { "content-type": "application/json" } : {}),
			...init.headers,
		},
	} as RequestInit);
	return { status: response.status, body: await response.text() };
}

async function signIn(
	node: ClusterNode,
	role: "admin" | "operator" | "viewer",
): Promise<{ id: string; token: string }> {
	const name = `${role}-${crypto.randomUUID().slice(0, 8)}`;
	const { body: user } = await node.api.call("userCreate", { body: { name, role, password } });
	const { body } = await node.api.call("sessionCreate", { body: { username: name, password } });
	return { id: user.id, token: present(body.token, "the session's token") };
}

test(
	"a permission that goes between the request on one node and its effect is gone",
	async () => {
		await using cluster = await LabCluster.start(3);
		const leader = await cluster.leader();
		const followers = cluster.nodes.filter((node) => node !== leader);
		const [asked, other] = [present(followers[0], "a follower"), present(followers[1], "another one")];
		const network = (await leader.api.call("networkCreate", { body: networkBody("prize") })).body;
		const path = `/v1/networks/${network.id}`;
		const change = (secret: string, description: string) =>
			ask(asked, secret, path, { method: "PATCH", body: JSON.stringify({ description }) });
		const descriptions = () =>
			Promise.all(
				cluster.nodes.map(
					async ({ api }) => (await api.call("networkGet", { path: { id: network.id } })).body.description,
				),
			);
		/** The node that is asked has decided that it may be, and stands still while `meanwhile` happens elsewhere. */
		const changeLate = async (secret: string, meanwhile: () => Promise<unknown>): Promise<Answer> => {
			expect((await change(secret, "while allowed")).status).toBe(200);
			asked.halts.at("proposing");
			const late = change(secret, "when no longer allowed");
			await asked.halts.reached("proposing", 30_000);
			await meanwhile();
			asked.halts.goOn();
			return late;
		};

		// The role goes, the token stays: only what it may do is another question now.
		const first = await signIn(leader, "admin");
		const made = await ask(leader, first.token, "/v1/tokens", {
			method: "POST",
			body: JSON.stringify({ name: "robot", role: "admin" }),
		});
		const { secret } = JSON.parse(made.body) as { secret: string };
		const demoted = await changeLate(secret, () =>
			leader.api.call("userUpdate", { path: { id: first.id }, body: { role: "viewer" } }),
		);
		expect([demoted.status, demoted.body.includes("Your role, viewer")]).toEqual([403, true]);
		expect((await change(secret, "afterwards")).status).toBe(403);
		// The session itself goes.
		const third = await signIn(leader, "admin");
		const ended = await changeLate(third.token, () =>
			ask(leader, third.token, "/v1/sessions/current", { method: "DELETE" }),
		);
		expect(ended.status).toBe(401);
		expect((await change(third.token, "afterwards")).status).toBe(401);
		expect(await descriptions()).toEqual(["while allowed", "while allowed", "while allowed"]);

		// And a session that ended elsewhere is no session here.
		const second = await signIn(leader, "admin");
		expect((await ask(other, second.token, path)).status).toBe(200);
		await leader.api.call("userUpdate", { path: { id: second.id }, body: { enabled: false } });
		expect((await ask(other, second.token, path)).status).toBe(401);
	},
	limitMs,
);

test(
	"what is passed on to another node is an operation of ours and nothing else",
	async () => {
		await using cluster = await LabCluster.start(2);
		const [here, there] = [cluster.node(0), cluster.node(1)];
		const viewer = await signIn(here, "viewer");
		const metrics = `/v1/nodes/${there.nodeId}/metrics`;
		await waitUntil(
			"figures of the other node",
			30_000,
			async () => (await ask(here, viewer.token, metrics)).status === 200,
		);
		expect((await ask(here, null, metrics, { headers: { authorization: "Bearer none" } })).status).toBe(401);

		// Nothing in a path makes a node fetch anything else.
		const strange = [
			`/v1/nodes/${there.nodeId}/metrics/../../../etc/passwd`,
			`/v1/nodes/${there.nodeId}%2f..%2f..%2fv1%2fusers/metrics`,
			`/v1/nodes/..%2f..%2fhealthz/metrics`,
			`/v1/nodes/${there.host.address}:8444/metrics`,
			`/v1/nodes/http:%2f%2f127.0.0.1:1%2f/metrics`,
			`/v1/nodes/file:%2f%2f%2fetc%2fpasswd/metrics`,
			`/v1/nodes/${there.nodeId}%0d%0aX-Injected:%201/metrics`,
			`/v1/nodes/${there.nodeId}%00/metrics`,
			`${metrics}?at=${here.host.address}`,
			`/v1/foreign-vms?nodeId=..%2f..%2fetc`,
			`/v1/foreign-vms?nodeId=${there.nodeId}%0d%0aHost:%20x`,
		];
		for (const path of strange) {
			const { status, body } = await ask(here, viewer.token, path);
			expect({ path, refused: [400, 403, 404, 422].includes(status) }).toEqual({ path, refused: true });
			expect(body).not.toContain("root:");
		}
		// A role is what it is on both sides.
		expect((await ask(here, viewer.token, `/v1/foreign-vms?nodeId=${there.nodeId}`)).status).toBe(403);
		expect((await ask(here, viewer.token, "/v1/cluster/backup")).status).toBe(403);
		const headers = { "x-forwarded-for": "127.0.0.1", "x-lqx-local": "true", "x-lqx-relayed": "1" };
		expect((await ask(here, viewer.token, "/v1/users", { headers })).status).toBe(403);

		// A node that cannot be reached is named; nobody else answers for it.
		await there.kill9();
		const away = await ask(here, viewer.token, metrics);
		expect([away.status, away.body.includes(there.name)]).toEqual([503, true]);
	},
	limitMs,
);
