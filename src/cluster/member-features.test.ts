/** Who knows what: over the links, from the record, and what follows for proposals and for nodes that join. */
import { describe, expect, test } from "bun:test";
import { isAppError } from "../lib/errors.ts";
import type { Node } from "../model/node.ts";
import { featureOf, features } from "../store/command-features.ts";
import { proposer } from "../store/proposer.ts";
import type { Proposer, Store } from "../store/store.ts";
import { fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { checkJoins, MemberFeatures } from "./member-features.ts";

const [self, other, third] = [fixtureId(0xa), fixtureId(0xb), fixtureId(0xc)] as const;
const names: Record<string, string> = { [self]: "self", [other]: "other", [third]: "third" };
const record = (id: string, reported?: string[], phase: Node["status"]["phase"] = "ready"): Node => {
	const made = fixtureNode({ id, name: names[id] ?? id });
	return { ...made, status: { ...made.status, phase, ...(reported ? { features: reported } : {}) } };
};
const storeOf = (nodes: Node[]) => ({ all: () => nodes }) as unknown as Pick<Store, "all">;
const linksOf = (said: Record<string, string[] | null>) => ({
	status: () =>
		Object.entries(said).map(([nodeId, known]) => ({ nodeId, peer: known && { features: known } })) as never,
});
const members = (nodes: Node[], said: Record<string, string[] | null> = {}, own = ["old", "new"]) => {
	const made = new MemberFeatures(self, storeOf(nodes), own);
	made.usePeers(linksOf(said));
	return made;
};

describe("the members without a feature", () => {
	test("before there is a cluster, or as its only node: this build", () => {
		const early = new MemberFeatures(self, storeOf([]), ["old"]);
		expect(early.lacking("new")).toEqual([]);
		const alone = new MemberFeatures(self, storeOf([record(self)]), ["old"]);
		expect([alone.lacking("old"), alone.lacking("new")]).toEqual([[], ["self"]]);
	});

	test("a node that was never heard of, by its record; without one it lacks everything", () => {
		const nodes = [record(self), record(other, ["old", "new"]), record(third)];
		expect(members(nodes, { [other]: null, [third]: null }).lacking("new")).toEqual(["third"]);
	});

	test("what a node says over its link counts more than its record, both ways", () => {
		const nodes = [record(self), record(other, ["old"]), record(third, ["old", "new"])];
		const known = members(nodes, { [other]: ["old", "new"], [third]: ["old"] });
		expect(known.lacking("new")).toEqual(["third"]);
		expect(known.common()).toEqual(["old"]);
	});

	test("who has left is not asked", () => {
		expect(members([record(self), record(other, [], "left")]).lacking("new")).toEqual([]);
	});
});

describe("a proposal", () => {
	const proposed: string[] = [];
	const store = {
		async propose({ body }: { body: { kind: string } }) {
			proposed.push(body.kind);
			return { index: 1, targets: [], taskId: null, replayed: false };
		},
	} as unknown as Pick<Store, "propose">;
	const made = (lacking: string[]): Proposer =>
		proposer(store, { nowMs: () => 0 }, { newId: () => fixtureId(1) }, () => lacking);

	test("waits for the nodes that do not know the command, and names them", async () => {
		const refused = await made(["node-3", "node-2"])
			.proposeSystem({ kind: "nodeGone", id: other })
			.catch((error: unknown) => error);
		expect(isAppError(refused, "unsupported")).toBe(true);
		expect((refused as Error).message).toEndWith("on: node-2, node-3.");
		expect(proposed).toEqual([]);
	});

	test("of a command that every version knows is made all the same", async () => {
		await made(["node-2"]).proposeSystem({ kind: "volumeGone", id: other });
		await made([]).proposeSystem({ kind: "nodeGone", id: other });
		expect(proposed).toEqual(["volumeGone", "nodeGone"]);
	});

	test("every feature of the table is one of this build", () => {
		// There are others beside: of fields and rules, by those that propose them.
		const needed = Object.values(featureOf).filter((feature) => feature !== null);
		expect(features).toEqual(expect.arrayContaining([...new Set(needed)]));
	});
});

describe("a node that joins", () => {
	const cluster = members([record(self), record(other)], { [other]: ["old"] });
	const joining = (...known: string[]) => ({ build: "1.2.3", features: known });

	test("knows what all members know", () => {
		expect(() => checkJoins(joining(), cluster)).toThrow("is older than the cluster's: it does not know old.");
		expect(() => checkJoins(joining("old"), cluster)).not.toThrow();
	});

	test("knows nothing that some member does not know", () => {
		expect(() => checkJoins(joining("old", "new"), cluster)).toThrow("is newer than that of other.");
		expect(() => checkJoins(joining("old", "newest"), cluster)).toThrow("is newer than that of other, self.");
	});
});
