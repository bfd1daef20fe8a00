import { expect, test } from "bun:test";
import { live } from "../api/live/live.ts";
import { session } from "../api/session.ts";
import { seed } from "../dev/mock/seed.ts";
import { findEntries, vmActionEntries } from "./palette-entries.ts";

const state = seed({ vms: 24 });
state.stop();
const vms = [...state.tables.vm.values()];
const went: string[] = [];
const route = (url: string) => void went.push(url);
session.value = {
	status: "signed-in",
	me: { requester: { kind: "user", id: "u", name: "admin" }, role: "admin", user: null, permissions: [] },
};
const offered = (query: string) =>
	vmActionEntries(query, vms, route)
		.sort((a, b) => b.score - a.score)
		.map(({ entry }) => entry);
const labels = (query: string) => offered(query).map(({ label }) => label);

test("a verb and a name, in either order, begun words suffice", () => {
	expect(labels("stop web-01")).toEqual(["Stop web-01"]);
	expect(labels("web-01 stop")).toEqual(["Stop web-01"]);
	expect(labels("shut down web-0")).toEqual(["Shut down web-01", "Shut down web-02", "Shut down web-03"]);
	expect(labels("sh web-01")).toEqual(["Shut down web-01"]);
	expect(labels("nothing web-01")).toEqual([]);
	// Not "Restart": a verb is not found inside a word.
	expect(labels("et web-01")).toEqual([]);
});

test("a whole name offers all that can be done, what cannot with its reason", () => {
	const entries = offered("web-01");
	expect(entries.map(({ label }) => label)).toContain("Delete web-01");
	const running = vms.find(({ name }) => name === "web-01")?.status.powerState === "running";
	const start = entries.find(({ label }) => label === "Start web-01");
	expect(running).toBe(true);
	expect(start?.obstacle).toBe("A VM that is running cannot be started.");
	expect(entries.find(({ label }) => label === "Stop web-01")?.obstacle).toBeNull();
});

test("the page's own actions come first, and once", () => {
	for (const vm of vms) live.vm.upsert(vm);
	const done: string[] = [];
	const onSelect = () => void done.push("stop");
	const page = { title: "web-01", actions: [{ id: "stop", label: "Stop", onSelect }] };
	const commands = [{ id: "sign-out", label: "Sign out", group: "Actions", icon: () => null, run: () => {} } as never];
	expect(findEntries("", { commands, page, route }).map(({ label }) => label)).toEqual(["Stop", "Sign out"]);
	const found = findEntries("stop web-01", { commands, page, route });
	expect(found.map(({ label, note }) => `${label} (${note})`)).toEqual(["Stop (web-01)"]);
	found[0]?.run();
	expect(done).toEqual(["stop"]);
});
