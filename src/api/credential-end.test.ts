/** What takes long ends with the credential that it was begun with. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type ApiHarness, createApiHarness } from "../testing/api/api-harness.ts";
import { fixtureImage, fixtureTask } from "../testing/fixtures.ts";

let harness: ApiHarness;
beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

async function image(phase: "uploading" | "ready"): Promise<string> {
	const { proposer } = harness.store;
	const id = harness.ids.newId();
	const source = { kind: "upload" } as const;
	const made = fixtureImage({ id, name: phase, source, fileSizeBytes: 1000, phase: "uploading" });
	const task = fixtureTask("image.import", { kind: "image", id }, { id: harness.ids.newId() });
	await proposer.proposeSystem({ kind: "imageCreate", image: made, task });
	if (phase === "ready")
		for (const next of ["importing", "ready"] as const)
			await proposer.proposeSystem({ kind: "imageStatus", id, phase: next });
	return id;
}
async function token() {
	const { body } = await harness.client("operator").call("tokenCreate", { body: { name: "t", role: "operator" } });
	return { id: body.token.id, secret: body.secret };
}
/** A body or a file of which one part is there and the rest never comes. */
function unending() {
	const canceled = Promise.withResolvers<void>();
	const stream = new ReadableStream<Uint8Array>({
		start: (controller) => controller.enqueue(new Uint8Array(10)),
		cancel: () => canceled.resolve(),
	});
	return { stream, canceled: canceled.promise };
}
const endings: [string, (tokenId: string) => Promise<unknown>][] = [
	["is deleted", (id) => harness.client("operator").call("tokenDelete", { path: { id } })],
	[
		"belongs to somebody who is disabled",
		() =>
			harness.client("admin").call("userUpdate", {
				path: { id: harness.accounts.operator.user.id },
				body: { enabled: false },
			}),
	],
	[
		"belongs to somebody who has another role now",
		() =>
			harness.client("admin").call("userUpdate", {
				path: { id: harness.accounts.operator.user.id },
				body: { role: "viewer" },
			}),
	],
];

describe.each(endings)("when the token %s", (_name, end) => {
	test("an upload ends", async () => {
		const [id, as, body] = [await image("uploading"), await token(), unending()];
		const headers = { "upload-offset": "0", "content-type": "application/octet-stream" };
		const path = `/v1/images/${id}/content`;
		const begun = Promise.withResolvers<void>();
		harness.node.writeImageContent = async (_id, _offset, parts) => {
			for await (const _part of parts) begun.resolve();
			return { receivedBytes: 10 };
		};
		const uploading = harness.request("PUT", path, { as, body: body.stream, headers });
		await begun.promise;
		await end(as.id);
		expect((await uploading).status).toBe(401);
		await body.canceled;
		expect(harness.auth.figures().watched).toBe(0);
	});

	test("a download ends", async () => {
		const [id, as, file] = [await image("ready"), await token(), unending()];
		harness.node.contentStream = () => file.stream;
		const response = await harness.request("GET", `/v1/images/${id}/content`, { as });
		const reader = response.body?.getReader();
		expect((await reader?.read())?.value?.length).toBe(10);
		await end(as.id);
		await expect(reader?.read() ?? Promise.resolve()).rejects.toMatchObject({ code: "unauthenticated" });
		await file.canceled;
		expect(harness.auth.figures().watched).toBe(0);
	});

	test("waiting for a task ends", async () => {
		const as = await token();
		const { taskLocation } = await harness.client("operator").call("vmCreate", { body: { name: "slow", disks: [] } });
		const { taskWaits } = harness.api.services;
		const begun = Promise.withResolvers<void>();
		const wait = taskWaits.wait.bind(taskWaits);
		taskWaits.wait = (...given) => {
			begun.resolve();
			return wait(...given);
		};
		const waiting = harness.request("GET", `${taskLocation}?waitMs=30000`, { as });
		await begun.promise;
		await end(as.id);
		expect((await waiting).status).toBe(401);
		expect(harness.auth.figures().watched).toBe(0);
	});

	test("the copy that a download of a volume begins with ends", async () => {
		const as = await token();
		const { body: volume } = await harness
			.client("operator")
			.call("volumeCreate", { body: { name: "v", sizeBytes: 1_048_576 } });
		await harness.store.proposer.proposeSystem({ kind: "volumeStatus", id: volume.id, phase: "ready" });
		const begun = Promise.withResolvers<void>();
		harness.node.exportVolume = (_id, _format, signal) =>
			new Promise((_, reject) => {
				signal.addEventListener("abort", () => reject(new Error("canceled")));
				begun.resolve();
			});
		const exporting = harness.request("GET", `/v1/volumes/${volume.id}/content`, { as });
		await begun.promise;
		await end(as.id);
		expect((await exporting).status).toBe(401);
		expect(harness.auth.figures().watched).toBe(0);
	});
});

test("a request that is refused, and one that is answered, leave no watch behind", async () => {
	const headers = { "upload-offset": "7", "content-type": "application/octet-stream" };
	const path = `/v1/images/${await image("uploading")}/content`;
	const request = (given: object) => harness.request("PUT", path, { as: "operator", body: "abc", ...given });
	expect((await request({ headers })).status).toBe(409);
	expect((await request({ headers: { ...headers, "upload-offset": "0" } })).status).toBe(200);
	const download = await harness.request("GET", `/v1/images/${await image("ready")}/content`, { as: "operator" });
	await download.arrayBuffer();
	expect(harness.auth.figures().watched).toBe(0);
});

test("a client on the wire sees a download that is cut, not one that is complete", async () => {
	const listener = harness.listen();
	const [id, { id: tokenId, secret }, file] = [await image("ready"), await token(), unending()];
	harness.node.contentStream = () => file.stream;
	harness.node.content = new Uint8Array(1000);
	const headers = { authorization: `Bearer ${secret}` };
	const response = await fetch(`${listener.url}/v1/images/${id}/content`, { headers });
	const reader = response.body?.getReader();
	expect((await reader?.read())?.value?.length).toBe(10);
	await harness.client("operator").call("tokenDelete", { path: { id: tokenId } });
	await expect(reader?.read() ?? Promise.resolve()).rejects.toThrow();
	await file.canceled;
});

test("a client on the wire that goes on sending is answered, and its connection closed", async () => {
	const listener = harness.listen();
	const [id, { id: tokenId, secret }, body] = [await image("uploading"), await token(), unending()];
	const begun = Promise.withResolvers<void>();
	harness.node.writeImageContent = async (_id, _offset, parts) => {
		for await (const _part of parts) begun.resolve();
		return { receivedBytes: 10 };
	};
	const uploading = fetch(`${listener.url}/v1/images/${id}/content`, {
		method: "PUT",
		headers: {
			authorization: `Bearer ${secret}`,
			"upload-offset": "0",
			"content-type": "application/octet-stream",
		},
		body: body.stream,
	});
	await begun.promise;
	await harness.client("operator").call("tokenDelete", { path: { id: tokenId } });
	const response = await uploading;
	expect([response.status, response.headers.get("connection")]).toEqual([401, "close"]);
});
