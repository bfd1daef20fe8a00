/** What one node passes on to the API of another, over real links: it comes back as that node's own answer. */
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { hashSecret } from "../auth/secrets.ts";
import { MiB } from "../lib/units.ts";
import type { Vm } from "../model/vm.ts";
import { until } from "../peer/test-peers.ts";
import { createTwoNodes, otherId, remote, type TwoNodes } from "../testing/api/two-nodes.ts";
import { clusterIds, fixtureId, fixtureVm } from "../testing/fixtures.ts";

let nodes: TwoNodes;
beforeEach(async () => {
	nodes = await createTwoNodes();
});
afterEach(() => nodes.close());

const get = (path: string, options: Parameters<TwoNodes["request"]>[2] = {}) =>
	nodes.request("GET", path, { as: "operator", ...options });
const octets = { "content-type": "application/octet-stream" };
const put = (body: BodyInit, offset = 0, options: Parameters<TwoNodes["request"]>[2] = {}) =>
	nodes.request("PUT", `/v1/images/${remote.uploading}/content`, {
		as: "operator",
		...{ body, headers: { ...octets, "upload-offset": String(offset) }, ...options },
	});
const problem = async (response: Promise<Response>) => {
	const { status, code, detail } = (await (await response).json()) as Record<string, unknown>;
	return { status, code, detail };
};

describe("asked for what another node has", () => {
	test("figures, with their query", async () => {
		if (nodes.other.node.metrics) nodes.other.node.metrics.load1 = 7;
		expect(await (await get(`/v1/nodes/${otherId}/metrics`)).json()).toMatchObject({ load1: 7 });
		expect(await (await get(`/v1/nodes/${clusterIds.node}/metrics`)).json()).toMatchObject({ load1: 0.5 });
		const history = (since: string) => get(`/v1/nodes/${otherId}/metrics/history?since=${since}`);
		expect(await (await history("2020-01-01T00:00:00.000Z")).json()).toMatchObject({ items: [{ load1: 7 }] });
		expect(await (await history("2030-01-01T00:00:00.000Z")).json()).toMatchObject({ items: [] });
	});

	test("pictures and text, with their types", async () => {
		const answers = await Promise.all(
			["screenshot", "serial-log?maxBytes=3", "domain-xml"].map((what) => get(`/v1/vms/${remote.vm}/${what}`)),
		);
		expect(answers.map(({ headers }) => headers.get("content-type"))).toEqual([
			"image/png",
			"text/plain; charset=utf-8",
			"application/xml",
		]);
		expect((await answers[0]?.bytes())?.length).toBe(4);
		expect(await answers[1]?.text()).toBe("n: ");
		expect(await answers[2]?.text()).toContain(remote.vm);
		const { status } = await nodes.request("HEAD", `/v1/vms/${remote.vm}/screenshot`, { as: "operator" });
		expect(status).toBe(200);
	});

	test("its errors are the answer", async () => {
		expect(await problem(get(`/v1/vms/${remote.vm}/metrics`))).toMatchObject({ status: 409, code: "wrong-state" });
		expect(await problem(put("12345678", 3))).toMatchObject({ status: 409, detail: "The upload is at 0." });
	});

	test("addresses on a network, of the node that is named or of all", async () => {
		const lease = { address: "10.20.0.10", mac: "52:54:00:00:00:01", hostname: null, vmId: null, expiresAt: null };
		nodes.other.node.networkLeases = async () => [lease] as never;
		const leases = async (query: string) => (await get(`/v1/networks/${clusterIds.network}/leases${query}`)).json();
		expect(await leases("")).toMatchObject({ items: [{ address: "10.20.0.10" }] });
		expect(await leases(`?nodeId=${clusterIds.node}`)).toEqual({ items: [] });
		expect(await leases(`?nodeId=${otherId}`)).toMatchObject({ items: [{ address: "10.20.0.10" }] });
		expect(await leases(`?nodeId=${fixtureId(99)}`)).toMatchObject({ code: "not-found" });
	});

	test("root on one node is root of that node only, and asks with the role admin", async () => {
		expect((await get(`/v1/vms/${remote.vm}/domain-xml`, { as: "local" })).status).toBe(200);
		const put8 = put("12345678", 0, { as: "local" });
		expect((await put8).status).toBe(200);
		const [record] = nodes.store.all("audit", { operation: "imageContentPut" });
		expect(record).toMatchObject({ requester: { kind: "local" }, remoteAddress: "local via node-1" });
	});

	test("a browser's cookie goes along, checked for where it comes from by the node that was asked", async () => {
		const as = { cookie: `lqx_session=${nodes.accounts.operator.secret}` };
		expect((await get(`/v1/vms/${remote.vm}/screenshot`, { as })).status).toBe(200);
		expect(await problem(put("12345678", 0, { as }))).toMatchObject({ status: 403 });
		expect(nodes.other.node.uploads.size).toBe(0);
		const headers = { ...octets, "upload-offset": "0", "x-lqx-csrf": "1", "sec-fetch-site": "same-origin" };
		expect((await put("12345678", 0, { as, headers })).status).toBe(200);
	});
});

describe("an upload", () => {
	test("arrives whole, and the audit says who passed it on", async () => {
		const received: Uint8Array[] = [];
		nodes.other.node.writeImageContent = async (_id, offset, body) => {
			for await (const chunk of body) received.push(chunk);
			return { receivedBytes: offset + Buffer.concat(received).length };
		};
		const data = new Uint8Array(5 * MiB).map((_, at) => at % 251);
		expect(await (await put(data)).json()).toEqual({ receivedBytes: 5 * MiB });
		expect(Buffer.concat(received).equals(Buffer.from(data))).toBe(true);
		const [record] = nodes.store.all("audit", { operation: "imageContentPut" });
		expect(record).toMatchObject({ outcome: "accepted", remoteAddress: "192.0.2.1 via node-1" });
		expect(record?.requester.name).toBe("operator");
	});

	test("waits for the other node to read: neither keeps more than a window", async () => {
		const begin = Promise.withResolvers<void>();
		nodes.other.node.writeImageContent = async (_id, _offset, body) => {
			await begin.promise;
			let receivedBytes = 0;
			for await (const chunk of body) receivedBytes += chunk.length;
			return { receivedBytes };
		};
		let sent = 0;
		const body = new ReadableStream<Uint8Array>({
			pull(controller) {
				if (sent === 16 * MiB) return controller.close();
				sent += 64 * 1024;
				controller.enqueue(new Uint8Array(64 * 1024));
			},
		});
		const answer = put(body);
		await until(() => sent >= MiB);
		for (let turn = 0; turn < 20; turn++) await get(`/v1/nodes/${otherId}/metrics`);
		expect(sent).toBeLessThan(3 * MiB);
		begin.resolve();
		expect(await (await answer).json()).toEqual({ receivedBytes: 16 * MiB });
	});

	test("that its client breaks off ends on the other node too", async () => {
		const ended = Promise.withResolvers<unknown>();
		nodes.other.node.writeImageContent = async (_id, _offset, body) => {
			try {
				for await (const _ of body);
			} catch (error) {
				ended.resolve(error);
				throw error;
			}
			return { receivedBytes: 1 };
		};
		let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
		const body = new ReadableStream<Uint8Array>({
			start(given) {
				controller = given;
				given.enqueue(new Uint8Array(10));
			},
		});
		const answer = problem(put(body));
		await until(() => controller?.desiredSize === 1);
		controller?.error(new Error("the client has gone"));
		expect(await ended.promise).toMatchObject({ code: "canceled" });
		expect(await answer).toMatchObject({ status: 400 });
	});

	test("of the wrong kind or length is refused before anybody is asked", async () => {
		const opened = nodes.peer.node.status().length;
		expect(await problem(put("x", 0, { headers: { "content-type": "text/plain" } }))).toMatchObject({ status: 422 });
		const headers = { "upload-offset": "0", "content-type": "text/plain" };
		expect(await problem(put("x", 0, { headers }))).toMatchObject({ status: 415 });
		const long = { ...octets, "upload-offset": "0", "content-length": "99999999999" };
		expect(await problem(put("x", 0, { headers: long }))).toMatchObject({ status: 413 });
		expect(opened).toBe(1);
		expect(nodes.other.node.uploads.size).toBe(0);
	});

	test("ends with the session that it was begun with", async () => {
		const { promise: started, resolve: start } = Promise.withResolvers<void>();
		nodes.other.node.writeImageContent = async (_id, _offset, body) => {
			start();
			for await (const _ of body);
			return { receivedBytes: 1 };
		};
		const answer = problem(put(new ReadableStream({ start: (c) => c.enqueue(new Uint8Array(10)) })));
		await started;
		await nodes.store.proposer.proposeSystem({ kind: "sessionDelete", id: nodes.accounts.operator.sessionId });
		expect(await answer).toMatchObject({ status: 401 });
	});
});

describe("a download", () => {
	const path = `/v1/images/${remote.image}/content`;

	test("comes with its length and name, and whole", async () => {
		nodes.other.node.content = new Uint8Array(3 * MiB).map((_, at) => at % 253);
		const response = await get(path);
		expect(response.headers.get("content-length")).toBe(String(3 * MiB));
		expect(response.headers.get("content-disposition")).toContain("image-301.qcow2");
		expect(response.headers.get("connection")).toBe("close");
		expect(Buffer.from(await response.bytes()).equals(Buffer.from(nodes.other.node.content))).toBe(true);
		expect((await get(`/v1/volumes/${remote.volume}/content?format=raw`)).headers.get("content-disposition")).toContain(
			"volume-1.raw",
		);
	});

	const endless = () => {
		const canceled = Promise.withResolvers<void>();
		nodes.other.node.contentStream = () =>
			new ReadableStream({
				pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
				cancel: () => canceled.resolve(),
			});
		return canceled.promise;
	};

	test("that nobody reads any more ends where it comes from", async () => {
		const canceled = endless();
		const reader = (await get(path)).body?.getReader();
		await reader?.read();
		await reader?.cancel();
		await canceled;
	});

	test("ends when its session does", async () => {
		const canceled = endless();
		const reader = (await get(path)).body?.getReader();
		await reader?.read();
		await nodes.store.proposer.proposeSystem({ kind: "sessionDelete", id: nodes.accounts.operator.sessionId });
		const rest = async () => {
			while (!(await reader?.read())?.done);
		};
		await expect(rest()).rejects.toThrow();
		await canceled;
	});

	test("that breaks in the middle is not taken for complete", async () => {
		const { promise: broken, reject: breakIt } = Promise.withResolvers<never>();
		broken.catch(() => {});
		let sent = false;
		nodes.other.node.contentStream = () =>
			new ReadableStream({
				pull(controller) {
					if (sent) return broken;
					sent = true;
					controller.enqueue(new Uint8Array(1));
				},
			});
		const reader = (await get(path)).body?.getReader();
		expect((await reader?.read())?.value).toHaveLength(1);
		breakIt(new Error("the disk is gone"));
		await expect(reader?.read()).rejects.toMatchObject({ code: "unavailable" });
	});

	test("that takes long to prepare is given up with its client", async () => {
		const { promise: started, resolve: start } = Promise.withResolvers<AbortSignal>();
		nodes.other.node.exportVolume = (_id, _format, signal) => {
			start(signal);
			return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
		};
		const client = new AbortController();
		const answer = get(`/v1/volumes/${remote.volume}/content`, { signal: client.signal });
		const signal = await started;
		client.abort();
		await until(() => signal.aborted);
		expect(await problem(answer)).toMatchObject({ code: "canceled" });
	});
});

describe("copies of the state that differ", () => {
	const path = `/v1/vms/${remote.vm}/screenshot`;

	test("a session that was made a moment ago is good on the other node", async () => {
		nodes.hide("sessionBySecretHash", hashSecret(nodes.accounts.operator.secret));
		expect((await get(path)).status).toBe(200);
	});

	test("a session that only this node knows is not ended by the other, which does not", async () => {
		nodes.hide("sessionBySecretHash", hashSecret(nodes.accounts.operator.secret));
		nodes.quorum(false);
		expect(await problem(get(path))).toMatchObject({ status: 503, code: "unavailable" });
		expect((await problem(get(path))).detail).toContain("node-2");
	});

	test("without a quorum the other node answers with what it has, marked as stale", async () => {
		nodes.quorum(false);
		const response = await get(path);
		expect([response.status, response.headers.get("x-lqx-stale")]).toEqual([200, "true"]);
		nodes.hide("get", remote.vm);
		expect(await problem(get(path))).toMatchObject({ status: 503, code: "unavailable" });
	});

	test("a VM that has just come here is looked up again, and shown", async () => {
		const vm = fixtureVm({ id: fixtureId(0x101), name: "moved" });
		const task = { ...nodes.store.all("task")[0], id: fixtureId(0x409), kind: "vm.adopt" as const };
		task.targets = [{ kind: "vm", id: vm.id, name: null }];
		await nodes.store.proposer.proposeSystem({ kind: "vmAdopt", vm, volumes: [], task: task as never });
		const asked = staleOnce({ ...vm, nodeId: otherId });
		expect((await get(`/v1/vms/${vm.id}/domain-xml`)).status).toBe(200);
		expect(asked()).toBe(true);
	});

	test("two nodes that each take the other for the one say so, and do not ask for ever", async () => {
		nodes.pretend(remote.vm, { ...nodes.store.get("vm", remote.vm), nodeId: clusterIds.node });
		const opened = spyOn(nodes.peer.node, "openStream");
		expect(await problem(get(path))).toMatchObject({ status: 503, code: "unavailable" });
		expect(opened).toHaveBeenCalledTimes(2);
	});

	/** The next look at the VM finds what it was before. */
	function staleOnce(before: Vm): () => boolean {
		const { store } = nodes;
		const look = store.get.bind(store);
		let used = false;
		store.get = ((table: "vm", id: string) => {
			if (table !== "vm" || id !== before.id || used) return look(table, id);
			used = true;
			return before;
		}) as typeof store.get;
		return () => used;
	}
});

test("a node that cannot be reached is named", async () => {
	await nodes.other.peer.node.close();
	const answer = await get(`/v1/nodes/${otherId}/metrics`);
	expect(answer.headers.get("retry-after")).not.toBeNull();
	expect(await answer.json()).toMatchObject({
		status: 503,
		code: "unavailable",
		detail: "The node node-2 cannot be reached from here.",
	});
});

test("a node that has left did so, though its answer is lost with its links; one that broke off did not", async () => {
	const leave = () => nodes.request("POST", `/v1/nodes/${otherId}/actions/leave`, { as: "admin" });
	nodes.other.cluster.leave = async () => {
		await nodes.other.peer.node.close();
	};
	expect(await problem(leave())).toMatchObject({
		status: 503,
		detail: expect.stringContaining("broke before it answered"),
	});
	await nodes.close();
	nodes = await createTwoNodes();
	nodes.other.cluster.leave = async () => {
		await nodes.store.proposer.proposeSystem({
			...{ kind: "nodeRemove", id: otherId, leaving: false, confirmName: "node-2" },
		});
		await nodes.other.peer.node.close();
	};
	expect((await leave()).status).toBe(204);
});

describe("foreign VMs", () => {
	const foreign = (id: number, nodeId: string) => ({
		...{ id: fixtureId(id), name: `old-${id}`, nodeId, powerState: "running" as const, vcpus: 1, memoryBytes: MiB },
		...{ obstacles: [], changes: [] },
	});
	const list = async (query = "") =>
		(await (await nodes.request("GET", `/v1/foreign-vms${query}`, { as: "admin" })).json()) as {
			items: { name: string }[];
			unanswered?: unknown;
		};
	beforeEach(() => {
		nodes.node.foreign = [foreign(1, clusterIds.node)];
		// It speaks for itself only.
		nodes.other.node.foreign = [foreign(2, otherId), foreign(3, clusterIds.node)];
	});

	test("of all nodes, or of one", async () => {
		const all = await list();
		expect(all.items.map(({ name }) => name)).toEqual(["old-1", "old-2"]);
		expect(all.unanswered).toBeUndefined();
		expect((await list(`?nodeId=${otherId}`)).items[0]?.name).toBe("old-2");
		expect((await list(`?nodeId=${clusterIds.node}`)).items.map(({ name }) => name)).toEqual(["old-1"]);
		expect((await nodes.request("GET", "/v1/foreign-vms", { as: "operator" })).status).toBe(403);
	});

	test("of those that answer, with the names of the others", async () => {
		await nodes.other.peer.node.close();
		const all = await list();
		expect(all.items.map(({ name }) => name)).toEqual(["old-1"]);
		expect(all.unanswered).toEqual([
			{ nodeId: otherId, nodeName: "node-2", message: "The node node-2 cannot be reached from here." },
		]);
	});

	test("are adopted where they are, once for each key", async () => {
		const vm = fixtureVm({ id: fixtureId(2), name: "old-2", nodeId: otherId });
		nodes.other.node.adoption = { vm, volumes: [] };
		const path = `/v1/foreign-vms/${vm.id}/actions/adopt`;
		const adopt = (query = "") =>
			nodes.request("POST", path + query, { as: "admin", headers: { "idempotency-key": `key${query.length}` } });
		expect((await adopt()).status).toBe(404);
		const tasks = await Promise.all([1, 2].map(async () => (await adopt(`?nodeId=${otherId}`)).json()));
		expect(tasks[0]).toMatchObject({ kind: "vm.adopt", nodeId: otherId });
		expect(tasks[1].id).toBe(tasks[0].id);
		const [record] = nodes.store.all("audit", { operation: "foreignVmAdopt", outcome: "accepted" });
		expect(record).toMatchObject({ requester: { name: "admin" }, remoteAddress: "192.0.2.1 via node-1" });
	});
});
