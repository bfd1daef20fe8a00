import { expect, test } from "bun:test";
import { href, queryString } from "./routes.ts";

test("links are made from the table", () => {
	expect(href("overview")).toBe("/");
	expect(href("vm", { vmId: "a b" })).toBe("/vms/a%20b");
	expect(href("vm", { vmId: "1", tab: "console" })).toBe("/vms/1/console");
	expect(href("vms", undefined, { state: ["running", "paused"], sort: "-name", search: "" })).toBe(
		"/vms?state=running,paused&sort=-name",
	);
	expect(queryString({})).toBe("");
});

test("a missing parameter does not compile", () => {
	// @ts-expect-error vmId is required
	expect(href("vm", {})).toBe("/vms");
	// @ts-expect-error the route needs parameters
	expect(href("node")).toBe("/cluster/nodes");
});
