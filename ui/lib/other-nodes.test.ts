import { expect, test } from "bun:test";
import type { Node } from "../api/types.ts";
import { otherNodeLinks } from "./other-nodes.ts";

const node = (name: string, peerAddresses: string[], phase: Node["status"]["phase"] = "ready") => ({
	name,
	peerAddresses,
	status: { phase } as Node["status"],
});

test("the other nodes are taken to be at their hosts, with scheme and port of this page", () => {
	const nodes = [
		node("n3", ["[fd00::3]:8444"]),
		node("n2", ["10.0.0.2:9000", "n2.example:8444"]),
		node("n1", ["10.0.0.1:8444"]),
		node("n4", ["10.0.0.4:8444"], "left"),
		node("n5", []),
	];
	expect(otherNodeLinks(nodes, { protocol: "https:", hostname: "10.0.0.1", port: "8443" })).toEqual([
		{ name: "n2", url: "https://10.0.0.2:8443/" },
		{ name: "n3", url: "https://[fd00::3]:8443/" },
	]);
	expect(otherNodeLinks(nodes.slice(1, 2), { protocol: "https:", hostname: "vip", port: "" })).toEqual([
		{ name: "n2", url: "https://10.0.0.2/" },
	]);
});

test("several nodes on one machine are not told apart by their hosts", () => {
	const nodes = [node("n1", ["127.0.0.1:1"]), node("n2", ["127.0.0.1:2"]), node("n3", ["localhost:3"])];
	expect(otherNodeLinks(nodes, { protocol: "http:", hostname: "127.0.0.1", port: "80" })).toEqual([]);
});
