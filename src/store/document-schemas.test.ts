/**
 * The documents of the state are the same to every member of a cluster, or an older one refuses what a newer one takes, and keeps
 * another state. So a change of their schemas, even of an optional member or of a limit, is noticed here. It is right when
 * nobody writes what is new before all members know it: CONTRIBUTING.md, "Add a command". Then `UPDATE_GOLDEN=1`.
 */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import { present } from "../lib/assert.ts";
import * as access from "../model/access.ts";
import * as cluster from "../model/cluster.ts";
import * as network from "../model/network.ts";
import * as node from "../model/node.ts";
import * as poolConfig from "../model/pool-config.ts";
import * as base from "../model/schema.ts";
import * as snapshot from "../model/snapshot.ts";
import * as storage from "../model/storage.ts";
import * as task from "../model/task.ts";
import * as vm from "../model/vm.ts";

const path = join(import.meta.dir, "document-schemas.golden.json");
const named = new Map(
	[access, base, cluster, network, node, poolConfig, snapshot, storage, task, vm]
		.flatMap((module) => Object.values(module) as unknown[])
		.filter((value): value is TSchema => typeof value === "object" && value !== null && "$id" in value)
		.map((schema) => [String(schema.$id), schema]),
);
const documents: Record<string, TSchema> = {
	...{ User: access.User, Session: access.Session, Token: access.Token, AuditRecord: access.AuditRecord },
	...{ Cluster: node.Cluster, Node: node.Node, NodeStatus: node.NodeStatus, JoinToken: cluster.JoinToken },
	...{ NodeUpdate: node.NodeUpdate, ClusterUpdate: node.ClusterUpdate },
	...{ Vm: vm.Vm, VmSpec: vm.VmSpec, VmStatus: vm.VmStatus, Task: task.Task },
	...{ Pool: storage.Pool, PoolNodeStatus: storage.PoolNodeStatus, Volume: storage.Volume, Image: storage.Image },
	...{ Network: network.Network, Snapshot: snapshot.Snapshot },
};

/** With the schemas that it refers to in place, and without what is for people. */
function meaning(value: unknown): unknown {
	if (Array.isArray(value)) return value.map(meaning);
	if (typeof value !== "object" || value === null) return value;
	if ("$ref" in value) return meaning(present(named.get(String(value.$ref)), `the schema ${value.$ref}`));
	return Object.fromEntries(
		Object.entries(value)
			.filter(([key]) => key !== "description" && key !== "$id")
			.sort(([a], [b]) => (a < b ? -1 : 1))
			.map(([key, inner]) => [key, meaning(inner)]),
	);
}

const found = Object.fromEntries(
	Object.entries(documents).map(([name, schema]) => {
		const text = JSON.stringify(meaning(schema));
		return [name, createHash("sha256").update(text).digest("hex").slice(0, 16)];
	}),
);

test("documents mean what they meant to the members of a cluster that are not upgraded yet", () => {
	if (process.env.UPDATE_GOLDEN === "1") writeFileSync(path, `${JSON.stringify(found, null, "\t")}\n`);
	expect(found).toEqual(JSON.parse(readFileSync(path, "utf8")));
});
