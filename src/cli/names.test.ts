/** Names where ids are wanted. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FakeApi, fakeApi, page } from "../testing/cli/fake-api.ts";
import { cli } from "../testing/cli/run-cli.ts";
import { fixtureId, fixtureVm } from "../testing/fixtures.ts";

let runDir: string;
let api: FakeApi;
beforeEach(() => {
	runDir = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi({ runDir }, { vmGet: ({ id }) => fixtureVm({ id: id ?? "", name: "web" }) });
});
afterEach(async () => {
	await api.stop();
	rmSync(runDir, { recursive: true, force: true });
});
const show = (name: string, ...more: string[]) => cli(["vm", "show", name, "-q", "--run-dir", runDir, ...more]);

test("an exact name is found among those that contain it, also on a later page", async () => {
	api.handlers.vmList = ({ query }) =>
		query.get("pageToken") === null
			? { items: [fixtureVm({ name: "web-1" }), fixtureVm({ name: "Web" })], nextPageToken: "2" }
			: page(fixtureVm({ id: fixtureId(7), name: "web" }));
	expect(await show("web")).toMatchObject({ code: 0, out: `${fixtureId(7)}\n` });
	expect(api.requests[0]?.query.get("search")).toBe("web");
});

test("an id is not searched for", async () => {
	expect(await show(fixtureId(8))).toMatchObject({ code: 0, out: `${fixtureId(8)}\n` });
	expect(api.called).toEqual(["vmGet"]);
});

test("no such name, and a part of one, is not found", async () => {
	api.handlers.vmList = () => page(fixtureVm({ name: "web-1" }));
	const { code, err } = await show("web");
	expect({ code, err }).toEqual({ code: 1, err: 'Error: There is no VM named "web".\n' });
	expect((await show("../\u001b[2J")).err).toBe('Error: There is no VM named "../\\e[2J".\n');
	expect((await show("")).code).toBe(1);
	expect(api.called.every((operation) => operation === "vmList")).toBe(true);
});

test("a name that several have is refused, with their ids", async () => {
	api.handlers.vmList = () =>
		page(fixtureVm({ id: fixtureId(1), name: "web" }), fixtureVm({ id: fixtureId(2), name: "web" }));
	const { code, err } = await show("web");
	expect(code).toBe(1);
	expect(err).toBe(
		`Error: 2 VMs are named "web". Use the id of the one that is meant.\n  web: ${fixtureId(1)}\n  web: ${fixtureId(2)}\n`,
	);
	expect(api.called).not.toContain("vmGet");
});
