/** The record of what was acknowledged, held against the real API on a store in memory: what is lost is seen. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import { type ApiHarness, createApiHarness } from "../api/api-harness.ts";
import { type Api, WriteLoad } from "./write-load.ts";

let harness: ApiHarness;
let api: Api;
beforeEach(async () => {
	harness = await createApiHarness();
	api = harness.client("admin");
});
afterEach(() => harness.close());

/** Some writes, all of which end in good order. */
async function written(answers: number, clients = 3): Promise<WriteLoad> {
	const load = await WriteLoad.prepare(api, clients);
	const stop = new AbortController();
	const reached = load.reached(answers);
	const running = load.run([api], stop.signal);
	await Promise.race([reached, running]);
	stop.abort();
	await running;
	return load;
}

const vms = async () => (await api.call("vmList")).body.items;
const tokens = async () => (await api.call("tokenList")).body.items;

test("what was acknowledged is there, and nothing is missing", async () => {
	const load = await written(60);
	expect(load.acknowledged).toBeGreaterThanOrEqual(60);
	expect(await load.missing(api)).toEqual([]);
	expect(new Set((await vms()).map((vm) => vm.description)).size).toBe(3);
});

test("a change that is gone is missing", async () => {
	const load = await written(60);
	const vm = present((await vms())[0], "a VM");
	await api.call("vmUpdate", { path: { id: vm.id }, body: { description: "write 1" } });
	expect(await load.missing(api)).toEqual([
		expect.stringContaining(`${vm.name} says write 1 and was last acknowledged`),
	]);
});

test("an object that is gone is missing", async () => {
	const load = await written(60);
	const vm = present((await vms())[0], "a VM");
	const read: Api = {
		call: async (operation, ...options) => {
			const answer = await api.call(operation, ...options);
			if (operation === "vmList") {
				const { body } = answer as unknown as { body: { items: { id: string }[] } };
				body.items = body.items.filter(({ id }) => id !== vm.id);
			}
			return answer;
		},
	};
	expect(await load.missing(read)).toEqual([expect.stringContaining(`${vm.name} says nothing`)]);
});

test("a token that is gone, or back, or that nobody has asked for, is said", async () => {
	const load = await written(50);
	await api.call("tokenCreate", { body: { name: "load-never", role: "viewer" } });
	expect(await load.missing(api)).toEqual(["token load-never was never asked for"]);
	await load.tidy(api);
	expect(await load.missing(api)).toEqual([]);
	await api.call("tokenCreate", { body: { name: "load-never", role: "viewer" } });
	expect(await load.missing(api)).toEqual(["token load-never was deleted and is there"]);
});

test("a token that was made and is gone is missing", async () => {
	// Of one client: the fourth turn makes the token, the eighth deletes it.
	const load = await written(5, 1);
	const token = present(
		(await tokens()).find(({ name }) => name.startsWith("load-")),
		"a token of the load",
	);
	await api.call("tokenDelete", { path: { id: token.id } });
	expect(await load.missing(api)).toContain(`token ${token.name} was made and is not there`);
});

test("a copy of the record goes its own way", async () => {
	const load = await written(30);
	const copy = load.fork();
	const vm = present((await vms())[0], "a VM");
	const stop = new AbortController();
	const running = copy.run([api], stop.signal);
	await copy.reached(30);
	stop.abort();
	await running;
	expect(await copy.missing(api)).toEqual([]);
	expect((await load.missing(api)).some((line) => line.startsWith(vm.name))).toBe(true);
});
