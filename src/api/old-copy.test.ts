/** A node that is behind does not refuse what another one has just acknowledged; and nothing is done twice for that. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { type ApiHarness, createApiHarness } from "../testing/api/api-harness.ts";

let api: ApiHarness;
let vmId: string;
let reads: number;
beforeEach(async () => {
	api = await createApiHarness();
	vmId = (await api.client("operator").call("vmCreate", { body: { name: "web", start: false } })).body.id;
	reads = 0;
});
afterEach(() => api.close());

/** Until somebody asks for an index, the copy does not have the VM. */
function fallBehind(answer: () => Promise<number>): void {
	const { store } = api;
	const { get } = store;
	let behind = true;
	store.get = ((table: "vm", id: string) => (behind && id === vmId ? null : get.call(store, table, id))) as typeof get;
	store.readIndex = async () => {
		reads += 1;
		const index = await answer();
		behind = false;
		return index;
	};
}
const rename = (name: string) => api.request("PATCH", `/v1/vms/${vmId}`, { as: "operator", body: { name } });

test("a change of what this copy does not have yet waits for it, and is made once", async () => {
	fallBehind(async () => api.store.appliedIndex);
	const before = api.store.appliedIndex;
	const answer = await rename("renamed");
	expect([answer.status, reads]).toEqual([200, 1]);
	expect((await answer.json()) as object).toMatchObject({ name: "renamed", generation: 2 });
	expect(api.store.appliedIndex).toBe(before + 1);
});

test("what is refused in a copy that is up to date is refused, after one look", async () => {
	fallBehind(async () => api.store.appliedIndex);
	vmId = "0190a000-0000-7000-8000-00000000dead";
	expect([(await rename("renamed")).status, reads]).toEqual([404, 1]);
});

test("without a quorum the first answer counts", async () => {
	fallBehind(() => Promise.reject(new AppError("unavailable", "There is no leader.")));
	expect([(await rename("renamed")).status, reads]).toEqual([404, 1]);
});

test("what was refused where it applied is not proposed again", async () => {
	const other = await api.client("operator").call("vmCreate", { body: { name: "other", start: false } });
	const before = api.store.appliedIndex;
	const answer = await api.request("PATCH", `/v1/vms/${other.body.id}`, { as: "operator", body: { name: "web" } });
	expect([answer.status, api.store.appliedIndex - before]).toEqual([409, 1]);
});
