/** All named schemas of the model, by `$id`: the components of the OpenAPI document, and what references resolve to. */
import type { TSchema } from "@sinclair/typebox";
import { assert } from "../lib/assert.ts";
import * as access from "../model/access.ts";
import * as api from "../model/api.ts";
import * as cluster from "../model/cluster.ts";
import * as event from "../model/event.ts";
import * as network from "../model/network.ts";
import * as node from "../model/node.ts";
import * as poolConfig from "../model/pool-config.ts";
import * as poolContent from "../model/pool-content.ts";
import * as poolOrphan from "../model/pool-orphan.ts";
import * as base from "../model/schema.ts";
import * as snapshot from "../model/snapshot.ts";
import * as storage from "../model/storage.ts";
import * as task from "../model/task.ts";
import * as vm from "../model/vm.ts";

/** Module name (as in src/model/) → its exports. */
export const modelModules: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
	access,
	api,
	cluster,
	event,
	network,
	node,
	"pool-config": poolConfig,
	"pool-content": poolContent,
	"pool-orphan": poolOrphan,
	schema: base,
	snapshot,
	storage,
	task,
	vm,
};

export type Component = { name: string; module: string; exportName: string; schema: TSchema };

const isNamed = (value: unknown): value is TSchema & { $id: string } =>
	typeof value === "object" && value !== null && "$id" in value && typeof value.$id === "string";

function collect(): Map<string, Component> {
	const found = new Map<string, Component>();
	for (const [module, exports] of Object.entries(modelModules))
		for (const [exportName, schema] of Object.entries(exports)) {
			if (!isNamed(schema)) continue;
			const other = found.get(schema.$id);
			assert(!other || other.schema === schema, `two schemas are named ${schema.$id}`);
			if (!other) found.set(schema.$id, { name: schema.$id, module, exportName, schema });
		}
	return found;
}

export const components: ReadonlyMap<string, Component> = collect();
export const componentSchemas: readonly TSchema[] = [...components.values()].map((component) => component.schema);
